"""Scripts of other packages, found and run."""
import os
import subprocess
import sys

import pytest
from factories import ROOT

from mmpose_ssa import cli
from mmpose_ssa.engine.scripts import find_script


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / 'some_package/.mim/demo'
    folder.mkdir(parents=True)
    (tmp_path / 'some_package/__init__.py').touch()
    (folder / 'neighbour.py').write_text('VALUE = 7\n')
    (folder / 'show_demo.py').write_text(
        'import sys\nfrom neighbour import VALUE\nimport mmcv.ops\n'
        'print(__name__, VALUE, sys.argv[1:])\n')
    (folder / 'failing.py').write_text('open("no such file")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_scripts_are_found_in_the_package(package):
    assert find_script('some_package', 'demo/show_demo.py') == (
        package / 'some_package/.mim/demo/show_demo.py')
    with pytest.raises(FileNotFoundError, match=(
            'no script show_demo.py: did you mean demo/show_demo.py')):
        find_script('some_package', 'show_demo.py')
    with pytest.raises(FileNotFoundError, match='no script x.py: look into'):
        find_script('some_package', 'x.py')
    with pytest.raises(ImportError, match='no_such_package is not installed'):
        find_script('no_such_package', 'demo/show_demo.py')


def run(package, *arguments):
    return subprocess.run(
        [sys.executable, '-m', 'mmpose_ssa', 'run', *arguments], text=True,
        capture_output=True, cwd=package, env=dict(
            PYTHONPATH=f'{ROOT}:{package}', PATH='/usr/bin'))


def test_a_script_runs_as_the_main_program_with_operators(package):
    done = run(package, 'some_package', 'demo/show_demo.py', '--x', '3')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "__main__ 7 ['--x', '3']"


@pytest.mark.parametrize('script', ['train.py', 'test.py'])
def test_help_of_the_tools_is_mmposes_without_its_imports(script):
    ours = subprocess.run(
        [sys.executable, '-X', 'importtime', ROOT / 'tools' / script,
         '--help'], text=True, capture_output=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)))
    theirs = subprocess.run(
        [sys.executable, find_script('mmpose', f'tools/{script}'), '--help'],
        text=True, capture_output=True)
    assert ours.returncode == 0 and 'config file path' in ours.stdout
    assert ours.stdout == theirs.stdout
    imported = {line.rpartition('|')[2].strip()
                for line in ours.stderr.splitlines()}
    assert 'mmpose_ssa.engine.scripts' in imported
    assert not {'torch', 'mmengine', 'mmpose', 'numpy'} & imported


def test_a_script_without_a_known_parser_helps_itself(package):
    done = run(package, 'some_package', 'demo/show_demo.py', '--help')
    assert done.stdout.splitlines()[-1] == "__main__ 7 ['--help']"


def test_an_error_of_the_script_is_shown_with_its_traceback(
        package, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    with pytest.raises(SystemExit, match='1'):
        cli.main(['run', 'some_package', 'demo/failing.py'])
    error = capsys.readouterr().err
    assert 'failing.py", line 1' in error
    assert 'no such file' in error and 'usage' not in error

"""What can be imported without what; requirements; the stages of set-up."""
import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from factories import ROOT

import mmpose_ssa

FOLDER = ROOT / 'mmpose_ssa'
FAMILY = {'mmpose', 'mmdet', 'mmcv', 'mmcv-lite', 'mmengine', 'openmim'}

# --- without MMPose ---------------------------------------------------------


# Of what is installed, only the packages named are there.
HIDE = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        hidden = name.partition('.')[0] not in {'mmpose_ssa', *%r}
        return None if hidden and 'site-packages' in repr(spec) else spec

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def run_bare(code: str, *packages: str) -> str:
    """What Python says where nothing but the packages is installed."""
    done = subprocess.run([sys.executable, '-c', HIDE % (packages, ) + code],
                          capture_output=True, text=True, cwd=ROOT)
    return done.stdout + done.stderr


def test_pure_folders_import_with_four_packages_alone():
    modules = [
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for folder in ('annotations', 'decoding', 'diagnosis', 'encoding',
                       'synthetic', 'tracking')
        for path in sorted((FOLDER / folder).rglob('*.py'))]
    assert len(modules) > 10
    code = ('import sys\n'
            'from importlib import import_module\n'
            f'for name in {modules}:\n'
            '    import_module(name)\n'
            'print("torch" in sys.modules)')
    assert run_bare(code, 'numpy', 'scipy', 'cv2', 'pycocotools') == 'False\n'


def test_the_package_alone_imports_nothing():
    code = ('import sys, mmpose_ssa\n'
            'print({"numpy", "torch", "mmengine"} & set(sys.modules))')
    assert run_bare(code) == 'set()\n'


@pytest.mark.parametrize('module', [
    'register', 'models.head', 'datasets.coco', 'evaluation.oracle',
    'comparisons.head', 'apis.inferencer', 'engine.compat'])
def test_a_missing_mmpose_is_named_with_its_installation(module):
    message = run_bare(f'import mmpose_ssa.{module}').splitlines()[-1]
    assert message.startswith(
        'ImportError: this part of mmpose_ssa needs torch, torchvision, '
        'mmengine, mmcv, mmdet, mmpose: run `make setup`')
    for name in re.findall(r'requirements/\S+txt', message):
        assert (ROOT / name).is_file()
    assert '--no-deps -r requirements/mmpose.txt' in message


def test_a_missing_mmcv_alone_is_named_alone(tmp_path, monkeypatch):
    for name in ('torch', 'torchvision', 'mmengine', 'mmdet', 'mmpose'):
        (tmp_path / f'{name}.py').touch()
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    message = run_bare('import mmpose_ssa.models.codec').splitlines()[-1]
    assert 'this part of mmpose_ssa needs mmcv: run' in message


def test_an_unknown_name_stays_an_attribute_error():
    code = 'import mmpose_ssa; print(hasattr(mmpose_ssa, "nonsense"))'
    assert run_bare(code) == 'False\n'
    with pytest.raises(AttributeError, match='nonsense'):
        mmpose_ssa.nonsense  # noqa: B018


# --- with MMPose ------------------------------------------------------------


def test_register_imports_every_module_that_registers_something():
    registering = {
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for path in FOLDER.rglob('*.py')
        if '.register_module(' in path.read_text()}
    code = ('import sys, mmpose_ssa.register\n'
            'print(*sorted(sys.modules), sep="\\n")')
    said = subprocess.run([sys.executable, '-W', 'ignore', '-c', code],
                          capture_output=True, text=True, cwd=ROOT)
    assert registering and registering <= set(said.stdout.split()), said.stderr


# --- metadata and requirements ----------------------------------------------


def names(lines) -> set:
    """The projects that requirement lines name."""
    return {
        re.match(r'[\w.-]+', line)[0].replace('_', '-').lower()
        for line in lines
    }


def requirements(name: str) -> list:
    text = (ROOT / 'requirements' / name).read_text()
    lines = (line.partition('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


@pytest.fixture
def metadata():
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    return config


def test_the_package_requires_none_of_the_family(metadata):
    required = names(metadata['options']['install_requires'].split())
    assert required == {'numpy', 'opencv-python', 'pycocotools', 'scipy'}
    for extra in metadata['options.extras_require'].values():
        _, name = extra.split('requirements/')
        assert names(requirements(name)) & FAMILY == set()
    assert required <= names(requirements('runtime.txt'))


def test_the_version_is_read_without_importing_anything(metadata):
    # setuptools takes what `attr:` names from the syntax tree; only where that
    # fails does it import the package, which needs NumPy and the others
    assert metadata['metadata']['version'] == 'attr: mmpose_ssa.__version__'
    assigned = {
        target.id: node.value
        for node in ast.parse(Path(mmpose_ssa.__file__).read_text()).body
        if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert ast.literal_eval(assigned['__version__']) == mmpose_ssa.__version__


@pytest.mark.parametrize(
    'name', [path.name for path in (ROOT / 'requirements').glob('*.txt')])
def test_requirements_are_pinned(name):
    assert requirements(name)
    for line in requirements(name):
        assert re.fullmatch(
            r'[\w-]+==[\d.]+( ; python_version (<|>=) "3\.12")?', line), line


def test_what_is_installed_without_requirements_stands_apart():
    assert names(requirements('runtime.txt')) & FAMILY == {'mmengine'}
    assert names(requirements('test.txt')) & FAMILY == set()
    assert names(requirements('mmpose.txt')) == {'mmdet', 'mmpose', 'openmim'}
    assert requirements('mmcv.txt') == ['mmcv-lite==2.1.0']


def test_a_wheel_brings_configs_and_the_bundled_weights(tmp_path):
    for name in ('configs', 'mmpose_ssa', 'tools', 'weights'):
        shutil.copytree(ROOT / name, tmp_path / 'source' / name)
    for name in ('LICENSE', 'README.md', 'model-index.yml', 'pyproject.toml',
                 'setup.cfg', 'setup.py'):
        shutil.copy(ROOT / name, tmp_path / 'source')
    shutil.copytree(ROOT / 'requirements', tmp_path / 'source/requirements')
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps',
         '--no-build-isolation', '-w', tmp_path, tmp_path / 'source'],
        check=True, capture_output=True)
    wheel, = tmp_path.glob('*.whl')
    held = set(zipfile.ZipFile(wheel).namelist())
    for name in ('configs/_base_/ssa.py', 'configs/demo/ssa_demo.py',
                 'model-index.yml', 'weights/ssa_demo.pth', 'tools/train.py',
                 'tools/shared/tables.py'):
        assert f'mmpose_ssa/.mim/{name}' in held
    modules = {str(path.relative_to(ROOT)) for path in FOLDER.rglob('*.py')}
    assert modules == {name for name in held
                       if name.endswith('.py') and '.mim' not in name}


# --- the stages of set-up ---------------------------------------------------

# Makes environments out of itself, and writes down what pip is asked for.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *ensurepip*) ;;
  *find_spec*) exit "$MMCV_MISSING" ;;
  *version_info*) exit "$NOT_PYTHON312" ;;
  "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip"*) echo "$*" >> pip.log
     case "$*" in *"$FAILS"*) exit 1 ;; esac ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """Runs `make setup` in a copy; returns its exit status and pip's calls."""
    for name in ('Makefile', 'setup.cfg', 'setup.py', 'pyproject.toml'):
        shutil.copy(ROOT / name, tmp_path)
    for name in ('requirements', 'tools'):
        shutil.copytree(ROOT / name, tmp_path / name)
    python = tmp_path / 'fake_python'
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def run(fails='nothing', mmcv_missing=1, python312=0, **variables):
        (tmp_path / 'pip.log').write_text('')
        variables = dict(
            dict(PYTHON=python, PIP_ARGS='--retries 9'), **variables)
        environment = dict(
            os.environ, FAILS=fails, MMCV_MISSING=str(mmcv_missing),
            NOT_PYTHON312=str(1 - python312))
        environment.pop('MAKEFLAGS', None)
        done = subprocess.run(
            ['make', 'setup', *(f'{k}={v}' for k, v in variables.items())],
            capture_output=True, text=True, cwd=tmp_path, env=environment)
        calls = (tmp_path / 'pip.log').read_text().splitlines()
        assert all('install' in c and '--retries 9' in c for c in calls)
        return done, [re.sub(r'.*--retries 9 ', '', c) for c in calls]

    return run


BUILD = '-r requirements/build_py312.txt'
XTCOCOTOOLS = '--no-deps --no-build-isolation xtcocotools==1.14.3'
RUNTIME = '-r requirements/runtime.txt'
MMPOSE = '--no-deps -r requirements/mmpose.txt'
MMCV = '--no-deps -r requirements/mmcv.txt'
TEST = '-r requirements/test.txt'
PACKAGE = ('--no-deps --no-build-isolation '
           '--config-settings editable_mode=compat -e .')


def test_set_up_goes_through_its_stages_once(make):
    assert make()[1] == [RUNTIME, MMPOSE, MMCV, TEST, PACKAGE]
    assert make()[1] == []


def test_set_up_leaves_a_full_mmcv_alone(make):
    assert make(mmcv_missing=0)[1] == [RUNTIME, MMPOSE, TEST, PACKAGE]


def test_set_up_builds_xtcocotools_on_python_312(make):
    assert make(python312=1)[1] == [
        BUILD, XTCOCOTOOLS, RUNTIME, MMPOSE, MMCV, TEST, PACKAGE]


def test_the_built_xtcocotools_is_the_pinned_one():
    assert XTCOCOTOOLS.split()[-1] in requirements('runtime.txt')


def test_an_interrupted_setup_resumes_at_its_failed_stage(make):
    done, calls = make(fails='mmpose.txt')
    assert done.returncode != 0
    assert calls == [RUNTIME, MMPOSE]
    assert make()[1] == [MMPOSE, MMCV, TEST, PACKAGE]


def test_a_changed_requirement_repeats_its_stage_and_the_later(make, tmp_path):
    make()
    later = (tmp_path / '.venv/stamps/package').stat().st_mtime + 10
    os.utime(tmp_path / 'requirements/test.txt', (later, later))
    assert make()[1] == [TEST, PACKAGE]


def test_an_unsuitable_python_is_refused_with_the_cure(make, tmp_path):
    (tmp_path / 'old').write_text('#!/bin/sh\necho is Python 3.8; exit 1')
    (tmp_path / 'old').chmod(0o755)
    done, calls = make(PYTHON=tmp_path / 'old')
    assert done.returncode != 0 and calls == []
    assert f'{tmp_path}/old: is Python 3.8' in done.stderr
    assert 'make setup PYTHON=' in done.stderr
    assert not (tmp_path / '.venv').exists()


@pytest.mark.skipif(
    sys.version_info[:2] not in ((3, 11), (3, 12)),
    reason='the pinned requirements are for Python 3.11 and 3.12')
def test_a_suitable_python_is_found():
    done = subprocess.run(
        [ROOT / 'tools/find_python.sh'], capture_output=True, text=True,
        env=dict(os.environ, PYTHON=sys.executable))
    assert done.stdout == f'{sys.executable}\n' and not done.stderr

"""Wheel and sdist, as users install them: `mim` and the command, anywhere.

MMPose and PyTorch are those of this environment; the package is the wheel's.
"""
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import cv2
import pytest
from factories import ROOT, write_scenes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('mmpose')]

BUILD = """
import sys
from setuptools import build_meta
getattr(build_meta, sys.argv[1])(sys.argv[2])
"""


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Folder with a wheel and an sdist of what is committed or changed."""
    folder = tmp_path_factory.mktemp('built')
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, text=True,
        capture_output=True)
    if listed.returncode:
        pytest.skip('needs a git checkout, whose files are packed')
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / 'source' / name).parent.mkdir(
                parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / 'source' / name)
    for kind in ('build_sdist', 'build_wheel'):
        subprocess.run([sys.executable, '-c', BUILD, kind, str(folder)],
                       cwd=folder / 'source', check=True, capture_output=True)
    return folder


@pytest.fixture(scope='module')
def installed(built, tmp_path_factory):
    """The wheel in an environment of its own; returns its commands."""
    folder = tmp_path_factory.mktemp('environment')
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
    python = folder / 'bin/python'
    site, = folder.glob('lib/python*/site-packages')
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib'))
    wheel, = built.glob('*.whl')
    subprocess.run([python, '-m', 'pip', 'install', '-q', '--no-deps', wheel],
                   check=True)

    def run(*arguments, cwd):
        environment = {name: value for name, value in os.environ.items()
                       if name != 'PYTHONPATH'}
        done = subprocess.run(
            [python, '-m', *map(str, arguments)], cwd=cwd, text=True,
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    run.mim = site / 'mmpose_ssa/.mim'
    return run


def test_the_bundled_models_are_found(installed, tmp_path):
    people = ROOT / 'docs/images/people.jpg'
    said = installed('mmpose_ssa', 'predict', people, '--model', 'demo',
                     '--out', 'out', cwd=tmp_path)
    assert said.endswith('3 persons in 1 image, see out\n')
    assert len(json.loads(
        (tmp_path / 'out/predictions.json').read_text())) == 3
    installed('mmpose_ssa', 'predict', people, '--out', 'photo', cwd=tmp_path)


def test_mim_finds_trains_tests_and_runs(installed, tmp_path):
    write_scenes(tmp_path / 'data/synthetic', train=8, val=2, size=160,
                 max_people=2)
    assert 'configs/ssa/ssa_r101_640.py' in installed(
        'mim', 'search', 'mmpose_ssa', '--config', 'ssa_r101_640',
        cwd=tmp_path)
    installed('mim', 'train', 'mmpose_ssa', 'ssa_demo.py', '--gpus', 0,
              '--cfg-options', 'train_cfg.max_epochs=1',
              'train_dataloader.batch_size=4',
              'train_dataloader.num_workers=0',
              'train_dataloader.persistent_workers=False', cwd=tmp_path)
    weights = tmp_path / 'work_dirs/ssa_demo/epoch_1.pth'
    assert 'coco/AP' in installed(
        'mim', 'test', 'mmpose_ssa', 'ssa_demo.py', '--checkpoint', weights,
        cwd=tmp_path)
    said = installed('mim', 'run', 'mmpose_ssa', 'complexity',
                     installed.mim / 'configs/demo/ssa_demo.py', cwd=tmp_path)
    assert '1.49' in said


@pytest.mark.parametrize('script, arguments', [
    ('demo/inferencer_demo.py', (
        'people.jpg', '--pose2d', 'CONFIG', '--pose2d-weights', 'WEIGHTS',
        '--device', 'cpu', '--pred-out-dir', '.')),
    ('demo/image_demo.py', ('people.jpg', 'CONFIG', 'WEIGHTS', '--device',
                            'cpu', '--out-file', 'people.png')),
    ('demo/bottomup_demo.py', ('CONFIG', 'WEIGHTS', '--input', 'people.jpg',
                               '--device', 'cpu', '--output-root', 'drawn')),
    ('tools/analysis_tools/print_config.py', ('CONFIG', ))])
def test_mmposes_own_scripts_run(installed, tmp_path, script, arguments):
    (tmp_path / 'people.jpg').write_bytes(
        (ROOT / 'docs/images/people.jpg').read_bytes())
    names = dict(CONFIG=installed.mim / 'configs/demo/ssa_demo.py',
                 WEIGHTS=installed.mim / 'weights/ssa_demo.pth')
    installed('mmpose_ssa', 'run', 'mmpose', script,
              *(names.get(a, a) for a in arguments), cwd=tmp_path)
    written = {
        'demo/inferencer_demo.py': 'people.json',
        'demo/image_demo.py': 'people.png',
        'demo/bottomup_demo.py': 'drawn/people.jpg'}.get(script)
    assert written is None or (tmp_path / written).is_file()
    if script == 'demo/inferencer_demo.py':
        persons = json.loads((tmp_path / written).read_text())
        assert len(persons) == 3
        size = list(cv2.imread(str(tmp_path / 'people.jpg')).shape[:2])
        assert all(p['mask']['size'] == size for p in persons)


def test_the_source_archive_passes_its_own_tests(built, tmp_path):
    """A part of them: those of the package, its pages and its tools."""
    archive, = built.glob('*.tar.gz')
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter='data')
    source, = tmp_path.glob('mmpose_ssa-*')
    packed = {str(path.relative_to(built / 'source'))
              for path in (built / 'source').rglob('*') if path.is_file()}
    there = {str(path.relative_to(source)) for path in source.rglob('*')}
    missing = {
        name for name in packed - there
        if not Path(name).parts[0].startswith(('.', 'build', 'mmpose_ssa.'))}
    assert not missing
    tests = ['tests/test_package.py', 'tests/test_docs.py',
             'tests/tools/test_help.py', 'tests/commands']
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-m', 'not slow',
         '-p', 'no:cacheprovider', *tests], cwd=source, text=True,
        env=dict(os.environ, PYTHONPATH=str(source)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:]

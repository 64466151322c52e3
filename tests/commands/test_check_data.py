"""`mmpose-ssa check-data`."""
import json

import pytest
from factories import TINY, refusal, write_scenes

from mmpose_ssa import cli

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('data'), train=4)


@pytest.fixture
def ann(scenes, tmp_path):
    """A copy of the annotations, to be changed."""
    path = tmp_path / 'a.json'
    path.write_bytes((scenes / 'annotations/person_keypoints_train2017.json'
                      ).read_bytes())
    return path


def change(ann, **changes):
    given = json.loads(ann.read_text())
    given['annotations'][0].update(changes)
    ann.write_text(json.dumps(given))
    return given['annotations'][0]['id']


@pytest.fixture
def check(ann, scenes, capsys):
    def run(*arguments):
        status = 0
        try:
            cli.main(['check-data', str(ann), '--images',
                      str(scenes / 'train2017'), *map(str, arguments)])
        except SystemExit as stopped:
            status = stopped.code
        return status, capsys.readouterr().out.splitlines()
    return run


def test_good_data(check, ann):
    status, lines = check('--config', TINY)
    assert status == 0
    assert lines[0].startswith(f'{ann}: 4 images, ')
    assert lines[-1].startswith('0 refused, 0 suspect, ')


def test_suspicions_do_not_fail(check, ann):
    number = change(ann, area=2)
    status, lines = check()
    assert status == 0
    suspect, = (line for line in lines if 'write the area' in line)
    assert suspect.startswith('suspect: 1 of ') and f'(id {number})' in suspect
    assert lines[-1].startswith('0 refused, ')


def test_what_training_refuses_fails(check, ann, tmp_path):
    number = change(ann, bbox=[1])
    status, lines = check('--out', tmp_path / 'sheet.html')
    assert status == 1
    assert lines[1].startswith('refused: 1 of ') and f'id {number}' in lines[1]
    assert lines[-1].endswith(f'; see {tmp_path / "sheet.html"}')
    assert 'refused' in (tmp_path / 'sheet.html').read_text()


def test_what_the_pipeline_refuses_fails(check, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = [{str(TINY)!r}]\n'
        'codec = _base_.train_dataloader.dataset.pipeline[3].encoder\n'
        'codec.update(num_keypoints=3, order=(0, 1, 2), edges=((0, 1), '
        '(1, 2)))\ntrain_dataloader = _base_.train_dataloader\n')
    status, lines = check('--config', config)
    assert status == 1 and lines[-1].startswith('1 refused, ')
    assert 'the codec has num_keypoints=3' in lines[1]


def test_mistakes_are_told_with_their_cure(capsys, ann, tmp_path):
    def said(*arguments):
        return refusal(capsys, cli.main, 'check-data', *arguments)

    assert 'no.json does not exist' in said('no.json', '--images', tmp_path)
    assert 'no is not a folder' in said(ann, '--images', 'no')
    assert 'no.py does not exist' in said(ann, '--images', tmp_path,
                                          '--config', 'no.py')
    for name in ('sheet.png', 'sheet'):
        assert 'name of an HTML file' in said(ann, '--images', tmp_path,
                                              '--out', name)
    assert '1 or more' in said(ann, '--images', tmp_path, '--samples', 0)
    ann.write_text('{')
    assert 'is not JSON' in said(ann, '--images', tmp_path)

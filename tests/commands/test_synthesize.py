"""The command that makes a synthetic data set."""
import json
import re

import pytest
from factories import refusal

from mmpose_ssa import cli


def test_the_command_writes_and_says_what(tmp_path, capsys):
    command = [str(tmp_path), '--train', '2', '--val', '1', '--size', '96',
               '--workers', '1', '--max-people', '1', '--min-height', '.6',
               '--seed', '3']
    cli.main(['synthesize', *command])
    said = capsys.readouterr().out
    persons = 0
    for split, images in (('train', 2), ('val', 1)):
        content = json.loads((tmp_path / 'annotations' / (
            f'person_keypoints_{split}2017.json')).read_text())
        assert [(image['width'], image['height'])
                for image in content['images']] == [(96, 96)] * images
        persons += sum(not annotation['iscrowd']
                       for annotation in content['annotations'])
    assert f'{tmp_path}: 3 images (3 new), {persons} person' in said
    cli.main(['synthesize', *command])
    assert '3 images (0 new)' in capsys.readouterr().out


@pytest.mark.parametrize('option, value', [
    ('--train', '-1'), ('--max-people', '6'), ('--min-height', '2.0')])
def test_mistakes_are_named(tmp_path, capsys, option, value):
    said = refusal(capsys, cli.main, 'synthesize', tmp_path, option, value)
    assert re.match(f'{option[2:].replace("-", "_")} is {value}', said)
    assert not list(tmp_path.iterdir())


def test_videos(tmp_path, capsys):
    cli.main(['synthesize', str(tmp_path), '--videos', '1', '--frames', '3',
              '--size', '96', '--max-people', '1'])
    assert f'{tmp_path}: 1 videos, 3 images, ' in capsys.readouterr().out
    content = json.loads((
        tmp_path / 'annotations/person_keypoints_video.json').read_text())
    assert {a['track_id'] for a in content['annotations']} <= {101}
    assert (tmp_path / 'video/000001/000002.jpg').is_file()
    said = refusal(capsys, cli.main, 'synthesize', tmp_path / 'none',
                   '--videos', '0')
    assert 'videos is 0' in said


@pytest.mark.parametrize('option, value', [
    ('--min-people', '2'), ('--min-height', '0.5')])
def test_videos_have_no_such_option(tmp_path, capsys, option, value):
    said = refusal(capsys, cli.main, 'synthesize', tmp_path / 'new',
                   '--videos', '1', option, value)
    assert f'{option}' in said and '--videos' in said
    assert not (tmp_path / 'new').exists()


def test_crowds_by_the_command(tmp_path):
    cli.main(['synthesize', str(tmp_path), '--train', '0', '--val', '3',
              '--size', '96', '--workers', '1', '--min-people', '7',
              '--max-people', '7', '--min-height', '.5'])
    content = json.loads((
        tmp_path / 'annotations/person_keypoints_val2017.json').read_text())
    persons = [a for a in content['annotations'] if not a['iscrowd']]
    assert len(persons) > 3 * 5  # more than images without it ever have
    assert content['info']['synthetic']['min_people'] == 7

"""The command `mmpose-ssa`."""
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from apis.test_inputs import write_video
from factories import ROOT, person, refusal, write_annotations
from inferring import (SIZES, TINY, check_persons, checkpoint, images,
                       inferencer)

from mmpose_ssa import cli

__all__ = ['checkpoint', 'images', 'inferencer']
pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.fixture
def run(checkpoint, tmp_path, capsys):
    """Predicts with random weights; returns status, words and results."""
    def predict(*inputs):
        status = 0
        try:
            cli.main(['predict', *map(str, inputs), '--config', TINY,
                      '--checkpoint', checkpoint, '--device', 'cpu',
                      '--out', str(tmp_path / 'out')])
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        return (status, said.out + said.err,
                json.loads((tmp_path / 'out/predictions.json').read_text()))
    return predict


def test_the_command_writes_what_the_model_finds(run, tmp_path, inferencer,
                                                 images):
    status, said, results = run(*images, '--attention')
    assert status == 0
    assert f'{len(results)} persons in 3 images' in said
    assert {r['image_id'] for r in results} >= {7, 'tall'}
    for path, (h, w) in zip(images, SIZES.values()):
        name = Path(path).name
        check_persons([r for r in results if r['file_name'] == name],
                      inferencer.infer(cv2.imread(path)), (h, w))
        stem = tmp_path / 'out' / Path(name).stem
        assert cv2.imread(f'{stem}_persons.jpg').shape == (h, w, 3)
        assert cv2.imread(f'{stem}_attention.jpg').shape[0] == 360 + 24


def test_damaged_files_are_told_at_the_end(run, tmp_path, images):
    bad = tmp_path / 'bad.png'
    bad.write_text('no image')
    good = run(*images)[2]
    status, said, results = run(images[0], bad, *images[1:], '--no-pictures')
    assert (status, results) == (1, good)
    assert 'in 3 images' in said and 'error: ' in said
    assert 'bad.png cannot be read' in said


def test_two_images_of_one_name(run, tmp_path, images):
    twin = tmp_path / 'twin/7.png'
    twin.parent.mkdir()
    twin.write_bytes(Path(images[0]).read_bytes())
    results = run(images[0], twin)[2]
    folder = Path(images[0]).parent.name
    assert {r['image_id'] for r in results} == {f'{folder}_7', 'twin_7'}
    assert (tmp_path / 'out/twin_7_persons.jpg').is_file()
    assert (tmp_path / f'out/{folder}_7_persons.jpg').is_file()


def test_results_can_be_scored(run, tmp_path, images):
    file = tmp_path / 'ann.json'
    file.write_text(json.dumps(dict(images=[
        dict(file_name=f'val/{Path(path).name}', id=100 + n)
        for n, path in enumerate(images)])))
    status, _, results = run(*images, '--ann-file', file, '--no-pictures')
    assert status == 0
    assert {r['image_id'] for r in results} <= {100, 101, 102}
    assert [p.name for p in (tmp_path / 'out').iterdir()] == [
        'predictions.json']


def test_a_video_becomes_a_video(run, tmp_path, inferencer):
    path = write_video(tmp_path / 'a.mp4', 4, size=(90, 50))
    status, said, results = run(path)
    assert status == 0 and 'in 4 images' in said
    capture = cv2.VideoCapture(str(tmp_path / 'out/a_persons.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    ids = [r['image_id'] for r in results]
    assert set(ids) <= {f'a:{n}' for n in range(4)} and ids


def test_nobody_names_the_threshold(run, images):
    status, said, results = run(images[0], '--person-thr', '1e9')
    assert (status, results) == (0, [])
    assert '0 persons in 1 image,' in said
    assert 'score_threshold' in said and '--person-thr' in said


def test_config_options_reach_the_model(run, images):
    assert run(images[0])[2]
    assert not run(images[0], '--cfg-options',
                   'model.head.decoder.score_threshold=1e9')[2]


def test_mistakes_are_told_with_their_cure(tmp_path, capsys, checkpoint,
                                           images):
    (tmp_path / 'file').touch()
    for words, image, *more in (
            ('no.pth does not exist', images[0], TINY, 'no.pth'),
            ('no.py does not exist', images[0], 'no.py', checkpoint),
            ('random.pth cannot be read as a config', images[0], checkpoint,
             TINY),
            ("device 'foo' cannot be used", images[0], TINY, checkpoint,
             '--device', 'foo'),
            ('file is not a folder', images[0], TINY, checkpoint,
             '--out', tmp_path / 'file'),
            ('no.jpg does not exist', 'no.jpg', TINY, checkpoint),
            ('not both', images[0], TINY, checkpoint, '--model', 'demo'),
            ('give NAME=VALUE', images[0], TINY, checkpoint,
             '--cfg-options', 'model')):
        config, weights, *options = more
        said = refusal(capsys, cli.main, 'predict', image, '--config', config,
                       '--checkpoint', weights, '--out', tmp_path / 'out',
                       *options)
        assert words in said
    assert not (tmp_path / 'out').exists()
    assert 'required: INPUT' in refusal(capsys, cli.main, 'predict', '--out',
                                        'y')
    (tmp_path / 'ann.json').write_text('[]')
    assert 'ann.json lists no images' in refusal(
        capsys, cli.main, 'predict', images[0], '--config', TINY,
        '--checkpoint', checkpoint, '--out', tmp_path / 'out', '--ann-file',
        tmp_path / 'ann.json')


@pytest.mark.parametrize('arguments', [
    *([name, '--help'] for name in cli.COMMANDS), ['--help'], ['--version'],
    ['predict', 'nowhere.jpg', '--out', 'x']])
def test_what_needs_no_model_does_not_wait_for_torch(arguments):
    code = ('import sys\nfrom mmpose_ssa import cli\ntry:\n'
            f'    cli.main({arguments})\n'
            'finally:\n    print({"torch", "mmengine"} & set(sys.modules))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True,
                          text=True, cwd=ROOT)
    assert done.stdout.endswith('set()\n'), done.stdout + done.stderr


def test_a_module_is_the_command():
    done = subprocess.run([sys.executable, '-m', 'mmpose_ssa', '--version'],
                          capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == '0.1.0\n'


def test_a_video_is_read_while_it_is_asked_for(inferencer, tmp_path):
    path = write_video(tmp_path / 'a.mp4', 3)
    first = next(inferencer(path, return_vis=True))
    assert first['frame'] == 0
    assert first['visualization'].dtype == np.uint8


def test_track(run, tmp_path):
    """A still video: everybody keeps the id; a second one starts anew."""
    paths = [str(tmp_path / f'{name}.mp4') for name in 'ab']
    for path in paths:
        writer = cv2.VideoWriter(
            path, cv2.VideoWriter_fourcc(*'mp4v'), 10, (90, 50))
        for _ in range(3):
            writer.write(np.full((50, 90, 3), 120, np.uint8))
        writer.release()
    results = run(*paths, '--track', '--track-thr', '0.02')[2]
    ids = {f'{name}:{n}': [r['track_id'] for r in results
                           if r['image_id'] == f'{name}:{n}']
           for name in 'ab' for n in range(3)}
    first = ids['a:0']
    assert first == list(range(1, len(first) + 1)) and first
    assert all(found == first for found in ids.values())
    # nobody is good enough for an id by default, and without the option
    for options in (['--track'], []):
        assert not any('track_id' in r for r in run(paths[0], *options)[2])


def test_names_of_files_cannot_command_the_terminal(run, tmp_path, images):
    bad = tmp_path / 'red\x1b[31m\x07.png'
    bad.write_text('no image')
    status, said, results = run(bad, images[0])
    assert status == 1 and results
    assert '\x1b' not in said and '\x07' not in said
    assert r'red\x1b[31m\x07.png cannot be read' in said


# --- terminals and pipes ----------------------------------------------------


def check_data(tmp_path, **options):
    """The report of a file whose category has a name that is not of ASCII."""
    content = json.loads(write_annotations(tmp_path, [person()]).read_text())
    content['categories'][0]['name'] = 'Persön'
    (tmp_path / 'a.json').write_text(json.dumps(content))
    return subprocess.Popen(
        [sys.executable, '-m', 'mmpose_ssa', 'check-data',
         str(tmp_path / 'a.json'), '--images', str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        **options)


def test_a_name_that_the_terminal_lacks_costs_no_report(tmp_path):
    env = dict(os.environ, LC_ALL='POSIX', PYTHONUTF8='0',
               PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
    told, error = check_data(tmp_path, env=env).communicate()
    assert 'Pers\\xf6n' in told and 'Traceback' not in error
    assert 'codec' not in error


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    process = check_data(tmp_path)
    process.stdout.close()
    assert process.stderr.read() == ''
    assert process.wait() == 141

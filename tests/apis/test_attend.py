"""The attention of one place, as numbers and as a picture."""
import cv2
import numpy as np
import pytest
import torch
from factories import ROOT, refusal

from mmpose_ssa import cli
from mmpose_ssa.apis.attend import attention_at, keypoint_place
from mmpose_ssa.apis.explore import look
from mmpose_ssa.apis.inferencer import SSAInferencer

pytestmark = pytest.mark.usefixtures('mmpose')
PEOPLE = str(ROOT / 'docs/images/people.jpg')


@pytest.fixture(scope='module')
def inferencer():
    return SSAInferencer('demo', device='cpu')


@pytest.fixture(scope='module')
def image():
    return cv2.imread(PEOPLE)


@pytest.mark.parametrize('layer', [None, 1, 4])
def test_it_is_the_row_of_the_layer(inferencer, image, layer):
    outputs = look(inferencer, image)
    found = attention_at(inferencer, image, (100, 80), layer)
    index = outputs.supervised if layer is None else layer - 1
    attention = outputs.layers[index]
    h, w = attention.grid
    assert found.layer == outputs.names[index]
    assert found.tokens.shape == (h, w)
    assert found.tokens.sum() == pytest.approx(1, abs=1e-5)
    # 8 pixels of the input a token; the whole image is resized to the input
    scale = outputs.metainfo['input_size'][0] / image.shape[1]
    token = int(80 * scale / 8) * w + int(100 * scale / 8)
    expected, = attention.rows(0, torch.tensor([token])).numpy()
    assert np.array_equal(found.tokens.ravel(), expected)
    assert found.image.shape == image.shape[:2]
    # where a token's middle lies on the image, the map has the token's value
    y, x = divmod(int(found.tokens.argmax()), w)
    at = [round((8 * t + 3.5) / scale) for t in (y, x)]
    assert found.image[tuple(at)] > .9


def test_keypoints_are_those_found(inferencer, image):
    found = inferencer.infer(image).pred_instances
    x, y = keypoint_place(inferencer, image, 'nose', person=2)
    assert [x, y] == pytest.approx(found.keypoints[1, 0])


def test_the_command_writes_picture_and_numbers(tmp_path, capsys):
    out = tmp_path / 'new/nose.png'
    cli.main(['attend', PEOPLE, '--keypoint', 'nose', '--model', 'demo',
              '--out', str(out), '--beside',
              str(ROOT / 'configs/demo/ssa_demo.py'),
              str(ROOT / 'weights/ssa_demo.pth')])
    assert 'attention at (' in capsys.readouterr().out
    assert {path.name for path in out.parent.iterdir()} == {
        'nose.png', 'nose.npy', 'nose_tokens.npy', 'nose_beside.npy',
        'nose_beside_tokens.npy'}
    # the same weights
    assert np.array_equal(np.load(out.parent / 'nose.npy'),
                          np.load(out.parent / 'nose_beside.npy'))
    picture = cv2.imread(str(out))
    half = picture.shape[1] // 2
    assert np.array_equal(picture[30:, :half - 8], picture[30:, half:-8])


@pytest.mark.parametrize('arguments, words', [
    (['--at', '9'], '--at 9: give two numbers'),
    (['--at', '1,9999'], r'(1, 9999) lies outside the image'),
    (['--keypoint', 'tail'], "no keypoint 'tail': give one of nose"),
    (['--keypoint', 'nose', '--person', '9'], 'no person 9: 3 were found'),
    (['--at', '5,5', '--layer', '7'], 'no layer 7: the model has 1 to 4'),
    (['--at', '5,5', '--out', 'x.txt'], 'ends in .png')])
def test_mistakes_are_told(tmp_path, capsys, arguments, words):
    said = refusal(capsys, cli.main, 'attend', PEOPLE, '--model', 'demo',
                   '--out', str(tmp_path / 'a.png'), *arguments)
    assert words in said

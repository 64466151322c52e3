"""TransPose-R: the official model's heatmaps, and the weights' converter.

``data/transpose_heatmaps.npz`` holds what the official model computes
(github.com/yangsenius/TransPose, commit 5ba5bf3): ``get_pose_net`` of
``lib/models/transpose_r.py`` with the YAML of three or four layers, with the
weights ``official_weights(layers)`` below but its own ``pos_embedding``, in
evaluation mode and double precision, on ``IMAGE``. Kept are every fifth row
and column, and mean and standard deviation of each keypoint type's map. The
maps lie between -1.3 and 1.3 and have standard deviations of 0.1 to 0.4, so
that 1e-5 is four digits; single precision differs by 1e-6, a position table
shifted by one cell by more than 0.01.
"""
import os
from pathlib import Path

import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split
import convert_transpose
import numpy as np
import pytest
import torch
import torch.nn as nn
from conversion import transpose
from factories import (DATA, ROOT, made_weight, patches, refusal,
                       transpose_config, transpose_model)
from mmengine.registry import init_default_scope
from mmpose.apis import init_model

from mmpose_ssa.models.encoder import sine_position

NUMBERS = DATA / 'transpose_heatmaps.npz'
IMAGE = patches(16, 12, side=16)  # 256 x 192

pytestmark = pytest.mark.usefixtures('mmpose')


def official_weights(layers):
    """What a published file holds, with random weights."""
    shapes = {transpose.official_name(name): weight.shape
              for name, weight in transpose_model(layers).state_dict().items()}
    state = {name: made_weight(name, shape)
             for name, shape in shapes.items()}
    state['pos_embedding'] = sine_position((32, 24), 256)[:, None]
    return state


@torch.no_grad()
def heatmaps(model):
    return model.head.forward(model.extract_feat(IMAGE))[0].numpy()


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """Files as the official repository publishes them, by layers."""
    init_default_scope('mmpose')
    folder = tmp_path_factory.mktemp('published')
    for layers in (3, 4):
        torch.save(official_weights(layers), folder / f'{layers}.pth')
    return {layers: folder / f'{layers}.pth' for layers in (3, 4)}


# --- the official model -----------------------------------------------------


@pytest.mark.parametrize('layers', [3, 4])
def test_heatmaps_are_the_official_ones(published, tmp_path, capsys, layers):
    """File to file, through the command and MMPose's own loader."""
    out = tmp_path / 'new/transpose.pth'
    convert_transpose.main([str(published[layers]), str(out)])
    said = capsys.readouterr().out
    assert f'transpose_r_a{layers}_coco-256x192' in said
    assert [path.name for path in out.parent.iterdir()] == [out.name]

    found = heatmaps(init_model(transpose_config(layers), str(out), 'cpu'))
    numbers = np.load(NUMBERS)
    assert found.shape == (17, 64, 48)
    expected = numbers[f'heatmaps_{layers}']
    assert np.abs(found[:, ::5, ::5] - expected).max() < 1e-5
    assert np.abs(found.mean((1, 2)) - numbers[f'mean_{layers}']).max() < 1e-6
    assert np.abs(found.std((1, 2)) - numbers[f'std_{layers}']).max() < 1e-5
    assert expected.std((1, 2)).min() > .1  # or 1e-5 would mean little


def test_the_numbers_tell_wrong_models_apart(published):
    model, expected = transpose_model(), np.load(NUMBERS)['heatmaps_4']
    model.load_state_dict(
        transpose.converted(torch.load(published[4]), model))
    table = model.neck.pos_embedding
    table[:] = table.roll(1, 0)  # by one cell
    assert np.abs(heatmaps(model)[:, ::5, ::5] - expected).max() > .01
    table[:] = table.roll(-1, 0)
    for layer in model.neck.layers:
        layer.self_attn.num_heads = 4
    assert np.abs(heatmaps(model)[:, ::5, ::5] - expected).max() > .01


# --- what it refuses --------------------------------------------------------


def without(state):
    del state['reduce.weight']


def with_more(state):
    state['layer3.0.conv1.weight'] = torch.zeros(1)


def of_another_size(state):
    """As of 384 x 288."""
    state['pos_embedding'] = torch.zeros(48 * 36, 1, 256)


def of_mpii(state):
    for name in ('weight', 'bias'):
        state[f'final_layer.{name}'] = state[f'final_layer.{name}'][:16]


def of_six_layers(state):
    for name in [n for n in state if 'layers.3.' in n]:
        for layer in '45':
            state[name.replace('.3.', f'.{layer}.')] = state[name]


def damaged(state):
    state['bn1.running_var'][0] = float('nan')


@pytest.mark.parametrize('change, words', [
    (without, 'missing: 1 (reduce.weight)'),
    (with_more, 'unexpected: 1 (layer3.0.conv1.weight)'),
    (of_another_size, '1 (pos_embedding (1728, 256) instead of (768, 256))'),
    (of_mpii, '2 (final_layer.weight (16, 256, 1, 1) instead of '
     '(17, 256, 1, 1), final_layer.bias (16,) instead of (17,))'),
    (of_six_layers, '6 encoder layers'),
    (damaged, 'not finite'),
])
def test_other_weights_are_refused(published, tmp_path, capsys, change, words):
    state = torch.load(published[4])
    change(state)
    torch.save(state, tmp_path / 'given.pth')
    said = refusal(capsys, convert_transpose.main, tmp_path / 'given.pth',
                   tmp_path / 'out.pth')
    assert words in said
    assert os.listdir(tmp_path) == ['given.pth']


def ssa_checkpoint(path, good):
    path.write_bytes((ROOT / 'weights/ssa_demo.pth').read_bytes())


def truncated(path, good):
    path.write_bytes(good[:len(good) // 2])


def truncated_old_format(path, good):
    torch.save(dict(a=torch.ones(9)), path,
               _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-50])


def empty(path, good):
    path.touch()


def text(path, good):
    path.write_text('<html>404: Not Found</html>')


def whole_model(path, good):
    torch.save(nn.Linear(1, 1), path)


def numbers(path, good):
    torch.save(dict(epoch=1, perf=.7), path)


def a_folder(path, good):
    path.mkdir()


def nothing(path, good):
    pass


@pytest.mark.parametrize('make, words', [
    (ssa_checkpoint, '0 encoder layers, '),
    (truncated, 'damaged'),
    (truncated_old_format, 'damaged'),
    (empty, 'damaged'),
    (text, 'damaged'),
    (whole_model, 'holds more than weights'),
    (numbers, 'does not hold weights by name'),
    (a_folder, 'Is a directory'),
    (nothing, 'No such file'),
])
def test_other_files_are_refused(published, tmp_path, capsys, make, words):
    given = tmp_path / 'given.pth'
    make(given, published[4].read_bytes())
    before = os.listdir(tmp_path)
    said = refusal(capsys, convert_transpose.main, given, tmp_path / 'out.pth')
    assert words in said and str(given) in said
    assert os.listdir(tmp_path) == before


def test_the_published_file_is_not_overwritten(published, capsys):
    assert f'{published[4]} would overwrite' in refusal(
        capsys, convert_transpose.main, published[4], published[4])


def test_a_failed_writing_leaves_the_old_file(published, tmp_path,
                                              monkeypatch, capsys):
    def disk_is_full(content, path):
        Path(path).write_text('half')
        raise OSError('no space left')

    out = tmp_path / 'out.pth'
    out.write_text('old')
    monkeypatch.setattr(torch, 'save', disk_is_full)
    assert 'no space left' in refusal(capsys, convert_transpose.main,
                                      published[4], out)
    assert out.read_text() == 'old'
    assert os.listdir(tmp_path) == ['out.pth']

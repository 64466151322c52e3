"""TransPose-R: the official model's heatmaps, its recipe, and the converter.

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
import json
import os
import sys
from pathlib import Path

import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split
import numpy as np
import pytest
import torch
import torch.nn as nn
from factories import made_weight, patches
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.apis import inference_topdown, init_model
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS, PARAM_SCHEDULERS
from torch.testing import assert_close

from mmpose_ssa.evaluation.complexity import count
from mmpose_ssa.models.encoder import SSATransformer, sine_position
from mmpose_ssa.synthetic.dataset import write_dataset

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools'))
import convert_transpose  # noqa: E402

NUMBERS = ROOT / 'tests/data/transpose_heatmaps.npz'
IMAGE = patches(16, 12, side=16)  # 256 x 192

pytestmark = pytest.mark.usefixtures('mmpose')


def config(layers=4):
    return Config.fromfile(
        ROOT / f'configs/transpose/transpose_r_a{layers}_coco-256x192.py')


def build(layers=4):
    cfg = config(layers)
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model).eval()


def official_weights(layers):
    """What a published file holds, with random weights."""
    shapes = {convert_transpose.official_name(name): weight.shape
              for name, weight in build(layers).state_dict().items()}
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


def convert(monkeypatch, *arguments):
    """The command; how it ends."""
    monkeypatch.setattr(
        sys, 'argv', ['convert_transpose.py', *map(str, arguments)])
    return convert_transpose.main()


# --- the official model -----------------------------------------------------


@pytest.mark.parametrize('layers', [3, 4])
def test_heatmaps_are_the_official_ones(published, tmp_path, monkeypatch,
                                        capsys, layers):
    """File to file, through the command and MMPose's own loader."""
    out = tmp_path / 'new/transpose.pth'
    convert(monkeypatch, published[layers], out)
    said = capsys.readouterr().out
    assert f'transpose_r_a{layers}_coco-256x192' in said
    assert [path.name for path in out.parent.iterdir()] == [out.name]

    found = heatmaps(init_model(config(layers), str(out), 'cpu'))
    numbers = np.load(NUMBERS)
    assert found.shape == (17, 64, 48)
    expected = numbers[f'heatmaps_{layers}']
    assert np.abs(found[:, ::5, ::5] - expected).max() < 1e-5
    assert np.abs(found.mean((1, 2)) - numbers[f'mean_{layers}']).max() < 1e-6
    assert np.abs(found.std((1, 2)) - numbers[f'std_{layers}']).max() < 1e-5
    assert expected.std((1, 2)).min() > .1  # or 1e-5 would mean little


def test_the_numbers_tell_wrong_models_apart(published):
    model, expected = build(), np.load(NUMBERS)['heatmaps_4']
    model.load_state_dict(
        convert_transpose.converted(torch.load(published[4]), model))
    table = model.neck.pos_embedding
    table[:] = table.roll(1, 0)  # by one cell
    assert np.abs(heatmaps(model)[:, ::5, ::5] - expected).max() > .01
    table[:] = table.roll(-1, 0)
    for layer in model.neck.layers:
        layer.self_attn.num_heads = 4
    assert np.abs(heatmaps(model)[:, ::5, ::5] - expected).max() > .01


@pytest.mark.parametrize('layers, params, gflops', [
    (3, 5.2, 8.0), (4, 6.0, 8.9)])
def test_size_is_the_published_one(layers, params, gflops):
    """Within 1 %, counted as the official tool counts.

    The position table is a parameter. Deconvolutions are counted by output
    positions, attention with its projections and products; and, per element,
    4 for batch normalization, 5 for softmax, 1 for ReLU.
    """
    model, elements = build(layers), []
    for module in model.modules():
        per_element = {nn.BatchNorm2d: 4, nn.ReLU: 1}.get(type(module), 0)
        module.register_forward_hook(
            lambda module, inputs, output, n=per_element:
            elements.append(n * output.numel()) if n else None)
    found = count(model, (192, 256))
    tokens, cells, heads = 32 * 24, 64 * 48, 8
    deconvolution = 256 * 256 * 4 * 4 * (cells - tokens)
    softmax = 5 * heads * tokens**2 * layers
    total = found['macs'] + deconvolution + softmax + sum(elements)
    assert total / 1e9 == pytest.approx(gflops, rel=.01)
    table = model.neck.pos_embedding.numel()
    assert (found['params'] + table) / 1e6 == pytest.approx(params, rel=.01)
    if layers == 4:
        assert found['params'] + table == 5985105
        assert found['macs'] / 1e9 == pytest.approx(6.32, abs=.005)


# --- the stored positions ---------------------------------------------------


def test_the_table_is_the_sine_position_and_never_trained(published):
    model = build().train()
    expected = sine_position((32, 24), 256)
    assert torch.equal(model.state_dict()['neck.pos_embedding'], expected)
    wrapper = build_optim_wrapper(model, config().optim_wrapper)
    trained = {id(p) for group in wrapper.optimizer.param_groups
               for p in group['params']}
    assert trained == {id(p) for p in model.parameters()}
    assert id(model.neck.pos_embedding) not in trained
    model.init_weights()
    assert torch.equal(model.neck.pos_embedding, expected)


def test_a_stored_table_gives_what_a_computed_one_gives():
    options = dict(in_channels=6, embed_dims=16, num_layers=2, num_heads=2,
                   supervised_layer=1)
    computing = SSATransformer(**options).eval()
    storing = SSATransformer(
        **options, position_grid=[5, 7], association=None).eval()
    storing.load_state_dict(computing.state_dict(), strict=False)
    x = torch.randn(2, 6, 5, 7)
    features, = storing([None, x])
    attention, expected = computing([None, x])
    assert_close(features, expected, rtol=0, atol=1e-6)
    assert attention.grid == (5, 7)
    with torch.autocast('cpu', torch.bfloat16):
        assert_close(storing([x])[0].float(), expected, rtol=0, atol=.1)


def test_another_grid_than_the_stored_one_is_refused():
    neck = SSATransformer(6, 16, num_layers=1, association=None,
                          position_grid=(5, 7))
    with pytest.raises(ValueError, match=(
            r'map of \(7, 5\) does not fit position_grid \(5, 7\)')):
        neck([torch.zeros(1, 6, 7, 5)])


# --- what the converter refuses ---------------------------------------------


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
    (without, 'another model: missing: 1 (reduce.weight)'),
    (with_more, 'another model: unexpected: 1 (layer3.0.conv1.weight)'),
    (of_another_size, 'of another shape: 1 (pos_embedding (1728, 256) instead '
     'of (768, 256))'),
    (of_mpii, 'of another shape: 2 (final_layer.weight (16, 256, 1, 1) '
     'instead of (17, 256, 1, 1), final_layer.bias (16,) instead of (17,))'),
    (of_six_layers, 'another model: 6 encoder layers'),
    (damaged, 'not finite: the file is damaged'),
])
def test_other_weights_are_refused(published, tmp_path, monkeypatch, capsys,
                                   change, words):
    state = torch.load(published[4])
    change(state)
    torch.save(state, tmp_path / 'given.pth')
    with pytest.raises(SystemExit, match='2'):
        convert(monkeypatch, tmp_path / 'given.pth', tmp_path / 'out.pth')
    assert words in capsys.readouterr().err
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
    (ssa_checkpoint, ': 0 encoder layers, where TransPose-R-A3 and A4 have 3 '
     'and 4, in weights named 117 (backbone.conv1.weight'),
    (truncated, 'not a file of weights, or not a whole one: fetch it again'),
    (truncated_old_format, 'not a file of weights, or not a whole one: '),
    (empty, 'not a file of weights, or not a whole one: fetch it again'),
    (text, 'not a file of weights, or not a whole one: fetch it again'),
    (whole_model, 'not a file of weights, or not a whole one: fetch it again'),
    (numbers, 'does not hold weights by name'),
    (a_folder, 'Is a directory'),
    (nothing, 'No such file'),
])
def test_other_files_are_refused(published, tmp_path, monkeypatch, capsys,
                                 make, words):
    given = tmp_path / 'given.pth'
    make(given, published[4].read_bytes())
    before = os.listdir(tmp_path)
    with pytest.raises(SystemExit, match='2'):
        convert(monkeypatch, given, tmp_path / 'out.pth')
    assert words in capsys.readouterr().err
    assert os.listdir(tmp_path) == before


def test_the_published_file_is_not_overwritten(published, monkeypatch,
                                               capsys):
    with pytest.raises(SystemExit, match='2'):
        convert(monkeypatch, published[4], published[4])
    assert 'give another name' in capsys.readouterr().err


def test_a_failed_writing_leaves_the_old_file(published, tmp_path,
                                              monkeypatch, capsys):
    def disk_is_full(content, path):
        Path(path).write_text('half')
        raise OSError('no space left')

    out = tmp_path / 'out.pth'
    out.write_text('old')
    monkeypatch.setattr(torch, 'save', disk_is_full)
    with pytest.raises(SystemExit, match='2'):
        convert(monkeypatch, published[4], out)
    assert 'no space left' in capsys.readouterr().err
    assert out.read_text() == 'old'
    assert os.listdir(tmp_path) == ['out.pth']


# --- the recipe -------------------------------------------------------------


def test_the_official_recipe():
    cfg = config()
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomHalfBody'].prob == .3
    box = steps['RandomBBoxTransform']
    assert box.scale_factor == (1 - .35, 1 + .35)
    assert box.rotate_factor == 2 * 45 and box.shift_prob == 0
    Compose(cfg.train_dataloader.dataset.pipeline)
    assert cfg.train_dataloader.batch_size == 20
    assert config(3).train_dataloader.batch_size == 28
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
    assert cfg.train_cfg.max_epochs == 230
    assert cfg.model.test_cfg.flip_test
    assert cfg.model.head.decoder == cfg.codec
    neck = config(3).model.neck
    assert (neck.pop('num_layers'), cfg.model.neck.pop('num_layers')) == (3, 4)
    assert neck == cfg.model.neck


def test_the_learning_rate_is_the_official_cosine():
    cfg, rates = config(), []
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=cfg.optim_wrapper.optimizer.lr)
    schedule, = (PARAM_SCHEDULERS.build(
        step, default_args=dict(optimizer=optimizer))
        for step in cfg.param_scheduler)
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    epochs = np.arange(230)
    cosine = 1e-5 + 9e-5 * (1 + np.cos(np.pi * epochs / 230)) / 2
    assert rates == pytest.approx(cosine, rel=1e-9)
    assert rates[0] == 1e-4
    assert rates[115] == pytest.approx(5.5e-5)
    assert rates[229] == pytest.approx(1.0004198e-5, rel=1e-7)


def test_the_head_starts_as_the_official_one():
    """1x1 convolution N(0, 0.001), deconvolution as PyTorch has it."""
    torch.manual_seed(0)
    head = build().head
    head.init_weights()
    final, deconvolution = head.final_layer, head.deconv_layers[0]
    assert final.weight.std().item() == pytest.approx(.001, rel=.05)
    assert not final.bias.any()
    bound = 1 / (256 * 4 * 4)**.5  # uniform, by fan-in
    assert deconvolution.weight.abs().max().item() == pytest.approx(
        bound, rel=1e-3)


def test_the_loss_is_the_official_one():
    """Half the squared error, unlabelled keypoints counted as 0."""
    loss = MODELS.build(config().model.head.loss)
    found, target = torch.rand(2, 2, 17, 64, 48)
    labelled = torch.arange(34).reshape(2, 17).remainder(3).gt(0).float()
    expected = .5 * ((found - target)**2 * labelled[..., None, None]).mean()
    assert_close(loss(found, target, labelled), expected)


# --- geometry ---------------------------------------------------------------


def keypoints(rng, margin=12):
    """(1, 17, 2) _inp, so far inside that no Gaussian is cut."""
    return rng.uniform([margin] * 2, [191 - margin, 255 - margin],
                       (1, 17, 2)).astype(np.float32)


def test_targets_have_the_official_centres(rng):
    """Corner cells on corner pixels: x_hm = 47 / 191 x_inp."""
    codec = KEYPOINT_CODECS.build(config().codec)
    points_inp = keypoints(rng)
    maps = codec.encode(points_inp, np.ones((1, 17)))['heatmaps']
    x_hm = points_inp[0, :, 0] * 47 / 191
    y_hm = points_inp[0, :, 1] * 63 / 255
    squared = ((np.arange(48) - x_hm[:, None, None])**2
               + (np.arange(64)[:, None] - y_hm[:, None, None])**2)
    expected = np.exp(-squared / (2 * 2**2))
    assert np.abs(maps - expected)[maps > 0].max() < 1e-5
    assert expected[maps == 0].max() < np.exp(-3**2 / 2)  # beyond 3 sigma


def test_mirrored_keypoints_give_mirrored_targets(rng):
    """Why the flip test shifts nothing."""
    cfg = config()
    codec = KEYPOINT_CODECS.build(cfg.codec)
    points_inp = keypoints(rng)
    mirrored = [191, 0] + points_inp * [-1, 1]
    maps, turned = (codec.encode(points, np.ones((1, 17)))['heatmaps']
                    for points in (points_inp, mirrored))
    assert np.abs(maps - turned[..., ::-1]).max() < 1e-5
    assert not cfg.model.test_cfg.shift_heatmap


def test_what_is_in_the_middle_of_the_box_is_found_there():
    """Through cutting, flip test, decoding and back to the image."""
    model = init_model(config(), device='cpu')
    middle_inp = np.full((1, 17, 2), [191 / 2, 255 / 2], np.float32)
    maps = model.head.decoder.encode(middle_inp, np.ones((1, 17)))['heatmaps']
    model.head.forward = lambda feats: torch.from_numpy(maps)[None]
    box = np.array([[10., 20., 90., 150.]])
    sample, = inference_topdown(model, np.zeros((200, 120, 3), np.uint8), box)
    found = sample.pred_instances.keypoints
    assert found.shape == (1, 17, 2)
    assert np.abs(found - [50, 85]).max() < .01
    # the four cells around the middle are the highest
    assert sample.pred_instances.keypoint_scores == pytest.approx(
        np.exp(-.5 / 8), abs=1e-3)


# --- training ---------------------------------------------------------------


@pytest.fixture(scope='module')
def drawn_people(tmp_path_factory):
    root = tmp_path_factory.mktemp('drawn')
    write_dataset(root, train=4, val=1, size=160, seed=0, workers=1,
                  max_people=1, min_height=.6)
    return root


def test_two_iterations_and_a_validation(drawn_people, tmp_path):
    cfg = config()
    cfg.merge_from_dict({
        'work_dir': str(tmp_path),
        'experiment_name': 'transpose',
        'visualizer.name': 'transpose',
        'model.backbone.init_cfg': None,
        'train_dataloader.batch_size': 2,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.logger.interval': 1,
        **{f'{split}_dataloader.dataset.data_root': str(drawn_people)
           for split in ('train', 'val', 'test')},
        **{f'{split}_dataloader.{key}': value
           for split in ('train', 'val', 'test')
           for key, value in dict(num_workers=0,
                                  persistent_workers=False).items()}})
    runner = Runner.from_cfg(cfg)
    start = {name: weight.clone()
             for name, weight in runner.model.state_dict().items()}
    runner.train()
    lines = [json.loads(line)
             for log in tmp_path.glob('*/vis_data/scalars.json')
             for line in log.read_text().splitlines()]
    losses = [line['loss_kpt'] for line in lines if 'loss_kpt' in line]
    assert len(losses) == 2 and np.all(np.array(losses) > 0)
    assert np.isfinite(losses).all()
    assert 'coco/AP' in lines[-1]
    end = runner.model.state_dict()
    unchanged = {name for name in end if torch.equal(end[name], start[name])}
    assert unchanged == {'neck.pos_embedding'}


def test_detected_boxes_are_an_option(drawn_people, tmp_path):
    """The commented line of the config."""
    ann = json.loads((drawn_people / 'annotations/'
                      'person_keypoints_val2017.json').read_text())
    image_id = ann['images'][0]['id']
    (tmp_path / 'boxes.json').write_text(json.dumps([
        dict(image_id=image_id, category_id=1, bbox=[5, 6, 70, 80], score=.9),
        dict(image_id=image_id, category_id=1, bbox=[1, 2, 3, 4], score=.2)]))
    options = config().val_dataloader.dataset
    options.update(data_root=str(drawn_people),
                   bbox_file=str(tmp_path / 'boxes.json'))
    dataset = DATASETS.build(options)
    assert len(dataset) == 2
    found = dataset[0]['data_samples'].gt_instances
    assert found.bboxes.tolist() == [[5, 6, 75, 86]]
    assert found.bbox_scores == pytest.approx(.9)
    hub = MessageHub.get_current_instance()
    hub.runtime_info.pop('coco_ann_file', None)

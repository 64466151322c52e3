"""TransPose-R: its size, stored positions, recipe, geometry and training."""
import json

import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split
import numpy as np
import pytest
import torch
import torch.nn as nn
from factories import transpose_config, transpose_model, write_scenes
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmpose.apis import inference_topdown, init_model
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS, PARAM_SCHEDULERS
from torch.testing import assert_close

from mmpose_ssa.evaluation.complexity import count
from mmpose_ssa.models.encoder import SSATransformer, sine_position

pytestmark = pytest.mark.usefixtures('mmpose')


# --- size -------------------------------------------------------------------


@pytest.mark.parametrize('layers, params, gflops', [
    (3, 5.2, 8.0), (4, 6.0, 8.9)])
def test_size_is_the_published_one(layers, params, gflops):
    """Within 1 %, counted as the official tool counts.

    The position table is a parameter. Deconvolutions are counted by output
    positions, attention with its projections and products; and, per element,
    4 for batch normalization, 5 for softmax, 1 for ReLU.
    """
    model, elements = transpose_model(layers), []
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


def test_the_table_is_the_sine_position_and_never_trained():
    model = transpose_model().train()
    expected = sine_position((32, 24), 256)
    assert torch.equal(model.state_dict()['neck.pos_embedding'], expected)
    wrapper = build_optim_wrapper(model, transpose_config().optim_wrapper)
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


# --- the recipe -------------------------------------------------------------


def test_the_official_recipe():
    cfg = transpose_config()
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomHalfBody'].prob == .3
    box = steps['RandomBBoxTransform']
    assert box.scale_factor == (1 - .35, 1 + .35)
    assert box.rotate_factor == 2 * 45 and box.shift_prob == 0
    Compose(cfg.train_dataloader.dataset.pipeline)
    assert cfg.train_dataloader.batch_size == 20
    assert transpose_config(3).train_dataloader.batch_size == 28
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
    assert cfg.train_cfg.max_epochs == 230
    assert cfg.model.test_cfg.flip_test
    assert cfg.model.head.decoder == cfg.codec
    neck = transpose_config(3).model.neck
    assert (neck.pop('num_layers'), cfg.model.neck.pop('num_layers')) == (3, 4)
    assert neck == cfg.model.neck


def test_the_learning_rate_is_the_official_cosine():
    cfg, rates = transpose_config(), []
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
    head = transpose_model().head
    head.init_weights()
    final, deconvolution = head.final_layer, head.deconv_layers[0]
    assert final.weight.std().item() == pytest.approx(.001, rel=.05)
    assert not final.bias.any()
    bound = 1 / (256 * 4 * 4)**.5  # uniform, by fan-in
    assert deconvolution.weight.abs().max().item() == pytest.approx(
        bound, rel=1e-3)


def test_the_loss_is_the_official_one():
    """Half the squared error, unlabelled keypoints counted as 0."""
    loss = MODELS.build(transpose_config().model.head.loss)
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
    codec = KEYPOINT_CODECS.build(transpose_config().codec)
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
    cfg = transpose_config()
    codec = KEYPOINT_CODECS.build(cfg.codec)
    points_inp = keypoints(rng)
    mirrored = [191, 0] + points_inp * [-1, 1]
    maps, turned = (codec.encode(points, np.ones((1, 17)))['heatmaps']
                    for points in (points_inp, mirrored))
    assert np.abs(maps - turned[..., ::-1]).max() < 1e-5
    assert not cfg.model.test_cfg.shift_heatmap


def test_what_is_in_the_middle_of_the_box_is_found_there():
    """Through cutting, flip test, decoding and back to the image."""
    model = init_model(transpose_config(), device='cpu')
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
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'), val=1, size=160,
                        max_people=1)


def test_two_iterations_and_a_validation(scenes, tmp_path):
    cfg = transpose_config()
    cfg.merge_from_dict({
        'work_dir': str(tmp_path),
        'experiment_name': 'transpose',
        'visualizer.name': 'transpose',
        'model.backbone.init_cfg': None,
        'train_dataloader.batch_size': 2,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.logger.interval': 1,
        **{f'{split}_dataloader.dataset.data_root': str(scenes)
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


def test_detected_boxes_are_an_option(scenes, tmp_path):
    """The commented line of the config."""
    ann = json.loads((scenes / 'annotations/'
                      'person_keypoints_val2017.json').read_text())
    image_id = ann['images'][0]['id']
    (tmp_path / 'boxes.json').write_text(json.dumps([
        dict(image_id=image_id, category_id=1, bbox=[5, 6, 70, 80], score=.9),
        dict(image_id=image_id, category_id=1, bbox=[1, 2, 3, 4], score=.2)]))
    options = transpose_config().val_dataloader.dataset
    options.update(data_root=str(scenes),
                   bbox_file=str(tmp_path / 'boxes.json'))
    dataset = DATASETS.build(options)
    assert len(dataset) == 2
    found = dataset[0]['data_samples'].gt_instances
    assert found.bboxes.tolist() == [[5, 6, 75, 86]]
    assert found.bbox_scores == pytest.approx(.9)
    image = next(image for image in ann['images'] if image['id'] == image_id)
    assert dataset.get_data_info(0)['annotated_shape'] == (
        image['height'], image['width'])
    (tmp_path / 'boxes.json').write_text('[{"image_id": 1}]')
    with pytest.raises(ValueError, match='bbox_file .*boxes.json: box 0 has '
                       'no category_id'):
        DATASETS.build(options)
    options.bbox_file = str(tmp_path / 'none.json')
    with pytest.raises(FileNotFoundError, match='none.json does not exist'):
        DATASETS.build(options)

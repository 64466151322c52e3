"""The configs with tags: published sizes and recipes; both data sets.

What is trained here are the configs with networks of 8 channels at 64 x 64;
the networks themselves are built and run forward, to be counted.
"""
import copy
import re
from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from factories import CROWDPOSE_MINI as CROWDPOSE
from factories import ROOT, read_once, write_scenes
from mmengine.config import Config, DictAction
from mmengine.dataset import Compose
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS
from small_configs import check_sizes, tiny, train_two_steps, with_data

from mmpose_ssa.comparisons.losses import TagLoss
from mmpose_ssa.evaluation.complexity import count

CONFIGS = ROOT / 'configs/comparisons'
PUBLISHED = ['ae_hrnet_w32_512', 'higherhrnet_w32_512',
             'higherhrnet_w32_640', 'higherhrnet_w48_640']
ON_CROWDPOSE = [f'{name}_crowdpose' for name in PUBLISHED]
SMALL = ['ae_demo', 'higherhrnet_demo', 'ae_overfit', 'higherhrnet_overfit']

pytestmark = pytest.mark.usefixtures('mmpose')


def augmentation(pipeline):
    """All steps, without what may differ: sizes, and masks of nobody."""
    free = ('input_size', 'heatmap_size', 'size_factor', 'encoder', 'missing')
    return [{k: v for k, v in step.items() if k not in free}
            for step in pipeline]


every_config = pytest.mark.parametrize('name', PUBLISHED + SMALL)


# --- one truth in several places --------------------------------------------


@every_config
def test_sizes_agree(load, name):
    cfg = load(name)
    check_sizes(cfg)
    codec, head = cfg.codec, cfg.model.head
    resolutions = codec.get('num_resolutions', 1)
    assert resolutions == (2 if 'higher' in name else 1)
    assert codec.input_size[0] == 4 * codec.heatmap_size[0] // resolutions
    stage4 = cfg.model.backbone.extra.stage4.num_channels
    assert head.in_channels == stage4[0]
    assert all(c == stage4[0] for c in head.deconv_out_channels)


@every_config
def test_data_metric_and_hooks_are_those_of_ssa(load, name):
    """What a comparison must not differ in."""
    beside = dict(demo='demo/ssa_demo', overfit='demo/ssa_overfit')
    ssa = copy.deepcopy(read_once(
        f"configs/{beside.get(name.partition('_')[2], '_base_/ssa')}.py"))
    cfg = load(name)
    for split in ('train', 'val', 'test'):
        ours, theirs = (c[f'{split}_dataloader'].dataset for c in (cfg, ssa))
        own, other = (augmentation(data.pop('pipeline'))
                      for data in (ours, theirs))
        assert ours == theirs
        assert own == other
    assert cfg.model.test_cfg.flip_test == ssa.model.test_cfg.flip_test
    assert cfg.val_evaluator == ssa.val_evaluator[:1]
    assert cfg.test_evaluator == ssa.test_evaluator[:1]
    for key in ('custom_imports', 'custom_hooks', 'default_hooks',
                'randomness', 'data_mode'):
        assert cfg[key] == ssa[key]
    if name in SMALL:
        assert cfg.auto_scale_lr == ssa.auto_scale_lr
        assert (cfg.train_dataloader.batch_size
                == ssa.train_dataloader.batch_size)
    if 'demo' in name:  # and the same steps of training, as large
        for key in ('train_cfg', 'param_scheduler', 'optim_wrapper'):
            assert cfg[key] == ssa[key]


# --- published numbers ------------------------------------------------------


@pytest.mark.parametrize('name, params, gmacs', [
    ('ae_hrnet_w32_512', 28.5, None),
    ('higherhrnet_w32_512', 28.6, 47.9),
    ('higherhrnet_w32_640', 28.6, 74.8),
    ('higherhrnet_w48_640', 63.8, 154.3),
])
def test_sizes_are_the_published_ones(load, name, params, gmacs):
    """Within 1 %; the deconvolution counted by its output positions."""
    cfg = load(name)
    with torch.device('meta'):
        found = count(MODELS.build(cfg.model), cfg.codec.input_size)
    if gmacs is not None:
        assert found['macs_table7'] / 1e9 == pytest.approx(gmacs, .01)
    assert found['params'] / 1e6 == pytest.approx(params, .01)


def test_model_and_schedule_are_those_of_mmpose(load):
    """Of its config of associative embedding, which cannot train."""
    theirs = Config.fromfile(ROOT / 'tests/data/mmpose_ae.py')
    cfg = load('ae_hrnet_w32_512')
    assert theirs.train_pipeline == []
    assert cfg.model.backbone.extra == theirs.model.backbone.extra
    weights = read_once(
        'configs/comparisons/ae_hrnet_w32_512.py').model.backbone
    assert weights.init_cfg == theirs.model.backbone.init_cfg
    assert cfg.model.data_preprocessor == theirs.model.data_preprocessor
    schedule = [{k: v for k, v in step.items() if k != '_scope_'}
                for step in theirs.param_scheduler]
    assert cfg.param_scheduler == schedule
    assert cfg.optim_wrapper.optimizer == dict(
        type='Adam', lr=theirs.optim_wrapper.optimizer.lr)
    assert cfg.train_cfg.max_epochs == theirs.train_cfg.max_epochs
    assert cfg.auto_scale_lr == dict(theirs.auto_scale_lr, enable=True)
    sizes = [c.train_dataloader.batch_size for c in (cfg, theirs)]
    assert sizes[0] == sizes[1]
    codec, other = (KEYPOINT_CODECS.build(c.model.head.decoder)
                    for c in (cfg, theirs))
    for name in ('sigma', 'decode_keypoint_order', 'decode_nms_kernel',
                 'decode_keypoint_thr', 'decode_tag_thr', 'decode_topk',
                 'decode_center_shift', 'input_size'):
        assert getattr(codec, name) == getattr(other, name), name
    assert codec.max_persons == other.decode_max_instances


@pytest.mark.parametrize('name, batch, lr', [
    ('ae_hrnet_w32_512', 24, 1.5e-3),  # MMPose's
    ('higherhrnet_w32_512', 24, 1.5e-3),
    ('higherhrnet_w32_640', 12, 1e-3),  # the official ones
    ('higherhrnet_w48_640', 10, 1e-3),
])
def test_the_recipe_of_higherhrnet(load, name, batch, lr):
    """On 8 GPUs."""
    cfg = load(name)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=lr)
    assert cfg.auto_scale_lr == dict(base_batch_size=8 * batch, enable=True)
    assert cfg.train_cfg.max_epochs == 300
    assert cfg.param_scheduler[-1].milestones == [200, 260]
    head = MODELS.build(cfg.model.head)
    tags = head.loss_module.tag_loss
    assert tags.pull_weight == tags.push_weight == .001
    assert head.loss_module.keypoint_loss.loss_weight == 1
    assert cfg.codec.get('sigma', 2) == 2
    if 'higher' in name:
        assert [len(deconv) - 1 for deconv in head.deconv_layers] == [4]


def test_the_options_that_make_the_rest_higherhrnets(load):
    """As the header of the config says."""
    cfg = load('ae_hrnet_w32_512')
    header = (CONFIGS / 'ae_hrnet_w32_512.py').read_text()
    options = re.findall(r'--cfg-options (\S+)', header)
    assert len(options) == 3
    parser = ArgumentParser()
    parser.add_argument('options', nargs='+', action=DictAction)
    cfg.merge_from_dict(parser.parse_args(options).options)
    train = {type(step).__name__: step for step in Compose(
        cfg.train_dataloader.dataset.pipeline).transforms}
    affine = train['SSARandomAffine']
    assert tuple(affine.scale_factor) == (.75, 1.5)
    assert (affine.rotate_factor, affine.shift_factor,
            affine.translate_unit) == (30, 40, 'crop')
    assert train['GeneratePersonMasks'].min_area == 0
    assert cfg.model.test_cfg == dict(flip_test=True)


@pytest.mark.parametrize('name', SMALL)
def test_tags_weigh_more_on_small_maps(load, name):
    tags = MODELS.build(load(name).model.head).loss_module.tag_loss
    assert tags.pull_weight == tags.push_weight == .01


# --- both data sets ---------------------------------------------------------


def train_tiny(cfg, work_dir, images):
    """Heatmap, pull and push loss of two iterations, and the metrics."""
    losses, metrics = train_two_steps(tiny(cfg), work_dir, images)
    return np.array([[step[name] for name in (
        'loss_kpt', 'loss_pull', 'loss_push')] for step in losses]), metrics


def slow_at_640(names):
    """Tiny, they are the networks at 512 once more."""
    return [pytest.param(name, marks=pytest.mark.slow) if '640' in name
            else name for name in names]


@pytest.mark.parametrize('name', slow_at_640(PUBLISHED))
def test_two_iterations_and_a_test_on_coco(load, coco_mini, tmp_path, name):
    cfg = with_data(load(name), data_root=str(coco_mini))
    losses, metrics = train_tiny(cfg, tmp_path / name, 4)
    assert losses.shape == (2, 3) and np.isfinite(losses).all()
    assert (losses[:, 0] > 0).all()
    assert 0 <= metrics['coco/AP'] <= 1


@pytest.mark.parametrize('name', slow_at_640(ON_CROWDPOSE))
def test_two_iterations_and_a_test_on_crowdpose(load, tmp_path, name):
    if not CROWDPOSE.is_dir():
        pytest.skip(f'needs CrowdPose images in {CROWDPOSE}')
    cfg = with_data(load(name), data_root=str(CROWDPOSE),
                    data_prefix=dict(img=''), ann_file='test_crowdpose.json')
    losses, metrics = train_tiny(cfg, tmp_path / name, 2)
    assert losses.shape == (2, 3) and np.isfinite(losses).all()
    assert (losses[:, 0] > 0).all()
    assert 0 <= metrics['crowdpose/AP'] <= 1


# --- it learns --------------------------------------------------------------


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'))


@pytest.mark.parametrize('name, count', [
    ('ae_demo', 60), ('higherhrnet_demo', 40)])
def test_heatmaps_and_tags_are_learnt(load, scenes, name, count):
    """Four images, few steps: all losses fall, by all weights."""
    cfg = with_data(tiny(load(name)), data_root=str(scenes))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[i] for i in range(4)]
    batch = dict(inputs=[item['inputs'] for item in items],
                 data_samples=[item['data_samples'] for item in items])
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.head.loss_module.tag_loss = TagLoss(.1, .1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(count):
        data = model.data_preprocessor(batch, training=True)
        losses = model(**data, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        if not history:
            assert all(p.grad.abs().max() > 0 for p in model.parameters())
        optimizer.step()
        history.append([losses['loss_kpt'].item(),
                        (losses['loss_pull'] + losses['loss_push']).item()])
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    first, last = history[0], history[-1]
    assert last[0] < .6 * first[0]
    assert last[1] < .6 * first[1]

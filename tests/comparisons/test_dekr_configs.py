"""The configs of DEKR and CID: MMPose's on SSA's data, and for CrowdPose."""
import copy

import numpy as np
import pytest
import torch
from factories import CROWDPOSE_MINI as CROWDPOSE
from factories import ROOT, read_once, steps
from mmpose.registry import MODELS
from small_configs import check_sizes, tiny, train_two_steps, with_data

from mmpose_ssa.evaluation.complexity import DeformConv2d, count

THEIRS = dict(
    dekr_hrnet_w32_512='dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512',
    dekr_hrnet_w48_640='dekr/coco/dekr_hrnet-w48_8xb10-140e_coco-640x640',
    cid_hrnet_w32_512='cid/coco/cid_hrnet-w32_8xb20-140e_coco-512x512',
    dekr_hrnet_w32_512_crowdpose='dekr/crowdpose/'
    'dekr_hrnet-w32_8xb10-300e_crowdpose-512x512',
    dekr_hrnet_w48_640_crowdpose='dekr/crowdpose/'
    'dekr_hrnet-w48_8xb5-300e_crowdpose-640x640')
COCO = [name for name in THEIRS if 'crowdpose' not in name]
ON_CROWDPOSE = [path.stem for path in sorted(
    (ROOT / 'configs/comparisons').glob('*_crowdpose.py'))]

pytestmark = [
    pytest.mark.usefixtures('mmpose'),
    pytest.mark.filterwarnings('ignore:torch.meshgrid'),
    pytest.mark.filterwarnings('ignore:Default grid_sample'),
]


def mmpose_config(name):
    """MMPose's config of the same model."""
    return copy.deepcopy(
        read_once(f'mmpose::body_2d_keypoint/{THEIRS[name]}.py'))


# --- the configs ------------------------------------------------------------


@pytest.mark.parametrize('name', [*COCO, 'dekr_demo', *ON_CROWDPOSE])
def test_sizes_agree(load, name):
    cfg = load(name)
    check_sizes(cfg)
    if cfg.model.get('neck'):  # joins all resolutions
        stage4 = cfg.model.backbone.extra.stage4
        assert stage4.multiscale_output
        assert cfg.model.head.in_channels == sum(stage4.num_channels)


@pytest.mark.parametrize('name', [*COCO, 'dekr_demo'])
def test_data_and_hooks_are_those_of_ssa(load, name):
    """What a comparison must not differ in."""
    beside = 'demo/ssa_demo' if 'demo' in name else '_base_/ssa'
    ssa = copy.deepcopy(read_once(f'configs/{beside}.py'))
    cfg = load(name)
    sizes = ('input_size', 'heatmap_size', 'size_factor', 'encoder')
    for split in ('train', 'val', 'test'):
        ours, theirs = (c[f'{split}_dataloader'].dataset for c in (cfg, ssa))
        own, other = (steps(data.pop('pipeline')) for data in (ours, theirs))
        assert ours == theirs
        assert list(own) == list(other)
        for key in own:
            for step in (own[key], other[key]):
                for value in (*sizes, 'missing'):  # masks are not learnt
                    step.pop(value, None)
            assert own[key] == other[key]
    for key in ('custom_imports', 'custom_hooks', 'default_hooks',
                'randomness', 'data_mode'):
        assert cfg[key] == ssa[key]
    metric, = cfg.val_evaluator
    assert metric.type == ssa.val_evaluator[0].type
    assert metric.score_mode == 'keypoint'  # these give persons no score
    assert cfg.test_evaluator == cfg.val_evaluator
    if 'demo' in name:  # the same steps of training
        for key in ('train_cfg', 'param_scheduler', 'auto_scale_lr',
                    'optim_wrapper'):
            assert cfg[key] == ssa[key]
        assert (cfg.train_dataloader.batch_size
                == ssa.train_dataloader.batch_size)


@pytest.mark.parametrize('name', THEIRS)
def test_model_and_schedule_are_those_of_mmpose(load, name):
    cfg, theirs = load(name), mmpose_config(name)
    theirs.model.backbone.init_cfg = None
    for key in ('data_preprocessor', 'backbone', 'neck'):
        assert cfg.model[key] == theirs.model[key]
    # as SSA
    assert cfg.model.test_cfg == dict(theirs.model.test_cfg, flip_test=False)
    assert cfg.model.get('train_cfg') == theirs.model.get('train_cfg')
    heads = [dict(c.model.head) for c in (cfg, theirs)]
    codecs = [dict(head.pop('decoder')) for head in heads]
    assert codecs[0].pop('type') == 'Masked' + codecs[1].pop('type')
    assert codecs[0] == codecs[1]
    assert heads[0].pop('type') in (heads[1]['type'], 'ContiguousDEKRHead')
    heads[1].pop('type')
    rescore, _ = [head.pop('rescore_cfg', None) for head in heads]
    assert rescore is None  # nothing is downloaded
    assert heads[0] == heads[1]
    assert cfg.param_scheduler == theirs.param_scheduler
    assert cfg.optim_wrapper == theirs.optim_wrapper
    assert cfg.auto_scale_lr == dict(theirs.auto_scale_lr, enable=True)
    for key in ('max_epochs', 'val_interval'):
        assert cfg.train_cfg[key] == theirs.train_cfg[key]
    assert (cfg.train_dataloader.batch_size
            == theirs.train_dataloader.batch_size)
    metrics = [cfg.val_evaluator[0], theirs.val_evaluator]
    for key, default in (('nms_mode', 'oks_nms'), ('score_mode', None),
                         ('iou_type', None), ('use_area', None),
                         ('prefix', None)):
        assert len({metric.get(key, default) for metric in metrics}) == 1


@pytest.mark.parametrize('name', ON_CROWDPOSE)
def test_the_forms_for_crowdpose(load, name):
    """14 keypoints, files and metric as in MMPose; the rest as on COCO."""
    cfg, coco = load(name), load(name[:-len('_crowdpose')])
    theirs = mmpose_config('dekr_hrnet_w32_512_crowdpose')
    for split in ('train', 'val', 'test'):
        ours, other, base = (c[f'{split}_dataloader'].dataset
                             for c in (cfg, theirs, coco))
        for key in ('data_root', 'ann_file', 'data_prefix'):
            assert ours[key] == other[key]
        assert ours.type == base.type
        assert list(steps(ours.pipeline)) == list(steps(base.pipeline))
    head = MODELS.build(cfg.model.head)
    assert head.num_keypoints == 14
    assert cfg.model.backbone == coco.model.backbone
    metric, = cfg.val_evaluator
    for key in ('iou_type', 'use_area', 'prefix'):
        assert metric[key] == theirs.val_evaluator[key]
    assert metric.score_mode == coco.val_evaluator[0].score_mode
    assert cfg.test_evaluator == cfg.val_evaluator
    assert cfg.default_hooks.checkpoint.save_best == 'crowdpose/AP'
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == 300


@pytest.mark.parametrize('name, params, gmacs', [
    ('dekr_hrnet_w32_512', 29.6, 45.4),
    ('dekr_hrnet_w48_640', 65.7, 141.5),
])
def test_sizes_are_the_published_ones(load, name, params, gmacs):
    cfg = load(name)
    with torch.device('meta'):
        found = count(MODELS.build(cfg.model), cfg.codec.input_size)
    assert found['params'] / 1e6 == pytest.approx(params, .01)
    assert found['macs_table7'] / 1e9 == pytest.approx(gmacs, .01)


def test_dekr_demo_is_no_larger_than_the_others(load):
    with torch.device('meta'):
        params, macs = zip(*((found['params'], found['macs']) for found in (
            count(MODELS.build(load(name).model), (160, 160))
            for name in ('dekr_demo', 'higherhrnet_demo'))))
    assert params[0] == pytest.approx(params[1], .25)
    assert macs[0] == pytest.approx(macs[1], .25)


def test_deformable_convolutions_by_hand():
    """6 -> 4 channels in 2 groups, 3x3, on 5x7 cells."""

    class Deform(torch.nn.Module):

        def __init__(self):
            super().__init__()
            self.layer = DeformConv2d(6, 4, 3, padding=1, groups=2)

        def forward(self, image):
            offset = image.new_zeros(1, 18, 5, 7)
            return self.layer(image[:, :1].expand(1, 6, 5, 7), offset)

    class Model(torch.nn.Module):

        def __init__(self):
            super().__init__()
            self.extract_feat, self.head = Deform(), torch.nn.Identity()

    found = count(Model(), (7, 5))
    assert found['macs'] == found['macs_table7'] == 5 * 7 * 4 * 3 * 9
    assert found['params'] == 4 * 3 * 9


# --- both data sets ---------------------------------------------------------


def check_losses(losses):
    assert len(losses) == 2
    for step in losses:
        parts = [value for key, value in step.items() if key != 'loss']
        assert len(parts) >= 2 and np.isfinite(parts).all()
        assert step['loss'] == pytest.approx(sum(parts), 1e-4)
    assert losses[0] != losses[1]


def slow_unless(fast, names):
    return [name if name in fast else pytest.param(
        name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize('name', slow_unless(
    ('dekr_hrnet_w32_512', 'cid_hrnet_w32_512'), COCO))
def test_two_iterations_and_a_test_on_coco(load, coco_mini, tmp_path, name):
    cfg = with_data(tiny(load(name)), data_root=str(coco_mini))
    cfg.model.test_cfg.flip_test = True  # off in the test on CrowdPose
    losses, metrics = train_two_steps(cfg, tmp_path / name, 4)
    check_losses(losses)
    assert 0 <= metrics['coco/AP'] <= 1


@pytest.mark.parametrize('name', slow_unless(
    ('dekr_hrnet_w32_512_crowdpose', 'cid_hrnet_w32_512_crowdpose'),
    ON_CROWDPOSE))
def test_two_iterations_and_a_test_on_crowdpose(load, tmp_path, name):
    if not CROWDPOSE.is_dir():
        pytest.skip(f'needs CrowdPose images in {CROWDPOSE}')
    cfg = with_data(tiny(load(name)), data_root=str(CROWDPOSE),
                    data_prefix=dict(img=''), ann_file='test_crowdpose.json')
    losses, metrics = train_two_steps(cfg, tmp_path / name, 2)
    check_losses(losses)
    assert 0 <= metrics['crowdpose/AP'] <= 1

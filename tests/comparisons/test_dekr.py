"""DEKR and CID on SSA's data, the crowds masked; the forms for CrowdPose."""
import copy
import json

import numpy as np
import pytest
import torch
from factories import CROWDPOSE_MINI as CROWDPOSE
from factories import ROOT, read_once, steps, write_scenes
from mmengine.dataset import Compose
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import load_state_dict
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample

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
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]

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
    train = steps(cfg.train_dataloader.dataset.pipeline)
    codec, head = cfg.codec, cfg.model.head
    assert train['GenerateTarget'].encoder == head.decoder == codec
    assert train['SSARandomAffine'].input_size == codec.input_size
    assert train['GeneratePersonMasks'].heatmap_size == codec.heatmap_size
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = steps(loader.dataset.pipeline)['SSAResize']
        assert resize.input_size == codec.input_size
        assert resize.size_factor % 32 == 0  # HRNet's lowest resolution
    if cfg.model.get('neck'):  # joins all resolutions
        stage4 = cfg.model.backbone.extra.stage4
        assert stage4.multiscale_output
        assert head.in_channels == sum(stage4.num_channels)
    with torch.device('meta'):
        MODELS.build(head)


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


# --- the mask of the crowds -------------------------------------------------


def targets(cfg):
    """A sample of a person on the left and a crowd on the right, 64x64.

    The crowd's polygon covers columns 8 to 15 of 16, rows 4 to 11.
    """
    pipeline = steps(cfg.train_dataloader.dataset.pipeline)
    keypoints = np.zeros((2, 17, 2), np.float32)
    keypoints[0] = np.random.default_rng(0).uniform(4, 28, (17, 2))
    visible = np.zeros((2, 17), np.float32)
    visible[0] = 1
    boxes = np.array([[4, 4, 28, 28], [32, 16, 64, 48]], np.float32)
    people = [
        dict(id=1, image_id=1, iscrowd=0, keypoints=[2] * 51, area=2000,
             bbox=[4, 4, 24, 24],
             segmentation=[[4, 4, 28, 4, 28, 28, 4, 28]]),
        dict(id=2, image_id=1, iscrowd=1, keypoints=[0] * 51, area=1024,
             bbox=[32, 16, 32, 32],
             segmentation=[[32, 16, 64, 16, 64, 48, 32, 48]])]
    results = dict(
        id=[1, 2], img_id=1, img_path='', img=np.zeros((64, 64, 3), np.uint8),
        img_shape=(64, 64), ori_shape=(64, 64), input_size=(64, 64),
        warp_mat=np.eye(2, 3), keypoints=keypoints, keypoints_visible=visible,
        bbox=boxes[:, [[0, 1], [0, 3], [2, 1], [2, 3]]], raw_ann_info=people)
    return Compose([
        pipeline[name] for name in ('GeneratePersonMasks', 'GenerateTarget',
                                    'PackPoseInputs')
    ])(results)['data_samples']


CROWD = np.zeros((16, 16), bool)
CROWD[4:12, 8:] = True


@pytest.mark.parametrize('name', ['dekr_hrnet_w32_512', 'dekr_demo'])
def test_dekr_leaves_crowds_out(load, name):
    """Outputs in a crowd have no gradient, all others of the heatmaps do."""
    cfg = tiny(load(name))
    head, sample = MODELS.build(cfg.model.head), targets(cfg)
    head.forward = lambda outputs: outputs
    outputs = [torch.rand(1, channels, 16, 16, requires_grad=True)
               for channels in (18, 34)]
    losses = head.loss(outputs, [sample])
    gradients = torch.autograd.grad(sum(losses.values()), outputs)
    assert np.array_equal((gradients[0][0] != 0).numpy(),
                          np.broadcast_to(~CROWD, (18, 16, 16)))
    assert gradients[1][0].any() and not gradients[1][0, :, CROWD].any()
    fields = sample.gt_fields
    errors = (outputs[0][0] - fields.heatmaps).square()
    expected = (fields.heatmap_weights * errors)[:, ~CROWD].sum()
    assert losses['loss/heatmap'].item() == pytest.approx(
        expected.item() / (18 * 256))
    # MMPose's own codec is the one that loses the mask
    cfg.train_dataloader.dataset.pipeline[5].encoder.type = 'SPR'
    assert 'heatmap_mask' not in targets(cfg).gt_fields


def test_cid_leaves_crowds_out(load):
    """The keypoints of all persons; features of a crowd have no say."""
    cfg = tiny(load('cid_hrnet_w32_512'))
    head, sample = MODELS.build(cfg.model.head), targets(cfg)
    feats = torch.randn(1, 120, 16, 16, requires_grad=True)
    losses = head.loss([feats], [sample])
    gradient, = torch.autograd.grad(losses['loss/heatmap_coupled'], feats)
    assert np.array_equal(gradient[0].numpy().any(0), ~CROWD)
    assert losses['loss/heatmap_decoupled'].item() > 0
    cfg.train_dataloader.dataset.pipeline[5].encoder.type = 'DecoupledHeatmap'
    assert 'heatmap_mask' not in targets(cfg).gt_fields


# --- targets and persons ----------------------------------------------------


@pytest.mark.parametrize('size', [12, 47, 90, 140, 233, 350])
def test_cid_targets_decode_to_the_keypoints(size, rng):
    """Peaks lie in the keypoints' cells, however large the person."""
    codec = KEYPOINT_CODECS.build(dict(
        type='MaskedDecoupledHeatmap', input_size=(512, 512),
        heatmap_size=(128, 128)))
    corner = rng.uniform(0, 512 - size, 2)
    keypoints = corner + rng.uniform(0, size, (1, 17, 2))
    keypoints[0, :2] = corner, corner + size
    encoded = codec.encode(keypoints.astype(np.float32), np.ones((1, 17)))
    maps = encoded['instance_heatmaps']
    y, x = np.unravel_index(maps.reshape(17, -1).argmax(1), (128, 128))
    cells = np.floor(keypoints[0].astype(np.float32) / 4)
    assert np.array_equal(np.stack([x, y], 1), cells)
    assert (maps.max((1, 2)) == 1).all()  # what the focal loss calls positive
    decoded, _ = codec.decode(maps[None], np.ones((1, 1)))
    # the centres of the cells, as CID's head adds half a cell
    assert np.abs(decoded + 2 - keypoints).max() <= 2 + 1e-4


def outputs(codec, keypoints):
    """Perfect heatmaps and displacements of persons (N, K, 2)."""
    encoded = codec.encode(keypoints.astype(np.float32))
    return tuple(torch.from_numpy(encoded[name])[None]
                 for name in ('heatmaps', 'displacements'))


def test_dekr_head_equals_that_of_mmpose(load):
    """Whose deformable convolutions are mmcv's; values and gradients."""
    cfg = load('dekr_demo').model.head
    torch.manual_seed(0)
    ours, theirs = (MODELS.build(dict(cfg, type=name))
                    for name in ('ContiguousDEKRHead', 'DEKRHead'))
    for parameter in ours.parameters():  # offsets that are not almost 0
        torch.nn.init.normal_(parameter, std=.1)
    theirs.load_state_dict(ours.state_dict())
    features = torch.randn(2, 240, 12, 16)
    results = []
    for head in (ours, theirs):
        given = features.clone().requires_grad_()
        outputs = head((given, ))
        sum(output.square().sum() for output in outputs).backward()
        results.append([*(output.detach() for output in outputs), given.grad,
                        *(weight.grad for weight in head.parameters())])
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=1e-3,
                                   atol=1e-5 * float(expected.abs().max()))


def test_dekr_takes_weights_that_rescore(load, tmp_path):
    """Strictly: MMPose's published ones have the network for it."""
    cfg = tiny(load('dekr_demo')).model
    weights = MODELS.build(dict(cfg, head=dict(cfg.head, rescore_cfg=dict(
        in_channels=74, norm_indexes=(5, 6))))).state_dict()
    assert 'head.rescore_net.l1.weight' in weights
    torch.save(dict(state_dict=weights), tmp_path / 'published.pth')
    model = MODELS.build(cfg)
    load_checkpoint(model, str(tmp_path / 'published.pth'), strict=True)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    # as if of MMPose 0.x, whose files do not tell the version
    load_state_dict(model, dict(weights), strict=True)


def test_dekr_in_channels_last_memory(load):
    """The same values, in the memory layout that MMPose's views need."""
    head = MODELS.build(tiny(load('dekr_demo')).model.head).eval()
    feats = torch.randn(2, 120, 8, 8)
    plain = head((feats, ))
    head.to(memory_format=torch.channels_last)
    found = head((feats.contiguous(memory_format=torch.channels_last), ))
    for ours, theirs in zip(found, plain):
        assert ours.is_contiguous()
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('flip_test', [False, True])
def test_dekr_decodes_perfect_outputs_to_the_keypoints(load, flip_test):
    cfg = load('dekr_demo')
    head = MODELS.build(cfg.model.head)
    rng = np.random.default_rng(1)
    persons = np.stack([rng.uniform(10, 70, (17, 2)),
                        rng.uniform(85, 150, (17, 2))])
    head.forward = lambda feats: outputs(head.decoder, feats)
    feats = persons
    if flip_test:
        mirror = persons[:, MIRRORED].copy()
        mirror[..., 0] = 159 - mirror[..., 0]
        feats = [persons, mirror]
    sample = PoseDataSample(metainfo=dict(
        flip_indices=MIRRORED, input_size=(160, 160)))
    found, = head.predict(feats, [sample],
                          dict(cfg.model.test_cfg, flip_test=flip_test))
    best = found.keypoints[np.argsort(-found.keypoint_scores.mean(1))[:2]]
    best = best[np.argsort(best[:, 0, 0])]
    assert np.abs(best - persons).max() < 1e-3


def test_nobody(load):
    """Empty outputs give no persons, in the shapes that follow."""
    sample = PoseDataSample(metainfo=dict(
        flip_indices=MIRRORED, input_size=(64, 64)))
    cfg = tiny(load('dekr_demo'))
    dekr = MODELS.build(cfg.model.head)
    dekr.forward = lambda feats: (torch.zeros(1, 18, 16, 16),
                                  torch.zeros(1, 34, 16, 16))
    cid = MODELS.build(tiny(load('cid_hrnet_w32_512')).model.head)
    cid.iia_module.keypoint_root_conv.bias.data.fill_(-20.)
    for head in (dekr, cid):
        with torch.no_grad():
            found, = head.predict([torch.zeros(1, 120, 16, 16)], [sample],
                                  dict(nms_dist_thr=0.05))
        assert found.keypoints.shape == (0, 17, 2)
        assert found.keypoint_scores.shape == (0, 17)


# --- both data sets ---------------------------------------------------------


def tiny(cfg):
    """The same config, 8 channels wide, at 64 x 64."""
    extra = cfg.model.backbone.extra
    extra.stage1.update(num_blocks=(1, ), num_channels=(8, ))
    for branches in (2, 3, 4):
        extra[f'stage{branches}'].update(
            num_modules=1, num_blocks=(1, ) * branches,
            num_channels=tuple(8 * 2**i for i in range(branches)))
    head = cfg.model.head
    slim = dict(in_channels=120 if cfg.model.get('neck') else 8,
                gfd_channels=8, num_heatmap_filters=8, num_blocks=1,
                num_displacement_filters_per_keypoint=2)
    head.update({k: v for k, v in slim.items() if k in head})
    if head.get('deconv_out_channels'):
        head.update(deconv_out_channels=(8, ))
    side = 16 * head.decoder.get('num_resolutions', 1)
    head.decoder.update(input_size=(64, 64), heatmap_size=(side, side))
    changed = dict(input_size=(64, 64), heatmap_size=(side, side),
                   size_factor=32, encoder=head.decoder)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        for step in loader.dataset.pipeline:
            step.update({k: v for k, v in changed.items() if k in step})
    return cfg


def data(cfg, **where):
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.update(where)
    return cfg


def train_two_steps(cfg, work_dir, images):
    """Losses of two iterations, and the metrics of a test."""
    cfg.merge_from_dict({
        'work_dir': str(work_dir), 'experiment_name': str(work_dir),
        'visualizer.name': str(work_dir),
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.indices': images,
        'val_dataloader.dataset.indices': images,
        'test_dataloader.dataset.indices': images,
        'train_cfg.max_epochs': 4 // images, 'train_cfg.val_interval': 9,
        'default_hooks.logger.interval': 1})
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    log, = work_dir.glob('*/vis_data/scalars.json')
    logs = [json.loads(line) for line in log.read_text().splitlines()]
    return [{key: value for key, value in line.items() if 'loss' in key}
            for line in logs if 'loss' in line], metrics


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
    cfg = data(tiny(load(name)), data_root=str(coco_mini))
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
    cfg = data(tiny(load(name)), data_root=str(CROWDPOSE),
               data_prefix=dict(img=''), ann_file='test_crowdpose.json')
    losses, metrics = train_two_steps(cfg, tmp_path / name, 2)
    check_losses(losses)
    assert 0 <= metrics['crowdpose/AP'] <= 1


# --- it learns --------------------------------------------------------------


def test_dekr_demo_learns(load, tmp_path):
    """Four images, 25 steps: both losses fall, by all weights."""
    cfg = data(tiny(load('dekr_demo')), data_root=str(write_scenes(tmp_path)))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[i] for i in range(4)]
    batch = dict(inputs=[item['inputs'] for item in items],
                 data_samples=[item['data_samples'] for item in items])
    model = MODELS.build(cfg.model)
    model.init_weights()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(25):
        losses = model(**model.data_preprocessor(batch, training=True),
                       mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append([losses['loss/heatmap'].item(),
                        losses['loss/displacement'].item()])
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    assert history[-1][0] < .6 * history[0][0]
    assert history[-1][1] < .8 * history[0][1]

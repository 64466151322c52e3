"""Every config loads, agrees with itself, builds, and trains a step."""
import json
import math
import re

import numpy as np
import pytest
import torch
from factories import CONFIGS
from factories import CROWDPOSE_MINI as CROWDPOSE
from factories import perfect, steps, write_scenes
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import DATASETS, KEYPOINT_CODECS, METRICS, MODELS
from mmpose.structures import PoseDataSample

pytestmark = pytest.mark.usefixtures('mmpose')

# SSA's; those of its refiner and of the comparisons have tests of their own
NAMES = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in (CONFIGS / '_base_/ssa.py', *CONFIGS.glob('ssa/*.py'),
                 *CONFIGS.glob('demo/ssa_*.py')))
SIDE = 64  # pixels of the input in the tests


@pytest.fixture(scope='module')
def load():
    """Reads each config once; tests get copies."""
    read = {name: Config.fromfile(CONFIGS / name) for name in NAMES}
    return lambda name: read[name].copy()


every_config = pytest.mark.parametrize('name', NAMES)


def test_the_papers_configs_are_there():
    assert {f'ssa/{name}.py' for name in (
        'ssa_r101_640', 'ssa_r152_640', 'ssa_r101_800',
        'ssa_r101_800_test-dev', 'ssa_r50_640', 'ssa_r152_512',
        'ssa_r152_640_naive', 'ssa_r152_640_independent',
        'ssa_r101_640_body-first', 'ssa_r101_s8_640', 'ssa_r101_1024',
        *(f'ssa_proxy_r50_576_layer{i}' for i in range(1, 6)))} <= set(NAMES)


# --- one truth in several places --------------------------------------------


@every_config
def test_all_sizes_agree(load, name):
    cfg = load(name)
    train = steps(cfg.train_dataloader.dataset.pipeline)
    codec = train['GenerateTarget'].encoder
    decoder = cfg.model.head.decoder
    assert codec == cfg.codec
    assert {**decoder, 'grouping': 0} == {**codec, 'grouping': 0}
    size, cells = codec.input_size, codec.heatmap_size
    assert tuple(cells) == tuple(side // 4 for side in size)
    assert train['SSARandomAffine'].input_size == size
    assert train['GeneratePersonMasks'].heatmap_size == cells
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = steps(loader.dataset.pipeline)['SSAResize']
        assert resize.input_size == size
        assert resize.size_factor % codec.token_stride == 0
    neck, head = cfg.model.neck, cfg.model.head
    assert neck.embed_dims == head.in_channels
    doublings = math.log2(codec.token_stride / 4)
    assert len(head.deconv_out_channels) == doublings
    assert len(head.deconv_kernel_sizes) == doublings
    assert head.out_channels == decoder.get('num_keypoints', 17)
    naive = neck.get('association') == 'naive'
    assert (head.mask_loss.loss_weight == 0) == naive


@every_config
def test_pipelines_and_metrics_fit_together(load, name):
    cfg = load(name)
    train = cfg.train_dataloader.dataset.pipeline
    tests = [loader.dataset.pipeline
             for loader in (cfg.val_dataloader, cfg.test_dataloader)]
    for pipeline in (train, *tests):
        Compose(pipeline)
    for pipeline in tests:
        assert {
            'id', 'img_id', 'ori_shape', 'input_size', 'input_center',
            'input_scale', 'flip_indices', 'raw_ann_info'
        } <= set(steps(pipeline)['PackPoseInputs'].meta_keys)
    for evaluator in (*cfg.val_evaluator, *cfg.test_evaluator):
        METRICS.build(evaluator)
        # the decoder's instance score ranks, in both metrics
        assert evaluator.get('score_mode', 'bbox') == 'bbox'
        assert evaluator.get('nms_mode', 'none') == 'none'
        assert evaluator.get('ann_file') is None  # the data set's own
    for loader in (cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader):
        assert DATASETS.get(loader.dataset.type)
        assert loader.dataset.data_mode == 'bottomup'


# --- the paper's numbers ----------------------------------------------------


@pytest.mark.parametrize('name', [n for n in NAMES if n.startswith('ssa/')])
def test_the_papers_recipe(load, name):
    cfg = load(name)
    decoder = KEYPOINT_CODECS.build(cfg.model.head.decoder)
    options = decoder.options
    assert options.score_threshold == options.attraction_threshold == .0025
    assert (options.mask_threshold, options.merge_threshold) == (.4, .3)
    assert (options.nms_kernel, decoder.sigma) == (7, 2)
    train = Compose(cfg.train_dataloader.dataset.pipeline).transforms
    affine, = (t for t in train if type(t).__name__ == 'SSARandomAffine')
    assert affine.rotate_factor == 30 and affine.shift_factor == 40
    assert tuple(affine.scale_factor) == (.75, 1.5)
    assert cfg.train_cfg.max_epochs == 240
    assert cfg.param_scheduler[0].milestones == [150, 200]
    assert cfg.param_scheduler[0].gamma == .1
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
    assert cfg.auto_scale_lr == dict(base_batch_size=8, enable=True)
    large = '800' in name or '1024' in name
    assert cfg.train_dataloader.batch_size == (1 if large else 2)
    assert cfg.model.use_syncbn
    assert not cfg.model.test_cfg.flip_test
    assert cfg.model.head.loss.loss_weight == 1
    proxy = 'proxy' in name
    neck = cfg.model.neck
    assert (neck.embed_dims, neck.feedforward_channels, neck.num_layers,
            neck.num_heads) == ((160, 320, 5, 1) if proxy
                                else (192, 384, 6, 1))
    layer = int(re.search(r'layer(\d)', name)[1]) - 1 if proxy else 3
    assert neck.supervised_layer == layer
    if proxy:
        assert cfg.train_dataloader.dataset.every_nth_image == 5
    if 'naive' not in name:
        assert cfg.model.head.mask_loss.loss_weight == .01


@pytest.mark.parametrize('name, depth, side', [
    ('ssa_r101_640', 101, 640), ('ssa_r152_640', 152, 640),
    ('ssa_r101_800', 101, 800), ('ssa_r101_800_test-dev', 101, 800),
    ('ssa_r50_640', 50, 640), ('ssa_r152_512', 152, 512),
    ('ssa_r101_s8_640', 101, 640), ('ssa_r101_1024', 101, 1024),
    ('ssa_proxy_r50_576_layer4', 50, 576)])
def test_backbone_and_size_are_those_of_the_name(load, name, depth, side):
    cfg = load(f'ssa/{name}.py')
    backbone = cfg.model.backbone
    assert backbone.depth == depth
    assert backbone.init_cfg.checkpoint == f'torchvision://resnet{depth}'
    assert tuple(cfg.codec.input_size) == (side, side)


@pytest.mark.parametrize('name, tokens', [
    ('ssa_r101_s8_640', 80), ('ssa_r101_1024', 64)])
def test_many_tokens_have_no_dropout_between_them(load, name, tokens):
    """The attention of CPUs is linear in memory without it only."""
    cfg = load(f'ssa/{name}.py')
    assert cfg.model.neck.attn_drop == 0
    assert cfg.codec.input_size[0] // cfg.codec.token_stride == tokens


@torch.no_grad()
@pytest.mark.parametrize('name', ['ssa_r101_640', 'ssa_r101_s8_640'])
def test_the_strides_of_the_backbone_are_the_codecs(load, name):
    """A thin one of as many stages; dilation makes up for the strides."""
    cfg = load(f'ssa/{name}.py')
    backbone = cfg.model.backbone
    total = 4 * math.prod(backbone.strides)
    assert total == cfg.codec.token_stride
    # each stride left out doubles the dilation from that stage on
    expected, dilation = [], 1
    for stride, usual in zip(backbone.strides, (1, 2, 2, 2)):
        dilation *= usual // stride
        expected.append(dilation)
    assert list(backbone.dilations) == expected
    thin = MODELS.build(dict(backbone, depth=50, base_channels=4,
                             stem_channels=4, init_cfg=None))
    assert thin(torch.zeros(1, 3, SIDE, SIDE))[-1].shape[2] == SIDE // total


def test_the_test_server_gets_a_file_and_no_metrics(load):
    cfg = load('ssa/ssa_r101_800_test-dev.py')
    metric, = cfg.test_evaluator
    assert metric.format_only and metric.outfile_prefix
    assert 'test-dev' in cfg.test_dataloader.dataset.ann_file


# --- other keypoints --------------------------------------------------------


@pytest.fixture
def train_and_test(tmp_path):
    """Two iterations and a test of a thin network at 64 x 64."""

    def run(config, *lines):
        path = tmp_path / 'thin.py'
        path.write_text('\n'.join((
            f'_base_ = [{str(config)!r}]',
            'from mmpose_ssa.engine.config import refit',
            'refit(_base_, dict(input_size=(64, 64), heatmap_size=(16, 16)))',
            'model = dict(neck=dict(in_channels=64), backbone=dict(depth=18,',
            '             base_channels=8, init_cfg=None))', *lines)))
        cfg = Config.fromfile(path)
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'].update(
                num_workers=0, persistent_workers=False)
        cfg.merge_from_dict({
            'work_dir': str(tmp_path), 'experiment_name': tmp_path.name,
            'visualizer.name': tmp_path.name, 'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 9, 'default_hooks.logger.interval': 1})
        runner = Runner.from_cfg(cfg)
        runner.train()
        metrics = runner.test()
        log, = tmp_path.glob('*/vis_data/scalars.json')
        logged = [json.loads(line) for line in log.read_text().splitlines()]
        return runner, metrics, [step for step in logged if 'loss' in step]

    return run


@pytest.mark.parametrize('name', ['crowdpose', pytest.param(
    'naive_crowdpose', marks=pytest.mark.slow)])
def test_crowdpose_needs_no_masks(train_and_test, name):
    """Trained and tested on its images, supervised by keypoints or naive."""
    if not CROWDPOSE.is_dir():
        pytest.skip(f'needs CrowdPose images in {CROWDPOSE}')
    data = dict(data_root=str(CROWDPOSE), data_prefix=dict(img=''),
                ann_file='test_crowdpose.json')
    _, metrics, log = train_and_test(
        CONFIGS / f'ssa/ssa_r101_640_{name}.py',
        f'refit(_base_, train={data}, test={data})')
    assert 0 <= metrics['crowdpose/AP'] <= 1
    assert not any('mask_error' in step for step in log)  # nobody has a mask
    for step in log:
        parts = [step.pop(part, 0.) for part in ('loss_kpt', 'loss_pair')]
        assert step['loss'] == pytest.approx(sum(parts))
        assert parts[0] > 0 and (parts[1] > 0) == (name == 'crowdpose')


def test_ochuman_is_tested_with_weights_of_coco(load, tmp_path):
    """On synthetic people in the layout of its files."""
    trained = load('ssa/ssa_r101_640.py')
    cfg = load('ssa/ssa_r101_640_ochuman.py')
    assert cfg.model == trained.model
    assert cfg.train_dataloader == trained.train_dataloader
    assert cfg.val_dataloader == trained.val_dataloader
    scenes = write_scenes(tmp_path / 'scenes')
    root = tmp_path / 'ochuman'
    (root / 'annotations').mkdir(parents=True)
    (scenes / 'val2017').rename(root / 'images')
    file = root / cfg.test_dataloader.dataset.ann_file
    (scenes / 'annotations/person_keypoints_val2017.json').rename(file)
    cfg.test_dataloader.dataset.data_root = str(root)
    data = DATASETS.build(cfg.test_dataloader.dataset)
    coco = DATASETS.build(dict(
        cfg.test_dataloader.dataset, lazy_init=True,
        metainfo=dict(from_file='configs/_base_/datasets/coco.py')))
    for key in ('keypoint_id2name', 'flip_indices', 'sigmas'):
        assert str(data.metainfo[key]) == str(coco.metainfo[key])
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = data.metainfo
    persons = [a for a in json.loads(file.read_text())['annotations']
               if a['num_keypoints']]
    for ann in persons:
        evaluator.process([perfect(ann, file)], {})
    metrics = evaluator.evaluate(len(persons))
    assert metrics['ochuman/AP'] == pytest.approx(1)
    assert 0 < metrics['mask/AP'] <= 1  # some have a mask alone


def snippets(page: str) -> list:
    """The Python blocks of a page of the documentation."""
    text = (CONFIGS.parent / 'docs' / page).read_text()
    return re.findall('```python\n(.*?)```', text, re.DOTALL)


def with_path(snippet: str) -> str:
    """A config that may stand anywhere."""
    return re.sub(r"_base_ = \['", f"_base_ = ['{CONFIGS}/ssa/", snippet)


FIVE = [0, 9, 10, 15, 16]  # of COCO's 17: nose, wrists, ankles


def test_five_keypoints_of_ones_own(train_and_test, tmp_path, monkeypatch):
    """By the configs of the documentation, on synthetic people."""
    config, metainfo = snippets('data.md')[:2]
    monkeypatch.chdir(tmp_path)
    root = write_scenes(tmp_path / 'data/my_people')
    (root / 'train2017').rename(root / 'images')
    content = json.loads((
        root / 'annotations/person_keypoints_train2017.json').read_text())
    for person in content['annotations']:
        table = np.reshape(person['keypoints'], (17, 3))[FIVE]
        person.update(keypoints=table.ravel().tolist(),
                      num_keypoints=int((table[:, 2] > 0).sum()))
    for split in ('train', 'val'):
        (root / f'annotations/{split}.json').write_text(json.dumps(content))
    (root / 'metainfo.py').write_text(metainfo)
    (tmp_path / 'my_keypoints.py').write_text(with_path(config))
    runner, metrics, log = train_and_test(tmp_path / 'my_keypoints.py')
    assert runner.model.head.final_layer.out_channels == 5
    options = runner.model.head.decoder.options
    assert options.order == (0, 1, 2, 3, 4)
    assert options.edges == ((0, 1), (0, 2), (0, 3), (0, 4))
    assert len(log) == 4  # two iterations of two images, twice
    assert all(step['loss_kpt'] > 0 and step['loss_mask'] > 0 for step in log)
    assert 0 <= metrics['coco/AP'] <= 1 and 0 <= metrics['mask/AP'] <= 1
    meta = runner.test_dataloader.dataset.metainfo
    assert meta['flip_indices'] == [0, 2, 1, 4, 3]
    assert meta['sigmas'].tolist() == pytest.approx(
        [.026, .062, .062, .089, .089])


@pytest.mark.parametrize('snippet', [
    s for s in snippets('configs.md') if '_base_' in s])
def test_configs_of_the_documentation_build(tmp_path, snippet):
    (tmp_path / 'own.py').write_text(with_path(snippet))
    cfg = Config.fromfile(tmp_path / 'own.py')
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        Compose(loader.dataset.pipeline)
    cfg.model.backbone.init_cfg = None
    with torch.device('meta'):
        MODELS.build(cfg.model)


# --- a step of training -----------------------------------------------------


def small(model) -> dict:
    """The same model for a small input, without pretrained weights."""
    model = model.to_dict()
    model.pop('refiner', None)  # of testing alone
    model['test_cfg'] = {}
    model['backbone']['init_cfg'] = None
    codec = model['head']['decoder']
    stride = codec['token_stride']
    assert SIDE % stride == 0
    codec.update(input_size=(SIDE, SIDE), heatmap_size=(SIDE // 4, ) * 2)
    codec.pop('grouping', None)  # matters in testing only
    return model


def targets(codec, seed):
    """A sample of two persons."""
    rng = np.random.default_rng(seed)
    people = dict(
        iscrowd=[0, 0], bbox=np.array([[0, 0, SIDE, SIDE]] * 2),
        area=np.array([SIDE**2] * 2), skeleton_links=codec.options.edges)
    encoded = codec.encode(
        rng.uniform(0, SIDE, (2, codec.num_keypoints, 2)).astype(np.float32),
        np.ones((2, codec.num_keypoints), np.float32),
        rng.integers(0, 2, (2, *codec.heatmap_size)), **people)
    fields = dict(heatmap_mask=np.ones((1, *codec.heatmap_size)), **{
        name: encoded[name] for name in ('heatmaps', 'instance_masks')})
    return PoseDataSample(
        gt_fields=PixelData(**{name: torch.from_numpy(value)
                               for name, value in fields.items()}),
        gt_instance_labels=InstanceData(**{
            name: torch.from_numpy(encoded[name])
            for name in encoded if name in (
                'keypoint_tokens', 'keypoint_weights', 'pair_targets')}))


@pytest.fixture(scope='module')
def trained():
    """The models that did their step; configs that share one do it once."""
    return {}


@every_config
def test_a_step_reaches_every_parameter(load, trained, name):
    options = small(load(name).model)
    key = json.dumps(options, sort_keys=True)
    if key not in trained:
        trained[key] = gradients_of(options)
    losses, gradients = trained[key]
    naive = options['neck'].get('association') == 'naive'
    if 'pair_loss' in options['head']:
        assert losses.pop('loss_pair') == 0  # both people have masks
    assert set(losses) == {'loss_kpt', 'mask_error', *(
        [] if naive else ['loss_mask'])}
    assert all(math.isfinite(loss) and loss > 0 for loss in losses.values())
    assert all(math.isfinite(size) for size in gradients.values()), gradients
    # all but what lies before the last norm, 0 at first, of a residual block
    block = re.compile(r'backbone\.join\.block\.[0-3]\.')
    assert not {name for name, size in gradients.items()
                if size == 0 and not block.match(name)}


def gradients_of(options) -> tuple:
    """Losses, and the largest gradient of each parameter, by name."""
    torch.manual_seed(0)
    model = MODELS.build(options).train()
    samples = [targets(model.head.decoder, seed) for seed in range(2)]
    losses = model.loss(torch.randn(2, 3, SIDE, SIDE), samples)
    model.parse_losses(losses)[0].backward()
    return ({name: loss.item() for name, loss in losses.items()},
            {name: parameter.grad.abs().max().item()
             for name, parameter in model.named_parameters()})

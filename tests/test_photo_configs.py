"""The configs for photos, on synthetic people with and without masks."""
import json

import pytest
import torch
from factories import CONFIGS, write_scenes
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

pytestmark = pytest.mark.usefixtures('mmpose')
pytest.importorskip('timm')

PHOTOS = CONFIGS / 'photos'


@pytest.fixture
def photos(tmp_path):
    """A data root like coco_photos, without masks in train_nomask."""
    root = write_scenes(tmp_path / 'photos')
    annotations = root / 'annotations'
    content = json.loads(
        (annotations / 'person_keypoints_train2017.json').read_text())
    for name in ('train', 'train_nomask', 'val'):
        (root / name).symlink_to(root / 'train2017')
    (annotations / 'person_keypoints_val.json').write_text(json.dumps(content))
    for person in content['annotations']:
        del person['segmentation']
    (annotations / 'person_keypoints_train_nomask.json').write_text(
        json.dumps(content))
    return root


def steps(pipeline):
    return {step.type: step for step in pipeline}


@pytest.mark.parametrize('name, side', [('ssa_photos', 256),
                                        ('ssa_photos_crops', 160)])
def test_sizes_of_training_and_testing(name, side):
    cfg = Config.fromfile(PHOTOS / f'{name}.py')
    assert len(cfg.train_dataloader.dataset.datasets) == 2
    for data in cfg.train_dataloader.dataset.datasets:
        train = steps(data.pipeline)
        cells = side // 4
        assert tuple(train['SSARandomAffine'].input_size) == (side, side)
        assert train['GeneratePersonMasks'].missing == 'empty'
        assert tuple(train['GeneratePersonMasks'].heatmap_size) == (
            cells, cells)
        encoder = train['GenerateTarget'].encoder
        assert tuple(encoder.input_size) == (side, side)
        assert tuple(encoder.heatmap_size) == (cells, cells)
        assert dict(encoder, input_size=0, heatmap_size=0) == dict(
            cfg.model.head.decoder, input_size=0, heatmap_size=0)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = steps(loader.dataset.pipeline)['SSAResize']
        assert tuple(resize.input_size) == (256, 256)
        assert resize.size_factor == 8
        assert 'train' not in loader.dataset.ann_file


def test_size_of_the_model():
    """12 MB in half precision at most."""
    cfg = Config.fromfile(PHOTOS / 'ssa_photos.py')
    init_default_scope('mmpose')
    model = MODELS.build(cfg.model)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == 4_125_585
    frozen = [name for name, parameter in model.named_parameters()
              if not parameter.requires_grad]
    assert frozen[0] == 'backbone.model.conv_stem.weight'
    assert all(name.startswith('backbone.model.') and '.blocks.2.' not in name
               for name in frozen)


def test_crops_train_all_three_losses(photos, tmp_path):
    """Two iterations, each of two images of which one has no masks."""
    cfg = Config.fromfile(PHOTOS / 'ssa_photos_crops.py')
    cfg.model.backbone.pretrained = None
    for data in cfg.train_dataloader.dataset.datasets:
        data.update(data_root=str(photos), indices=1)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(data_root=str(photos), indices=1)
    cfg.merge_from_dict({
        'work_dir': str(tmp_path / 'work'), 'experiment_name': 'photos',
        'visualizer.name': 'photos', 'train_dataloader.batch_size': 2,
        'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2,
        'default_hooks.logger.interval': 1})
    runner = Runner.from_cfg(cfg)
    frozen = runner.model.backbone.model.conv_stem.weight.clone()
    runner.train()
    assert torch.equal(runner.model.backbone.model.conv_stem.weight, frozen)
    log, = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [step for step in logged if 'loss' in step]
    assert len(losses) == 2
    for step in losses:
        assert min(step['loss_kpt'], step['loss_mask'], step['loss_pair']) > 0
    assert 0 <= logged[-1]['coco/AP'] <= 1 and 0 <= logged[-1]['mask/AP'] <= 1

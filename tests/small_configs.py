"""Configs of the methods compared with, small enough for two iterations."""
import json
from pathlib import Path
from typing import List, Tuple

import torch
from factories import steps
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.registry import MODELS

SPLITS = ('train', 'val', 'test')


def tiny(cfg: Config) -> Config:
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
        head.update(deconv_out_channels=(8, ), num_blocks=1)
    side = 16 * head.decoder.get('num_resolutions', 1)
    sizes = dict(input_size=(64, 64), heatmap_size=(side, side))
    head.decoder.update(sizes)
    changed = dict(sizes, size_factor=32, encoder=head.decoder)
    for split in SPLITS:
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        for step in loader.dataset.pipeline:
            step.update({k: v for k, v in changed.items() if k in step})
    return cfg


def check_sizes(cfg: Config) -> None:
    """Codec, head and the pipelines agree about sizes."""
    train = steps(cfg.train_dataloader.dataset.pipeline)
    codec, head = cfg.codec, cfg.model.head
    assert train['GenerateTarget'].encoder == head.decoder == codec
    assert train['SSARandomAffine'].input_size == codec.input_size
    assert train['GeneratePersonMasks'].heatmap_size == codec.heatmap_size
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = steps(loader.dataset.pipeline)['SSAResize']
        assert resize.input_size == codec.input_size
        assert resize.size_factor % 32 == 0  # HRNet's lowest resolution
    with torch.device('meta'):
        MODELS.build(head)  # which checks whether it fits its decoder


def with_data(cfg: Config, **where) -> Config:
    """The config with these arguments of all its data sets."""
    for split in SPLITS:
        cfg[f'{split}_dataloader'].dataset.update(where)
    return cfg


def train_two_steps(cfg: Config, work_dir: Path,
                    images: int) -> Tuple[List[dict], dict]:
    """Train two iterations of two images, and test.

    Returns:
        Losses by name of each iteration, and the metrics.
    """
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
    before = {name: value.clone()
              for name, value in runner.model.state_dict().items()}
    metrics = runner.test()
    assert all(value.equal(before[name])
               for name, value in runner.model.state_dict().items())
    log, = work_dir.glob('*/vis_data/scalars.json')
    logs = [json.loads(line) for line in log.read_text().splitlines()]
    return [{key: value for key, value in line.items() if 'loss' in key}
            for line in logs if 'loss' in line], metrics

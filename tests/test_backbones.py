"""Configs with other backbones: trained, resumed and counted as written."""
import random
import re
from pathlib import Path

import complexity
import pytest
import torch
from factories import CONFIGS, write_scenes
from mmengine.config import Config
from mmengine.runner import Runner

pytestmark = pytest.mark.usefixtures('mmpose')
pytest.importorskip('timm')

# small ones; the other has too many parameters to be saved quickly
SMALL = ('efficientnet_lite0', 'cspnext_m')
SLOW = [pytest.param(name, marks=pytest.mark.slow)
        for name in ('cspnext_m', 'convnext_tiny')]
SIZE = dict(input_size=(64, 64), heatmap_size=(16, 16))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'))


def train(folder: Path, root: Path, name: str, epochs: int, **options):
    """Train as the config says, on one batch an epoch; the weights."""
    folder.mkdir(exist_ok=True)
    path = folder / 'small.py'
    path.write_text('\n'.join((
        f"_base_ = ['{CONFIGS}/ssa/ssa_{name}_640.py']",
        'from mmpose_ssa.engine.config import refit',
        f'refit(_base_, {SIZE})')))
    cfg = Config.fromfile(path)
    for split in ('train', 'val'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(root), indices=2)
    if 'pretrained' in cfg.model.backbone:
        cfg.model.backbone.pretrained = None
    cfg.merge_from_dict({
        'work_dir': str(folder), 'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': 99, 'randomness.seed': 0,
        'default_hooks.checkpoint.interval': 1,
        'experiment_name': f'{name}_{random.random()}',
        'visualizer.name': name, **options})
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone()
              for key, value in runner.model.state_dict().items()}
    runner.train()
    return before, runner.model.state_dict()


@pytest.mark.parametrize('name', ['efficientnet_lite0', *SLOW])
def test_two_iterations_and_resuming_between_them(tmp_path, root, name):
    start, whole = train(tmp_path / 'whole', root, name, 2)
    train(tmp_path / 'resumed', root, name, 1)
    _, resumed = train(tmp_path / 'resumed', root, name, 2, resume=True)
    assert start.keys() == whole.keys() == resumed.keys()
    for key, value in whole.items():
        assert torch.equal(resumed[key], value), key
    moved = {key.split('.')[0] for key, value in whole.items()
             if not torch.equal(start[key], value)}
    assert moved == {'backbone', 'neck', 'head'}


@pytest.mark.parametrize('name', [*SMALL, 'convnext_tiny'])
def test_the_documented_size(name):
    """Parameters and multiply-adds of `docs/configs.md`."""
    row, = re.findall(rf'`ssa_{name}_640` .*?([\d.]+) M[^,]*, ([\d.]+) G',
                      (CONFIGS.parent / 'docs/configs.md').read_text())
    found = complexity.counts(str(CONFIGS / f'ssa/ssa_{name}_640.py'))
    assert [f'{found["params"] / 1e6:.1f}',
            f'{found["macs"] / 1e9:.1f}'] == list(row)

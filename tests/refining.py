"""An SSA with a refiner, as the tests of both need it."""
import factories
import numpy as np
import torch
from factories import TINY
from mmengine.config import Config

TOPDOWN = str(factories.TOPDOWN)
K = 17


def refined_config(refiner, **test_cfg):
    """The tiny SSA with a refiner."""
    cfg = Config.fromfile(TINY)
    cfg.model.refiner = refiner
    cfg.model.test_cfg.update(test_cfg)
    cfg.test_dataloader.dataset.pipeline[0].keep_original = True
    return cfg


def noise_boxes(rng, number, h=70, w=110):
    """(number, 4) boxes x0, y0, x1, y1 inside the image."""
    corners = rng.uniform(0, [w / 2, h / 2], (number, 2))
    return np.hstack([corners, corners + rng.uniform(10, 40, (number, 2))])


def without_people(model):
    """The model with heatmaps of zeros."""
    for parameter in model.head.final_layer.parameters():
        torch.nn.init.zeros_(parameter)
    return model


def runner_config(cfg, data, name):
    """The config for an epoch of the images of ``data``, in its own folder."""
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.update(
            data_root=str(data), ann_file='persons.json',
            data_prefix=dict(img=''))
    cfg.merge_from_dict({
        'work_dir': str(data / name), 'experiment_name': f'{data}{name}',
        'visualizer.name': f'{data}{name}', 'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1, 'custom_hooks': [
            dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=.1)],
        'default_hooks.checkpoint.interval': 1})
    return cfg

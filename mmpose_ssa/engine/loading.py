"""Configs, weights and devices: what a user names, checked and loaded."""
from . import compat  # noqa: F401  before MMPose  # isort: split

import copy
from pathlib import Path
from typing import Union

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmpose.apis import init_model

from ..errors import RunError
from .pickle_program import shown
from .strict_testing import not_finite

# What MMPose's data sets tell of themselves, see parse_pose_metainfo
METAINFO = frozenset((
    'dataset_name', 'paper_info', 'num_keypoints', 'keypoint_id2name',
    'keypoint_name2id', 'upper_body_ids', 'lower_body_ids', 'flip_indices',
    'flip_pairs', 'keypoint_colors', 'num_skeleton_links', 'skeleton_links',
    'skeleton_link_colors', 'dataset_keypoint_weights', 'sigmas', 'CLASSES',
    'classes'))


def read_config(config: Union[str, Config]) -> Config:
    """Read a config file, or copy a config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as a config.
    """
    if isinstance(config, Config):
        return copy.deepcopy(config)
    _check_config_file(config)
    try:
        return Config.fromfile(config)
    except Exception as error:  # whatever the file's own code raises
        raise ValueError(f'{config} cannot be read as a config, give its .py '
                         f'file: {error}') from error


def check_files(config: Union[str, Config], checkpoint: str) -> None:
    """Raise FileNotFoundError unless the files exist; read nothing.

    Args:
        config: The config, or its file.
        checkpoint: File or URL of the weights; a URL is not checked.
    """
    if not isinstance(config, Config):
        _check_config_file(config)
    if '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'checkpoint {checkpoint} does not exist: give the file of a '
            'training, e.g. work_dirs/NAME/epoch_240.pth')


def _check_config_file(config: str) -> None:
    if not Path(config).is_file():
        raise FileNotFoundError(
            f'config {config} does not exist: give the file of a config, '
            'e.g. configs/ssa/ssa_r101_640.py')


def check_device(device: str) -> None:
    """Raise ValueError unless PyTorch finds a device."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f'device {device!r} cannot be used: give cpu, or cuda where there '
            f'is a GPU ({str(error).splitlines()[0]})') from error


def load_estimator(cfg: Config,
                   checkpoint: str,
                   device: str = 'cpu') -> nn.Module:
    """Build any MMPose estimator with exactly the given weights.

    Args:
        cfg: The config; MMPose changes it.
        checkpoint: File or address of the weights.
        device: As PyTorch names it.

    Returns:
        The estimator in evaluation mode, with ``cfg`` and ``dataset_meta``
        (the checkpoint's, or else the config's), for MMPose's own functions.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the weights are damaged, cannot be fetched, hold code
            or numbers that are not finite, or are not those of the config's
            model.
    """
    check_files(cfg, checkpoint)
    model = init_model(cfg, None, device)
    try:
        loaded = load_checkpoint(
            model, str(checkpoint), 'cpu', strict=True, logger='silent')
    except RunError:  # it names file and cure
        raise
    except RuntimeError as error:
        raise ValueError(
            f'{checkpoint} does not fit the model of {cfg.filename}: give '
            f'the config with which it was trained ({_short(error)})'
        ) from error
    except OSError as error:
        raise ValueError(f'{checkpoint} may not be read: change its '
                         f'permissions ({error})') from error
    spoilt = not_finite(model)
    if spoilt:
        raise ValueError(
            f'{checkpoint} holds weights that are not finite ({spoilt}): its '
            'training diverged, give an earlier checkpoint')
    meta = loaded.get('meta', {}).get('dataset_meta')
    if meta:
        fault = metainfo_fault(meta) or _other_keypoints(meta, model)
        if fault:
            raise ValueError(f'{checkpoint}: dataset_meta is none of MMPose '
                             f'({fault})')
        # other entries could replace images and boxes
        model.dataset_meta = {key: value for key, value in meta.items()
                              if key in METAINFO}
    return model


def _short(error: RuntimeError, most: int = 3) -> str:
    """The first lines of PyTorch's list of what does not fit."""
    lines = [line.strip()[:200] for line in str(error).splitlines()]
    more = len(lines) - 1 - most
    kept = ' '.join(lines[:1 + most])
    return f'{kept} ... and {more} more' if more > 0 else kept


def _other_keypoints(meta: dict, model: nn.Module) -> str:
    """Says so where the model has another number of keypoints, or ''."""
    own = getattr(getattr(model.head, 'decoder', None), 'num_keypoints', None)
    if own in (None, meta['num_keypoints']):
        return ''
    return (f'num_keypoints is {meta["num_keypoints"]}, but the model of the '
            f'config has {own}')


def metainfo_fault(meta: dict) -> str:
    """What of a checkpoint's ``dataset_meta`` does not hold together, or ''.

    Args:
        meta: What MMPose tells of keypoints; anything may stand in it.
    """
    count = meta.get('num_keypoints')
    if type(count) is not int or not 0 < count < 10000:
        return f'num_keypoints is {shown(count)}'

    def indices(value, length=None) -> bool:
        return isinstance(value, (list, tuple)) and all(
            type(k) is int and 0 <= k < count for k in value) and (
                length is None or len(value) == length)

    def numbers(value, *shape) -> bool:
        return isinstance(value, np.ndarray) and value.shape == shape and \
            value.dtype.kind in 'iuf' and bool(np.isfinite(value).all())

    names, links = meta.get('keypoint_id2name'), meta.get('skeleton_links')
    right = dict(
        keypoint_id2name=isinstance(names, dict) and set(names) == set(
            range(count)) and all(type(n) is str for n in names.values()),
        flip_indices=indices(meta.get('flip_indices'), count),
        skeleton_links=isinstance(links, (list, tuple)) and all(
            indices(link, 2) for link in links),
        sigmas=numbers(meta.get('sigmas'), count),
        keypoint_colors=numbers(meta.get('keypoint_colors'), count, 3))
    right['skeleton_link_colors'] = right['skeleton_links'] and numbers(
        meta.get('skeleton_link_colors'), len(links), 3)
    wrong = [key for key, holds in right.items() if not holds]
    return f'{wrong[0]} is {shown(meta.get(wrong[0]))}' if wrong else ''

"""HigherHRNet: names of published weights, and the config they belong to."""
import re
from pathlib import Path
from typing import Callable, Dict, Optional

import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split
import torch
import torch.nn as nn
from mmpose.apis import init_model
from torch import Tensor

from mmpose_ssa.engine.loading import read_config

from .weights import listed, read_weights, renamed, save_weights

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/comparisons'
# by width and number of keypoints
NAMES = {(32, 17): 'higherhrnet_w32_512',
         (48, 17): 'higherhrnet_w48_640',
         (32, 14): 'higherhrnet_w32_512_crowdpose',
         (48, 14): 'higherhrnet_w48_640_crowdpose'}
# of the backbone's names and the head's: the official ones; those in half
# precision, where a layer before the model makes float16 of its input; MMPose
PREFIXES = (('', ''), ('1.', '1.'), ('backbone.', 'keypoint_head.'))


def naming(weights: Dict[str, Tensor]) -> Callable[[str], str]:
    """What the file's publisher calls one of our weights.

    Raises:
        ValueError: If the names are of neither publisher.
    """
    for backbone, head in PREFIXES:
        if {f'{backbone}conv1.weight',
                f'{head}final_layers.0.weight'} <= set(weights):
            return lambda name: _published(name, backbone, head)
    raise ValueError(
        'a checkpoint of another model: neither the official names of '
        'HigherHRNet nor those of MMPose 0.x, but '
        f'{listed(list(weights))}')


def _published(name: str, backbone: str, head: str) -> str:
    """A weight's name with the publisher's prefixes and nesting."""
    part, _, rest = name.partition('.')
    if part == 'backbone':
        return backbone + rest
    # the residual blocks stand in a sequence of one each
    return head + re.sub(r'^(deconv_layers\.\d+\.[1-9]\d*)\.', r'\1.0.', rest)


def config_of(weights: Dict[str, Tensor],
              name_of: Callable[[str], str]) -> Path:
    """The config of the model that is as wide and finds as many keypoints.

    Raises:
        ValueError: If there is none.
    """
    name = name_of('head.final_layers.0.weight')
    if weights[name].dim() != 4:
        raise ValueError(f'a checkpoint of another model: {name} of shape '
                         f'{tuple(weights[name].shape)} is no convolution')
    outputs, width = weights[name].shape[:2]
    model = width, outputs // 2  # a heatmap and a tag for each
    if model not in NAMES:
        known = ', '.join(f'w{w} for {k}' for w, k in NAMES)
        raise ValueError(
            f'HigherHRNet-w{width} for {outputs // 2} keypoints, where '
            f'configs/comparisons has {known}: give the config of your data '
            'with --config')
    return CONFIGS / f'{NAMES[model]}.py'


def build(config: Path) -> nn.Module:
    """The model of a config.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no config of a model with tags.
    """
    cfg = read_config(config)
    head = cfg.get('model', {}).get('head', {}).get('type')
    if head != 'HigherResolutionHead':
        raise ValueError(
            f"{config} has {f'a {head}' if head else 'no head'}: give a "
            'config of HigherHRNet, which has a HigherResolutionHead')
    return init_model(cfg, device='cpu')


def check(model: nn.Module) -> None:
    """Run the model on noise.

    Raises:
        ValueError: If the outputs are not finite numbers.
    """
    noise = torch.randn(
        1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        heatmaps, tags = model.head.forward(model.extract_feat(noise))
    if not all(maps.isfinite().all() for maps in (*heatmaps, tags)):
        raise ValueError('the converted model gives values that are not '
                         'finite: the file is damaged, fetch it again')


def convert(published: str, out: str,
            config: Optional[str] = None) -> Path:
    """Convert a file; return the config that it belongs to.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the file is not one of HigherHRNet's, or damaged.
    """
    weights = read_weights(published)
    name_of = naming(weights)
    if config is None:
        config = config_of(weights, name_of)
        print(f'Taken for {config.stem}. The weights do not contain the input '
              'size: for another, give --config')
    config = Path(config)
    model = build(config)
    try:
        model.load_state_dict(renamed(weights, model, name_of))
    except ValueError as error:
        raise ValueError(f'{published} does not fit {config}: {error}'
                         ) from error
    check(model)
    save_weights(model, out)
    return config

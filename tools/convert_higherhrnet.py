"""Turn published weights of HigherHRNet into a checkpoint of this package.

    python tools/convert_higherhrnet.py pose_higher_hrnet_w32_512.pth \
        weights/higherhrnet_w32.pth

The weights are those of github.com/HRNet/HigherHRNet-Human-Pose-Estimation or
of MMPose 0.x, whose names differ. Those for COCO belong to the config of their
width in ``configs/comparisons/``; for others give a config with ``--config``.
"""
import argparse
import re
from pathlib import Path
from typing import Callable, Dict, Optional

import mmpose_ssa  # noqa: F401  before mmpose.apis  # isort: split
import torch
import torch.nn as nn
from mmengine.config import Config
from mmpose.apis import init_model
from torch import Tensor

from mmpose_ssa.published_weights import (listed, read_weights, renamed,
                                          save_weights)

CONFIGS = Path(__file__).resolve().parents[1] / 'configs/comparisons'
BY_WIDTH = {32: CONFIGS / 'higherhrnet_w32_512.py',
            48: CONFIGS / 'higherhrnet_w48_640.py'}


def naming(weights: Dict[str, Tensor]) -> Callable[[str], str]:
    """What the file's publisher calls one of our weights.

    Raises:
        ValueError: If the names are of neither publisher.
    """
    for backbone, head in (('', ''), ('backbone.', 'keypoint_head.')):
        if {f'{backbone}conv1.weight',
                f'{head}final_layers.0.weight'} <= set(weights):
            return lambda name: _published(name, backbone, head)
    raise ValueError(
        'a checkpoint of another model: neither the official names of '
        'HigherHRNet nor those of MMPose 0.x, but '
        f'{listed(list(weights))}')


def _published(name: str, backbone: str, head: str) -> str:
    """A weight's name with the publisher's prefixes and nesting."""
    room, _, rest = name.partition('.')
    if room == 'backbone':
        return backbone + rest
    # the residual blocks stand in a sequence of one each
    return head + re.sub(r'^(deconv_layers\.\d+\.[1-9]\d*)\.', r'\1.0.', rest)


def config_of(weights: Dict[str, Tensor],
              name_of: Callable[[str], str]) -> Path:
    """The config of the model that is as wide and finds 17 keypoints.

    Raises:
        ValueError: If there is none.
    """
    outputs, width = weights[name_of('head.final_layers.0.weight')].shape[:2]
    if width not in BY_WIDTH or outputs != 34:
        raise ValueError(
            f'HigherHRNet-w{width} for {outputs // 2} keypoints, where '
            f'configs/comparisons has {sorted(BY_WIDTH)} for 17: give the '
            'config of your data with --config')
    return BY_WIDTH[width]


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


def convert(source: str, out: str, config: Optional[str] = None) -> Path:
    """Convert a file; return the config that it belongs to.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the file is not one of HigherHRNet's, or damaged.
    """
    weights = read_weights(source)
    name_of = naming(weights)
    config = Path(config) if config else config_of(weights, name_of)
    model = init_model(Config.fromfile(config), device='cpu')
    model.load_state_dict(renamed(weights, model, name_of))
    check(model)
    save_weights(model, out)
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('published', metavar='PUBLISHED.pth',
                        help='published weights')
    parser.add_argument('out', metavar='OUT.pth', help='file to write')
    parser.add_argument('--config', help='of other data or another model; by '
                        'default that of the width')
    args = parser.parse_args()
    if Path(args.out).resolve() == Path(args.published).resolve():
        parser.error(f'{args.out} would overwrite the published weights: '
                     'give another name')
    try:
        config = convert(args.published, args.out, args.config)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'{args.out}: {config.stem}, to be used with {config}')


if __name__ == '__main__':
    main()

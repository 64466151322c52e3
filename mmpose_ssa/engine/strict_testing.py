"""Reject weights that do not fit the model or are not finite.

MMEngine loads what fits, writes the rest to its log and tests a model that is
half random. Training may begin with a part of a model; metrics may not be
made of one.
"""
import re
from collections import OrderedDict
from typing import Optional

import torch.nn as nn
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict

from ..errors import RunError


def not_finite(model: nn.Module) -> str:
    """The names of weights and running statistics that are not finite.

    Returns:
        The first of them and how many there are more; '' if there are none.
    """
    weights = dict(model.named_parameters())
    weights.update((name, buffer) for name, buffer in model.named_buffers()
                   if 'running_' in name)  # others may be -inf: masks
    names = [name for name, value in weights.items()
             if not value.isfinite().all()]
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    return names[0] + more if names else ''


def misfit(model: nn.Module, checkpoint: dict) -> Optional[str]:
    """What of a checkpoint's weights is not the model's, by names.

    The weights are tried strictly: only loading knows how layers read the
    names of older versions.

    Args:
        model: They are loaded into it.
        checkpoint: With a ``state_dict``, or weights by name.
    """
    given = checkpoint.get('state_dict', checkpoint)
    weights = OrderedDict((re.sub(r'^module\.', '', name), value)
                          for name, value in given.items())
    weights._metadata = getattr(given, '_metadata', {})  # versions
    model = getattr(model, 'module', model)
    fault = None
    try:
        load_state_dict(model, weights, strict=True)
    except RuntimeError as error:
        fault = str(error).strip()
    spoilt = not_finite(model)
    if spoilt:
        fault = fault or f'weights that are not finite: {spoilt}'
    return for_all(fault)


def for_all(fault: Optional[str]) -> Optional[str]:
    """What the first process found: all processes of a run stop together."""
    faults = [fault]
    broadcast_object_list(faults)
    return faults[0]


@HOOKS.register_module()
class StrictTesting(Hook):
    """Raises before a test whose weights do not fit exactly."""

    fault: Optional[str] = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Try the weights strictly, once more than they are loaded.

        Args:
            runner: With the model.
            checkpoint: Read, not loaded yet.
        """
        self.fault = misfit(runner.model, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """What was missing is trained; the end may be tested."""
        self.fault = None

    def before_test(self, runner: Runner) -> None:
        """Refuse what did not fit.

        Raises:
            RunError: With the names of the weights that are missing, left
                over, of another shape or not finite.
        """
        if self.fault:
            raise RunError(
                f'{runner.cfg.get("load_from")} does not hold the weights of '
                f'the model of {runner.cfg.filename}: test it with the config '
                f'that it was trained with ({self.fault})')

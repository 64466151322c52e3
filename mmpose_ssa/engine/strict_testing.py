"""Weights of another model are not tested.

MMEngine loads what fits, writes the rest to its log and tests a model that is
half random. Training may begin with a part of a model; figures may not be
made of one.
"""
import re
from collections import OrderedDict
from typing import Optional

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict


@HOOKS.register_module()
class StrictTesting(Hook):
    """Raises before a test whose weights do not fit exactly."""

    fault: Optional[str] = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Try the weights strictly, once more than they are loaded.

        Only loading knows how layers read the names of older versions.

        Args:
            runner: With the model.
            checkpoint: Read, not loaded yet.
        """
        given = checkpoint.get('state_dict', checkpoint)
        weights = OrderedDict((re.sub(r'^module\.', '', name), value)
                              for name, value in given.items())
        weights._metadata = getattr(given, '_metadata', {})  # versions
        model = getattr(runner.model, 'module', runner.model)
        try:
            load_state_dict(model, weights, strict=True)
            self.fault = None
        except RuntimeError as error:
            self.fault = str(error)

    def before_train(self, runner: Runner) -> None:
        """What was missing is trained; the end may be tested."""
        self.fault = None

    def before_test(self, runner: Runner) -> None:
        """Refuse what did not fit.

        Raises:
            ValueError: With the names of the weights that are missing, left
                over or of another shape.
        """
        faults = [self.fault]  # MMEngine tells the first process only
        broadcast_object_list(faults)
        if faults[0]:
            raise ValueError(
                f'{runner.cfg.get("load_from")} does not hold the weights of '
                f'the model of {runner.cfg.filename}: test it with the config '
                f'that it was trained with ({faults[0]})')

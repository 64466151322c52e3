"""Training for a number of steps, by which models are made comparable.

A step is one batch. Recipes are written in epochs, 5 here and 240 there; of
two models that train as many steps on the same data, in batches of one size,
each has seen as many images. The recipe of a config is kept, and what it
counts in epochs is stretched: after a share of the budget the learning rate is
what it is after that share of the recipe's epochs. What it counts in steps,
such as a warm-up, stays as long as it is.

Deviation from MMEngine: its ``IterBasedTrainLoop`` knows steps but no epochs,
and what depends on epochs (the order of the images, the augmentation, what a
resumed run needs) would be lost.
"""
import copy
import math
from itertools import islice

from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.registry import LOOPS

# Scheduler -> what it counts in epochs beside `begin` and `end`
STRETCHED = dict(
    ConstantLR=(),
    CosineAnnealingLR=('T_max', ),
    LinearLR=(),
    MultiStepLR=('milestones', ),
    PolyLR=(),
    StepLR=('step_size', ))


@LOOPS.register_module()
class BudgetTrainLoop(EpochBasedTrainLoop):
    """Train for a fixed number of batches; the last epoch may be shorter.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader or dict): The training data.
        max_steps (int): Number of batches.
    """

    def __init__(self, runner: Runner, dataloader, max_steps: int) -> None:
        super().__init__(runner, dataloader, max_epochs=1)
        self._max_epochs = -(-max_steps // len(self.dataloader))
        self._max_iters = max_steps

    def run_epoch(self) -> None:
        """As the base class, but not beyond the budget."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        rest = self.max_iters - self.iter
        for index, batch in enumerate(islice(self.dataloader, rest)):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


def with_budget(cfg: Config, steps: int) -> Config:
    """A config that trains for a number of steps.

    It does not validate on the way, and keeps the last two checkpoints: what
    is tested is the end of the budget, not the best of it.

    Args:
        cfg: A config that trains by epochs; not changed.
        steps: Number of batches.

    Raises:
        ValueError: If the config trains by iterations, or its schedule cannot
            be stretched to the budget.
    """
    cfg = copy.deepcopy(cfg)
    epochs = cfg.get('train_cfg', {}).get('max_epochs')
    if not epochs:
        raise ValueError(
            'the config does not train by epochs, from which its schedule '
            'could be stretched: set train_cfg.by_epoch=True and '
            'train_cfg.max_epochs')
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    cfg.param_scheduler = [stretch(s, epochs, steps) for s in schedulers]
    cfg.train_cfg = dict(type='BudgetTrainLoop', max_steps=steps)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks = dict(
        cfg.get('default_hooks', {}),
        checkpoint=dict(
            type='SafeCheckpointHook', interval=1, max_keep_ckpts=2))
    return cfg


def stretch(scheduler: dict, epochs: int, steps: int) -> dict:
    """A scheduler of epochs as one of steps.

    Args:
        scheduler: Its config; not changed.
        epochs: Those of the recipe.
        steps: Those of the budget.

    Returns:
        The config with ``by_epoch=False``. One that counts steps already is
        returned as it is.

    Raises:
        ValueError: If the scheduler is of an unknown kind, or counts more
            steps than there are.
    """
    kind = scheduler.get('type')
    if not scheduler.get('by_epoch', True):
        if scheduler.get('end', 0) > steps:
            raise ValueError(
                f'{kind} takes {scheduler["end"]} steps of a budget of '
                f'{steps}: give more, or shorten it (its `end` in '
                'param_scheduler)')
        return dict(scheduler)
    if kind not in STRETCHED:
        raise ValueError(
            f'{kind} cannot be stretched to a budget: take one of '
            f'{", ".join(STRETCHED)}, or give it by_epoch=False')

    stretched = dict(dict(end=epochs), **scheduler)
    stretched.pop('convert_to_iter_based', None)
    for key in {'begin', 'end', *STRETCHED[kind]} & set(stretched):
        stretched[key] = _in_steps(stretched[key], steps / epochs)
    return dict(stretched, by_epoch=False)


def _in_steps(epochs, steps: float):
    """The step with which so many epochs, or each of a list, are over."""
    if isinstance(epochs, (list, tuple)):
        return [_in_steps(epoch, steps) for epoch in epochs]
    # by a billionth less: 3 * (100 / 3) is to be 100, whatever its rounding
    return math.ceil(epochs * steps * (1 - 1e-9))

"""Check that a checkpoint fits before a training resumes from it.

MMEngine loads what fits and goes on: with random weights where a name or a
shape differs, without the optimizer's averages where there are none, and with
the learning rate of the beginning.
"""
import copy
import math
from collections import defaultdict
from numbers import Real
from typing import Any, List, Optional

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmpose.registry import HOOKS
from torch.optim import Optimizer

from ..errors import RunError
from .checkpoints import newest_whole
from .pickle_program import shown
from .strict_testing import for_all, misfit

NEEDED = ('state_dict', 'meta', 'message_hub', 'optimizer')


@HOOKS.register_module()
class StrictResuming(Hook):
    """Refuses to resume a checkpoint that is not of this training."""

    priority = 'ABOVE_NORMAL'  # before MMEngine's EMAHook reads it

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the checkpoint with the run, before it is used.

        Args:
            runner: It has built model, optimizer and schedule.
            checkpoint: Read, not loaded yet.

        Raises:
            RunError: If it lacks a part, or weights, optimizer or schedule
                are those of another config.
        """
        if not runner._resume:
            return
        name = runner._load_from or f'the checkpoint of {runner.work_dir}'
        weights = misfit(runner.model, checkpoint)
        fault = for_all(missing(runner, checkpoint))
        if fault:
            also = f'; but not all of them fit ({weights})' if weights else ''
            own = newest_whole(runner.work_dir)
            latest = f' To resume {own}, give no load_from.' \
                if own and runner._load_from else ''
            raise RunError(
                f'{name} holds no {fault}: it cannot be resumed, as a best_'
                f'*.pth or published weights cannot.{latest} To begin a '
                'training with its weights, give it as load_from instead of '
                f'--resume{also}')
        fault = weights or for_all(
            averages_misfit(_averages(runner), checkpoint) or
            optimizer_misfit(runner.optim_wrapper, checkpoint['optimizer'])
            or schedule_misfit(runner.param_schedulers, checkpoint))
        if fault:
            raise RunError(
                f'{name} does not fit the training of {runner.cfg.filename}: '
                'resume it with the config that it was trained with, or give '
                f'it as load_from instead of --resume ({fault})')
        change = progress_change(runner, checkpoint['meta'], name)
        if change:
            runner.logger.warning(change)
        for change in schedule_changes(runner.param_schedulers, checkpoint):
            runner.logger.warning(
                f'{change}: a resumed training keeps what it began with. For '
                'the value of the config, give the checkpoint as load_from '
                'instead of --resume')


def progress_change(runner: Runner, meta: dict, name: str) -> str:
    """What to say if epoch and iteration are not those of the config.

    Raises:
        RunError: If a training by iterations is already behind its end:
            MMEngine would draw a batch for each of them.
    """
    epoch, iteration = meta['epoch'], meta['iter']
    loop = runner.train_loop
    if isinstance(loop, IterBasedTrainLoop):
        if iteration < loop.max_iters:
            return ''
        text = (f'{name} is of iteration {iteration}, and train_cfg.max_iters '
                f'is {loop.max_iters}: nothing is left to train. To go on, '
                'raise it; otherwise test the checkpoint')
        if iteration > loop.max_iters:
            raise RunError(text)
        return text
    if not isinstance(loop, EpochBasedTrainLoop):
        return ''  # someone's own
    if epoch >= loop.max_epochs:
        return (f'{name} is of epoch {epoch}, and train_cfg.max_epochs is '
                f'{loop.max_epochs}: nothing is left to train. To go on, '
                'raise it; otherwise test the checkpoint')
    steps = len(loop.dataloader)
    if epoch * steps < iteration <= (epoch + 1) * steps:
        return (f'{name} was saved within epoch {epoch + 1}, which begins '
                'anew, while iterations are counted on; save at the end of '
                'epochs (by_epoch=True of the checkpoint hook) to lose none')
    if iteration != epoch * steps:
        return (f'{name} is of iteration {iteration}, but {epoch} epochs of '
                f'the config have {epoch * steps}: other data, another '
                'batch size or number of GPUs? What depends on the iteration '
                '(warm-up, RampMaskLoss) goes on from that number')
    return ''


def missing(runner: Runner, checkpoint: dict) -> str:
    """The parts that a resumed training needs and the checkpoint lacks."""
    lacking = [part for part in NEEDED if part not in checkpoint]
    if runner.param_schedulers and 'param_schedulers' not in checkpoint:
        lacking.append('param_schedulers')
    if _averages(runner) and 'ema_state_dict' not in checkpoint:
        lacking.append('ema_state_dict')
    lacking += [key for key in ('epoch', 'iter')
                if 'meta' in checkpoint
                and checkpoint['meta'].get(key) is None]
    return ', '.join(lacking)


def _averages(runner: Runner) -> Optional[torch.nn.Module]:
    """The moving average of the weights, if the run keeps one."""
    return next((hook.ema_model for hook in runner.hooks
                 if isinstance(hook, EMAHook)), None)


def averages_misfit(model: Optional[torch.nn.Module],
                    checkpoint: dict) -> Optional[str]:
    """What of the averaged weights is not that of the run's, if anything."""
    if model is None:
        return None
    own, saved = model.state_dict(), checkpoint['ema_state_dict']
    if not isinstance(saved, dict):
        return f'ema_state_dict is {shown(saved)}'
    odd = set(own) ^ set(saved) or [
        name for name in own if not is_like(saved[name], own[name])]
    return f'ema_state_dict: {", ".join(sorted(map(shown, odd))[:3])}' \
        if odd else None


def optimizer_misfit(wrapper: OptimWrapper, saved: dict) -> Optional[str]:
    """What of an optimizer's state is not that of the run's, if anything.

    Its switches (``fused``, ``amsgrad``, ...) are replaced by the run's own.
    """
    if isinstance(wrapper, OptimWrapperDict):
        if not isinstance(saved, dict) or set(saved) != set(wrapper.keys()):
            return "its optimizers differ from the config's"
        faults = (optimizer_misfit(each, saved[name])
                  for name, each in wrapper.items())
        return next(filter(None, faults), None)
    own = wrapper.state_dict()
    lacking = sorted(set(own) - set(saved)) if isinstance(saved, dict) else \
        list(own)
    if lacking:
        return f'the optimizer has no {", ".join(lacking)}'
    try:
        return _groups_misfit(own['param_groups'], saved['param_groups']) or \
            _state_misfit(wrapper.optimizer, saved) or \
            _scaler_misfit(own, saved)
    except (AttributeError, KeyError, TypeError) as error:
        return f"the optimizer state is not PyTorch's ({error!r:.200})"


def _groups_misfit(own: list, saved: list) -> Optional[str]:
    sizes = [[len(group['params']) for group in groups]
             for groups in (saved, own)]
    if sizes[0] != sizes[1]:
        return (f'the optimizer has groups of {sizes[0]} weights instead of '
                f'{sizes[1]}')
    for mine, theirs in zip(own, saved):
        for key, value in mine.items():
            if value is None or isinstance(value, bool):
                theirs[key] = value
            elif not is_like(theirs.setdefault(key, value), value):
                return (f'the optimizer has {key}={shown(theirs[key])} '
                        f'instead of {value!r:.80}')
        for key in set(theirs) - set(mine):  # of another PyTorch
            del theirs[key]
    return None


def _state_misfit(optimizer: Optimizer, saved: dict) -> Optional[str]:
    own = [weight for group in optimizer.param_groups
           for weight in group['params']]
    ids = [index for group in saved['param_groups']
           for index in group['params']]
    if len(set(ids)) < len(ids):
        return 'the optimizer has a weight twice'
    if not set(saved['state']) <= set(ids):
        return 'the optimizer has averages of no weight'
    # Adagrad has its state from the beginning
    likes = [optimizer.state.get(weight, like)
             for group in optimizer.param_groups
             for like in [{} if group['params'][0] in optimizer.state else
                          _state_of_one(optimizer, group)]
             for weight in group['params']]
    for index, weight, like in zip(ids, own, likes):
        state = saved['state'].get(index)
        if not state:  # a weight that is not trained
            continue
        for key in sorted(set(state) | set(like), key=str):
            if key not in like and state[key] is None:
                continue
            if key not in state or key not in like or not _fits(
                    state[key], like[key], weight):
                return (f'the optimizer has no {shown(key)}, or of another '
                        f'shape, or not finite, for weight {index} of shape '
                        f'{tuple(weight.shape)}')
    return None


def _scaler_misfit(own: dict, saved: dict) -> Optional[str]:
    """Of mixed precision; its scale is a positive number."""
    like, scaler = own.get('loss_scaler'), saved.get('loss_scaler')
    if like is not None and not (is_like(scaler, like) and all(
            value > 0 for key, value in scaler.items()
            if not key.startswith('_'))):
        return f'the optimizer has loss_scaler={scaler!r:.200}'
    return None


# A shape that no number of its own has, as the count of steps
ONE = (1, 2)


def _state_of_one(optimizer: Optimizer, group: dict) -> dict:
    """What such an optimizer keeps of a weight of shape `ONE`."""
    weight = torch.nn.Parameter(torch.zeros(ONE))
    weight.grad = torch.zeros(ONE)
    twin = copy.copy(optimizer)
    twin.state = defaultdict(dict)
    twin.param_groups = [dict(group, params=[weight], fused=False,
                              capturable=False)]
    type(optimizer).step(twin)
    return twin.state[weight]


def _fits(value: Any, like: Any, weight: torch.Tensor) -> bool:
    """Whether it may stand for a weight where `like` stands for that of one.
    """
    if not isinstance(like, torch.Tensor):
        # a count, which some versions of PyTorch keep as a tensor
        return is_like(value, like) or isinstance(
            like, Real) and is_like(value, torch.zeros(()))
    if like.shape != ONE:
        return isinstance(value, torch.Tensor) and \
            value.is_floating_point() and is_like(value, like) or \
            like.shape == () and type(value) in (int, float) and \
            math.isfinite(value)
    return isinstance(value, torch.Tensor) and value.shape == weight.shape \
        and value.is_floating_point() and bool(value.isfinite().all())


def schedule_misfit(own: Any, checkpoint: dict) -> Optional[str]:
    """What of the schedules is not that of the run's, if anything."""
    if not isinstance(own, list):
        return None  # none, or of several optimizers
    saved = checkpoint['param_schedulers']
    if not isinstance(saved, list) or len(saved) != len(own):
        return f'it has not the {len(own)} param_scheduler of the config'
    for index, (schedule, state) in enumerate(zip(own, saved)):
        mine = schedule.state_dict()
        functions = {key: value for key, value in mine.items()
                     if callable(value)}  # OneCycleLR's, which are not read
        if isinstance(state, dict) and set(functions) <= set(state):
            state.update(functions)
        if not is_like(state, mine):
            return (f'param_scheduler[{index}] is no '
                    f'{type(schedule).__name__}, or of other parameters')
    return None


# What changes in each step of a schedule
PROGRESS = ('last_step', '_global_step', '_last_value')


def schedule_changes(own: Any, checkpoint: dict) -> List[str]:
    """Where the schedules of a fitting checkpoint differ from the config's.

    MMEngine takes over all of them: the ``end`` that it derived from
    ``max_epochs``, too.
    """
    if not isinstance(own, list):
        return []
    return [f'param_scheduler[{index}]: {key} is {state[key]!r} in the '
            f'checkpoint, {value!r} in the config'
            for index, (schedule, state) in enumerate(zip(
                own, checkpoint['param_schedulers']))
            for key, value in schedule.state_dict().items()
            if isinstance(value, (Real, list, dict)) and key not in PROGRESS
            and state[key] != value]


def is_like(value: Any, own: Any) -> bool:
    """Whether a value is of the kind of another; numbers are finite."""
    if own is None or isinstance(own, Real):
        return value is None is own or (isinstance(value, Real)
                                        and math.isfinite(value))
    if isinstance(own, torch.Tensor):
        return isinstance(value, torch.Tensor) and value.shape == own.shape \
            and bool(value.isfinite().all())
    if isinstance(own, dict) and all(isinstance(key, str) for key in own):
        return isinstance(value, dict) and set(value) == set(own) and all(
            is_like(value[key], own[key]) for key in own)
    if isinstance(own, dict):  # milestones: epoch -> number of steps
        return isinstance(value, dict) and all(
            type(number) is int for pair in value.items() for number in pair)
    if isinstance(own, (list, tuple)):
        return isinstance(value, (list, tuple)) and len(value) == len(
            own) and all(map(is_like, value, own))
    return type(value) is type(own)

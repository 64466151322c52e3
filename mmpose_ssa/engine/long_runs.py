"""Hooks for trainings of days: stop when they diverge, and lose little.

- `StopAtNonFiniteLoss`: no epochs are spent on a loss that is not a number.
- `SafeCheckpointHook`: an old checkpoint is removed only after the new one is
  written, and weights that are not finite are never saved.
- `OneRunPerFolder`: a second training in the same folder is refused.

Files are written whole or not at all by :mod:`.checkpoints`; what is resumed
is checked by :mod:`.resuming`.
"""
import math
import os
import shutil
import socket
import stat
import time
from collections import deque
from pathlib import Path
from typing import Dict, Optional, TextIO

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ..errors import RunError
from ..files import write_whole
from .checkpoints import is_path, is_whole, load_from_local, newest_whole
from .quiet import is_of_interest
from .strict_testing import for_all, not_finite

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]


def way_back(runner: Runner) -> str:
    """Say how to continue after a training diverged."""
    whole = newest_whole(runner.work_dir)
    best = [path for path in sorted(Path(runner.work_dir).glob('best_*.pth'))
            if is_whole(str(path))]
    if not whole and best:
        return (f'The best weights so far are {best[0]}: start again from '
                'them (load_from) with a lower optim_wrapper.optimizer.lr')
    if not whole:
        return ('No checkpoint was written yet: train again with a lower '
                'optim_wrapper.optimizer.lr')
    return (f'The last good checkpoint is {whole}: resume it with clipped '
            'gradients (`--resume`, optim_wrapper.clip_grad.max_norm=1.), or '
            'start a new training from its weights (load_from) with a lower '
            'optim_wrapper.optimizer.lr')


@HOOKS.register_module()
class StopAtNonFiniteLoss(Hook):
    """Stops a training in the iteration whose loss is NaN or infinite."""

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs: Optional[dict] = None) -> None:
        """Check the loss, which MMEngine has already moved to the CPU.

        Raises:
            RunError: With epoch, iteration, the parts of the loss that are
                not finite, and the last good checkpoint.
        """
        losses = {name: value.item() for name, value in outputs.items()
                  if 'loss' in name}
        bad = [f'{name} is {value}' for name, value in losses.items()
               if not math.isfinite(value)]
        if bad:
            raise RunError(
                f'{", ".join(bad)} in epoch {runner.epoch + 1}, iteration '
                f'{batch_idx + 1}: the training diverged and is stopped. '
                f'{way_back(runner)}')


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """Saves checkpoints so that a kill at any moment leaves complete files.

    Arguments are those of MMEngine's :class:`CheckpointHook`. It differs from
    that hook as follows:

    - an old checkpoint, or the previous best, is removed after the new one is
      written, not before;
    - only files in the run's own folder are removed, whatever files the
      resumed checkpoint names;
    - a best checkpoint that was written just before a kill, and that no
      checkpoint of an epoch names yet, is the best of the resumed run;
    - weights that are not finite are not saved.
    """

    # Of the resumed checkpoint: what it names as best, by MMEngine's keys
    best_paths: Dict[str, str] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what the checkpoint names as best, to be checked."""
        self.best_paths = checkpoint.pop('best_paths', {})

    def before_train(self, runner: Runner) -> None:
        """Take over the best checkpoint, if it belongs to this run.

        A run that is resumed in another folder keeps the files in the old one.
        """
        runner.logger.addFilter(is_of_interest)
        super().before_train(runner)
        runner.logger.removeFilter(is_of_interest)
        self._warn_of_full_disk(runner)
        if self.max_keep_ckpts > 0:  # without MMEngine's limit
            self.keep_ckpt_ids = deque(self.keep_ckpt_ids)
        for name in self._best() if self.save_best else ():
            key = 'best_ckpt' if len(self.key_indicators) == 1 \
                else f'best_ckpt_{name}'
            path = self.best_paths.get(key)
            if path and self._is_own(path):
                self._set_best({**self._best(), name: path})
                runner.message_hub.update_info(key, path)
            elif path:
                runner.logger.info(f'{path}, the best of the run that is '
                                   f'resumed, is not a file of {self.out_dir} '
                                   'and will stay as it is')
        if runner._resume:
            self._take_unnamed_best(runner)

    def _take_unnamed_best(self, runner: Runner) -> None:
        """Take over the best that was written after what is resumed.

        The validation of an epoch follows its checkpoint. MMEngine writes
        that again to name a new best; a kill may come between.
        """
        step = runner.epoch if self.by_epoch else runner.iter
        for name, old in self._best().items() if self.save_best else ():
            path = os.path.join(self.out_dir, f'best_{name}_'.replace(
                '/', '_') + self.filename_tmpl.format(step))
            if path == old or not self._is_own(path) or not is_whole(path):
                continue
            many = '' if len(self.key_indicators) == 1 else f'_{name}'
            score = load_from_local(path).get('message_hub', {}).get(
                'runtime_info', {}).get(f'best_score{many}')
            if score is None:
                continue
            runner.message_hub.update_info(f'best_score{many}', score)
            runner.message_hub.update_info(f'best_ckpt{many}', path)
            self._set_best({**self._best(), name: path})
            if old and is_main_process():
                self.file_backend.remove(old)

    def _is_own(self, path: str) -> bool:
        if not is_path(path):
            return False
        folder, name = os.path.split(os.path.realpath(path))
        return (os.path.isfile(path) and not os.path.islink(path)
                and folder == os.path.realpath(self.out_dir)
                and name.startswith('best_') and name.endswith('.pth'))

    def _warn_of_full_disk(self, runner: Runner) -> None:
        if not isinstance(self.file_backend, LocalBackend):
            return
        os.makedirs(self.out_dir, exist_ok=True)
        free = shutil.disk_usage(self.out_dir).free
        # Adam keeps two numbers more for each
        size = 3 * sum(value.nbytes for value in runner.model.parameters())
        if free < 2 * size:
            runner.logger.warning(
                f'{self.out_dir} has {free / 2**20:.0f} MiB left, and a '
                f'checkpoint takes about {size / 2**20:.0f}: make space')

    def _best(self) -> Dict[str, Optional[str]]:
        """The best checkpoints by the name of their metric."""
        if len(self.key_indicators) == 1:
            return {self.key_indicators[0]: self.best_ckpt_path}
        return {name: self.best_ckpt_path_dict.get(name)
                for name in self.key_indicators}

    def _set_best(self, paths: Dict[str, Optional[str]]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path, = paths.values()
        else:
            self.best_ckpt_path_dict = paths

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        before = list(self._best().values())
        # MMEngine would remove it before it writes the new one
        self._set_best(dict.fromkeys(self.key_indicators))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best()
        for name, old in zip(after, before):
            if after[name] is None:
                after[name] = old
            elif old and old != after[name] and is_main_process():
                self.file_backend.remove(old)
                runner.logger.info(f'The previous best checkpoint {old} is '
                                   'removed')
        self._set_best(after)

    def _save_checkpoint_with_step(self, runner: Runner, step: int,
                                   meta: dict) -> None:
        self._refuse_spoilt(runner, runner.epoch + 1)
        if self.max_keep_ckpts > 0:
            if step not in self.keep_ckpt_ids:
                self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids',
                                           list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        if is_main_process():
            write_whole(self.last_ckpt,
                        os.path.join(runner.work_dir, 'last_checkpoint'))
        while 0 < self.max_keep_ckpts < len(self.keep_ckpt_ids):
            old = self.file_backend.join_path(
                self.out_dir,
                self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            if is_main_process() and self.file_backend.isfile(old):
                self.file_backend.remove(old)

    def before_val_epoch(self, runner: Runner) -> None:
        """Refuse weights whose figures would mean nothing, or be the best.

        Raises:
            RunError: If weights or running statistics are not finite.
        """
        self._refuse_spoilt(runner, runner.epoch)

    def _refuse_spoilt(self, runner: Runner, epoch: int) -> None:
        spoilt = not_finite(runner.model)
        if spoilt:
            raise RunError(
                f'weights are not finite after epoch {epoch} '
                f'({spoilt}): they are not saved, and the training is '
                f'stopped. {way_back(runner)}')


def _opened(path: str) -> TextIO:
    """A file of this folder alone, made if there is none.

    Raises:
        OSError: If it is a link, or no file; what a link names is not touched.
    """
    alone = getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0)
    number = os.open(path, os.O_RDWR | os.O_CREAT | alone, 0o644)
    told = os.fstat(number)
    if not stat.S_ISREG(told.st_mode) or told.st_nlink != 1:
        os.close(number)
        raise OSError(f'{path} is a link or no file: remove it')
    return os.fdopen(number, 'r+')


@HOOKS.register_module()
class OneRunPerFolder(Hook):
    """Refuses to train in a folder in which another process trains.

    The file ``training.lock`` in it is locked, and says by whom. The lock
    ends with the process, however it ends: none is ever left behind. A folder
    on a file system without locks, or on Windows, is not locked.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Lock the folder, before anything in it is removed.

        Raises:
            RunError: In all processes of the run, if another one trains
                there or the folder cannot be written to.
        """
        fault = self._lock(runner.work_dir) if is_main_process() else None
        fault = for_all(fault)
        if fault:
            raise RunError(fault)

    def _lock(self, folder: str) -> Optional[str]:
        path = os.path.join(folder, 'training.lock')
        try:
            self.file = _opened(path)
        except OSError as error:
            return (f'{folder} cannot be written to ({error}): change its '
                    'permissions or give another --work-dir')
        try:
            # Not inherited by the workers that load the data
            fcntl and fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.seek(0)
            return (f'{folder}: another training runs there '
                    f'({self.file.read(200)}): wait for it, end it, or give '
                    'another --work-dir')
        except OSError:  # no locks there
            return None
        self.file.truncate(0)
        self.file.write(f'process {os.getpid()} on {socket.gethostname()} '
                        f'since {time.strftime("%Y-%m-%d %H:%M:%S")}')
        self.file.flush()
        return None

    def after_train(self, runner: Runner) -> None:
        """Unlock the folder."""
        if is_main_process():
            self.file.truncate(0)
            self.file.close()

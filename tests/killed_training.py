"""Train, kill at a random moment, resume, and so on: run by test_long_runs.

    python killed_training.py FOLDER KILLS [DATA]

One process imports everything and forks a child for each part, which trains
in ``FOLDER/run`` and notes its losses in ``FOLDER/losses.jsonl``. Without DATA
it trains 12 epochs of `small_training`, with it 30 epochs of the smallest SSA
on the synthetic people there. At last ``FOLDER/whole`` is trained in one go.
Prints for each part how many losses there were, and the files when it died.
"""
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from small_training import small_runner

from mmpose_ssa.engine import checkpoints

TINY = str(Path(__file__).parent / 'data/ssa_tiny_64.py')
WRITING = .02  # seconds that a write takes longer, to be hit by kills


class Note(Hook):
    """Writes each iteration's loss to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_train_iter(self, runner, batch_idx, data_batch, outputs) -> None:
        with open(self.path, 'a') as stream:
            stream.write(json.dumps([runner.iter, float(outputs['loss'])])
                         + '\n')


def slow_replace(*names, real=os.replace) -> None:
    time.sleep(WRITING)
    real(*names)


def train(folder: Path, log: Path, data: str) -> None:
    """A training that goes on where the last one was killed."""
    if not data:
        small_runner(
            folder, 12, scores=[.01 * n for n in range(12)], resume=True,
            hooks=[Note(log)], checkpoint=dict(
                save_best='a', max_keep_ckpts=2)).train()
        return
    cfg = Config.fromfile(TINY)
    cfg.merge_from_dict({
        'work_dir': str(folder), 'resume': True, 'log_level': 'WARNING',
        'train_pipeline': [dict(type='SeedAugmentation'),
                           *cfg.train_pipeline],
        'train_dataloader.batch_size': 4, 'model.neck.dropout': .1,
        'train_cfg.max_epochs': 30, 'train_cfg.val_interval': 10,
        'default_hooks.checkpoint.interval': 1,
        **{f'{split}_dataloader.dataset.data_root': data
           for split in ('train', 'val', 'test')}})
    cfg.train_dataloader.dataset.pipeline = cfg.train_pipeline
    runner = Runner.from_cfg(cfg)
    runner.register_custom_hooks([Note(log)])
    runner.train()


def lines(path: Path) -> int:
    return path.read_text().count('\n') if path.exists() else 0


def part(folder: Path, log: Path, data: str, draw=None) -> int:
    """One child; its exit status, negative if it was killed."""
    child = os.fork()
    if not child:
        try:
            train(folder, log, data)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    if draw:
        start = lines(log)
        goal, pause = start + draw.randint(0, 6), draw.uniform(0, .2)
        while lines(log) < goal and not os.waitid(
                os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(.005)
        time.sleep(pause)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else \
        os.WEXITSTATUS(status)


def main() -> None:
    folder, kills, data = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    torch.set_num_threads(1)
    checkpoints.os.replace = slow_replace
    draw, log = random.Random(0), folder / 'losses.jsonl'
    for number in range(kills + 1):
        status = part(folder / 'run', log, *data or [''],
                      draw=draw if number < kills else None)
        found = sorted(path.name for path in (folder / 'run').glob('*.*')
                       if path.is_file() and path.suffix in ('.pth', '.tmp'))
        print(f'part {number + 1}: exit {status}, {lines(log)} losses, '
              f'{", ".join(found)}', flush=True)
    status = part(folder / 'whole', folder / 'whole.jsonl', *data or [''])
    print(f'in one go: exit {status}')


if __name__ == '__main__':
    main()

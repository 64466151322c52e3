"""One of the processes that `test_distributed.py` starts, or the only one.

    RANK=0 WORLD_SIZE=2 … python distributed_run.py JOBS.json

runs the jobs of the file one after the other; see :class:`Job`.
"""
import json
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple, Optional
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner


class Job(NamedTuple):
    """A training or a test of one config, by as many processes as there are.

    Each process writes what it saw to ``folder/rank_N.pth``.

    Attributes:
        config: File.
        folder: The run's folder.
        options: As `--cfg-options`.
        test: Test instead of training.
        frozen: Keep every BN in the mode of testing.
        killed: ``(epoch, iteration, ranks)``: those ranks kill themselves
            after that iteration.
    """
    config: str
    folder: str
    options: dict = {}
    test: bool = False
    frozen: bool = False
    killed: Optional[tuple] = None


class Watch(Hook):
    """Keeps the losses; freezes and kills where the job says so."""

    def __init__(self, job: Job) -> None:
        self.job, self.losses, self.rates = job, [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.job.frozen:
            for module in runner.model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()

    def after_train_iter(self, runner, batch_idx, data_batch=None,
                         outputs=None) -> None:
        self.losses.append({name: float(torch.as_tensor(value).detach())
                            for name, value in outputs.items()})
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        if self.job.killed:
            epoch, iteration, ranks = self.job.killed
            if (runner.epoch, batch_idx) == (epoch, iteration):
                if runner.rank in ranks:
                    os.kill(os.getpid(), signal.SIGKILL)


def run(job: Job) -> None:
    """Do the job in this process."""
    cfg = Config.fromfile(job.config)
    name = Path(job.folder).name
    cfg.merge_from_dict({
        'work_dir': job.folder,
        # MMEngine keeps one logger and one visualizer of each name
        'experiment_name': f'{name}_{os.getpid()}_{os.urandom(4).hex()}',
        'visualizer.name': name,
        **job.options})
    if 'WORLD_SIZE' in os.environ:
        cfg.launcher = 'pytorch'
        cfg.env_cfg.dist_cfg = dict(backend='gloo')
        cfg.model_wrapper_cfg = dict(  # MMEngine's, but on no GPU
            type='MMDistributedDataParallel', device_ids=None,
            broadcast_buffers=False)
    watch = Watch(job)
    # MMEngine's launcher chooses a GPU, of which there is none
    with mock.patch('torch.cuda.set_device'):
        runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    metrics = None
    if job.test:
        metrics = runner.test()
    else:
        runner.train()
    model = getattr(runner.model, 'module', runner.model)
    torch.save(dict(metrics=metrics, losses=watch.losses, rates=watch.rates,
                    weights=model.state_dict()),
               f'{job.folder}/rank_{runner.rank}.pth')


if __name__ == '__main__':
    torch.set_num_threads(1)
    for given in json.loads(Path(sys.argv[1]).read_text()):
        run(Job(**given))

"""Train a config with a seed, test it, and measure its cost.

MMEngine's runner trains and tests as with ``mim train`` and ``mim test``, and
writes to the folder of the run. A run whose result is there is not repeated,
and an interrupted training resumes after its last epoch. Only speed is
measured each time, of all runs in turn: a machine is not equally fast from
hour to hour.
"""
import copy
import gc
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Dict, Iterator, List, NamedTuple, Optional

import numpy as np
import torch
from benchmarks.machine import machine
from benchmarks.stopwatch import seconds
from mmengine.config import Config, ConfigDict
from mmengine.fileio import dump, load
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, find_latest_checkpoint
from mmpose.registry import MODELS

from mmpose_ssa.evaluation.complexity import count

WARM_UP, TIMED = 5, 100  # images of which the speed is measured


class Run(NamedTuple):
    """A config with a seed, to be trained and tested, or tested only.

    Attributes:
        name: Of the config, without folder and suffix.
        config: Its file.
        cfg: Its content with everything that was asked for.
        seed: Of the training, None where there is none.
        checkpoint: What is tested instead, None where it is trained.
        folder: Where everything of this run is written.
    """
    name: str
    config: str
    cfg: Config
    seed: Optional[int]
    checkpoint: Optional[str]
    folder: Path

    @property
    def result(self) -> Path:
        """The file of the result; it is written last."""
        return self.folder / 'result.json'


def run_all(runs: List[Run]) -> List[dict]:
    """Train and test the runs without a result; measure the speed of all.

    Args:
        runs: In the order in which they are trained.

    Returns:
        The result of each, as :func:`comparison.table.markdown` takes them;
        all but the speed is also in ``result.json`` in its folder.

    Raises:
        FileNotFoundError: If the weights of a result are missing.
        ValueError: If a config does not make a model; before one is trained.
    """
    costs: Dict[str, dict] = {}
    for run in runs:
        if not run.result.is_file() and run.name not in costs:
            costs[run.name] = cost(run)
    for run in runs:
        if run.result.is_file():
            print(f'{run.result} is there already')
            continue
        train(run)
        dump(dict(test(run), **costs[run.name]), str(run.result), indent=2)
    return [
        dict(load(str(run.result)), seconds_per_image=spent,
             machine=machine())
        for run, spent in zip(runs, seconds_per_image(runs))
    ]


def cost(run: Run) -> dict:
    """Parameters and multiply-adds at the input size of the config's codec.

    Raises:
        ValueError: If the config does not make a model.
    """
    init_default_scope(run.cfg.get('default_scope', 'mmpose'))
    try:
        size = tuple(run.cfg.model.head.decoder.input_size)
        with torch.device('meta'):
            found = count(MODELS.build(copy.deepcopy(run.cfg.model)), size)
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{run.config} cannot be built, correct it or '
                         f'--cfg-options: {error}') from error
    return dict(input_size=size, params=found['params'], macs=found['macs'])


def train(run: Run) -> None:
    """Train what is left of a run's training, if it has one."""
    if run.checkpoint is not None:
        return
    begun = (run.folder / 'last_checkpoint').is_file()
    options = dict(resume=True, load_from=None) if begun else {}
    make_runner(run, 'train', **options).train()
    gc.collect()  # the runner, and with it the processes that load data


def test(run: Run) -> dict:
    """Test a run's weights: metrics, and how they were obtained."""
    runner = make_tester(run)
    metrics = {name: float(value) for name, value in runner.test().items()}
    return dict(
        name=run.name,
        config=run.config,
        seed=run.seed,
        checkpoint=run.checkpoint,
        metrics=metrics,
        test_images=len(runner.test_dataloader.dataset),
        starts_from=[run.cfg.load_from] if run.cfg.get('load_from') else
        list(pretrained(run.cfg.model)),
        flip_test=bool(run.cfg.model.get('test_cfg', {}).get('flip_test')))


def make_tester(run: Run) -> Runner:
    """The runner that tests a run's weights; they are not loaded yet.

    Raises:
        FileNotFoundError: If there are none.
    """
    weights = run.checkpoint or find_latest_checkpoint(str(run.folder))
    if weights is None:
        raise FileNotFoundError(
            f'{run.folder} has a result but its weights are missing: remove '
            'the folder to train again, or restore them')
    return make_runner(run, 'test', load_from=weights, resume=False)


def make_runner(run: Run, what: str, **options) -> Runner:
    """MMEngine's runner in the run's folder."""
    cfg = copy.deepcopy(run.cfg)
    # one logger and one visualizer are kept of each name
    name = f'{run.name}-{run.folder.name}-{what}-{time.monotonic_ns()}'
    cfg.merge_from_dict(dict(
        options, work_dir=str(run.folder), experiment_name=name))
    if 'visualizer' in cfg:
        cfg.visualizer.name = name
    return Runner.from_cfg(cfg)


def seconds_per_image(runs: List[Run]) -> List[float]:
    """The median time that a test step with one image takes each run.

    Of images evenly spaced through the test data, after a few to warm up; of
    each image all runs in turn. Normalising, the network and the decoder
    count, loading does not.
    """
    testers = []
    for run in runs:
        testers.append(make_tester(run))
        testers[-1].load_or_resume()
        testers[-1].model.eval()
    images = len(testers[0].test_dataloader.dataset)
    chosen = np.linspace(0, images - 1, min(images, TIMED)).astype(int)
    times = [[_seconds(tester, index) for tester in testers]
             for index in [*np.resize(chosen, WARM_UP), *chosen]]
    return [median(column) for column in zip(*times[WARM_UP:])]


def _seconds(tester: Runner, index: int) -> float:
    """What one test step takes."""
    data = tester.test_dataloader
    batch = data.collate_fn([data.dataset[index]])
    with torch.no_grad():
        return seconds(partial(tester.model.test_step, batch))


def pretrained(model: ConfigDict) -> Iterator[str]:
    """The weights from which parts of a model start."""
    for key, value in model.items():
        if key == 'init_cfg' and isinstance(value, dict):
            if value.get('type') == 'Pretrained':
                yield value['checkpoint']
        elif isinstance(value, dict):
            yield from pretrained(value)

"""Which config trains with which seed in which folder, checked beforehand."""
import argparse
import copy
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Optional

from mmengine.config import Config

from mmpose_ssa.engine.loading import load_estimator, read_config
from mmpose_ssa.engine.training_budget import with_budget

from .run import Run


def plan(args: argparse.Namespace) -> List[Run]:
    """Read and check the configs; all that can be known before training.

    Raises:
        FileNotFoundError: If a config, checkpoint or data are missing.
        ValueError: If a config cannot be compared with the others.
    """
    files = {Path(config).stem: config for config in args.configs}
    cfgs = {name: read(file, args) for name, file in files.items()}
    checkpoints = dict(args.checkpoint)
    check_same(cfgs, checkpoints)
    runs = []
    for name, cfg in cfgs.items():
        if name in checkpoints:
            weights = checkpoints[name]
            load_estimator(copy.deepcopy(cfg), weights)  # raises if unfit
            runs.append(as_run(args, files[name], cfg, None, weights))
        else:
            cfg = budgeted(files[name], cfg, args.steps)
            runs += [as_run(args, files[name], cfg, seed, None)
                     for seed in args.seed]
    return runs


def read(file: str, args: argparse.Namespace) -> Config:
    """A config with the options, data and batch size asked for."""
    cfg = read_config(file)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    for split in ('train', 'test'):
        data = cfg.get(f'{split}_dataloader', {}).get('dataset', {})
        if 'ann_file' not in data:
            raise ValueError(f'{file} has no {split}_dataloader.dataset with '
                             'an ann_file: give a config that trains and '
                             'tests on one data set each')
        if args.data_root:
            data.data_root = args.data_root
    if args.batch_size:
        cfg.train_dataloader.batch_size = args.batch_size
    evaluators = cfg.get('test_evaluator')
    if not evaluators:
        raise ValueError(f'{file} has no test_evaluator: name the metrics')
    for metric in [evaluators] if isinstance(evaluators, dict) else evaluators:
        metric.pop('ann_file', None)  # that of the data set
    return cfg


def check_same(cfgs: Dict[str, Config], checkpoints: Dict[str, str]) -> None:
    """Raise an error unless batch size and data are there and the same."""
    trained = {name: cfg for name, cfg in cfgs.items()
               if name not in checkpoints}
    agree({name: cfg.train_dataloader.batch_size
           for name, cfg in trained.items()}, 'train_dataloader.batch_size',
          'give --batch-size')
    for split, users in (('train', trained), ('test', cfgs)):
        agree({name: data_of(cfg, split) for name, cfg in users.items()},
              f'the data of {split}_dataloader.dataset',
              'give --data-root or --cfg-options')
        for data in (data_of(cfg, split) for cfg in users.values()):
            file, images = data['ann_file'], data['images']
            if not Path(file).is_file() or not Path(images).is_dir():
                raise FileNotFoundError(
                    f'the data of {split}_dataloader, {file} and the images '
                    f'in {images}, do not exist: give --data-root')


def agree(values: Dict[str, object], what: str, remedy: str) -> None:
    """Raise ValueError unless all configs have the same value."""
    for name, value in values.items():
        first = next(iter(values))
        if value != values[first]:
            raise ValueError(f'{first} and {name} differ in {what}, '
                             f'{values[first]} and {value}: {remedy}')


def data_of(cfg: Config, split: str) -> dict:
    """Annotation file, folder of the images, and what is chosen of them."""
    data = cfg[f'{split}_dataloader'].dataset
    root = Path(data.get('data_root') or '')
    return dict(
        ann_file=str(root / data.ann_file),
        images=str(root / data.get('data_prefix', {}).get('img', '')),
        **{key: data[key] for key in ('every_nth_image', 'sample_interval',
                                      'indices', 'filter_cfg') if key in data})


def augmentation(cfg: Config) -> List[dict]:
    """The steps of the training pipeline, without what sizes and targets a
    model needs."""
    own = {'input_size', 'heatmap_size', 'size_factor', 'encoder', 'missing'}
    return [{key: value for key, value in step.items() if key not in own}
            for step in cfg.train_dataloader.dataset.get('pipeline', ())]


def budgeted(file: str, cfg: Config, steps: int) -> Config:
    """The config with its budget; errors name its file."""
    try:
        return with_budget(cfg, steps)
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from error


def as_run(args: argparse.Namespace, file: str, cfg: Config,
           seed: Optional[int], checkpoint: Optional[str]) -> Run:
    """A run in a folder of its own: other settings or data, other folder."""
    cfg, name = copy.deepcopy(cfg), Path(file).stem
    what, read = 'checkpoint', [data_of(cfg, 'test')['ann_file'], checkpoint]
    if checkpoint is None:
        cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
        what = f'steps_{args.steps}-seed_{seed}'
        read[1] = data_of(cfg, 'train')['ann_file']
    settings = [cfg.to_dict(), *map(digest, read)]
    mark = hashlib.sha256(json.dumps(
        settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return Run(name, file, cfg, seed, checkpoint,
               Path(args.work_dir, name, f'{what}-{mark}'))


def digest(file: str) -> str:
    """A mark of the file's content, or the address itself."""
    if '://' in file:
        return file
    state = Path(file).stat()
    return _digest(file, state.st_mtime_ns, state.st_size)


@lru_cache
def _digest(file: str, *state: int) -> str:
    """That of a file in a state; annotations of COCO take a second."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()

"""Train and test several configs on the same data with the same budget.

    python tools/compare.py configs/demo/ssa_demo.py \
        configs/comparisons/ae_demo.py configs/comparisons/dekr_demo.py \
        --steps 4000 --data-root data/synthetic --work-dir work_dirs/comparison

Each config trains for as many steps (batches), by its own recipe stretched to
them (see mmpose_ssa/training_budget.py), without validation; its last weights
are tested. WORK_DIR/comparison.md has the table, WORK_DIR/comparison.json the
same figures unrounded. What is in the work directory already, made with the
same settings and data, is not made again, and an interrupted training goes on
where its last epoch ended; without its result.json a run is tested again, not
trained. With several seeds each config trains once with each, and the table
has means and standard deviations.
"""
import argparse
import copy
import hashlib
import json
import shlex
import sys
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Optional

from comparison_run import Run, run_all
from comparison_table import markdown
from mmengine.config import Config, DictAction
from mmengine.fileio import dump

from mmpose_ssa.engine.loading import load_estimator, read_config
from mmpose_ssa.engine.training_budget import with_budget

# --- arguments --------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__[
            __doc__.index('Each config'):])
    parser.add_argument('configs', nargs='+', metavar='CONFIG',
                        help='configs of bottom-up models')
    parser.add_argument('--steps', type=int,
                        help='batches that each config trains on')
    parser.add_argument('--seed', type=int, nargs='+', default=[0],
                        help='of the trainings (default: 0)')
    parser.add_argument('--batch-size', type=int,
                        help='images per step, where the configs differ')
    parser.add_argument('--data-root', help='folder of the data, in the '
                        "layout of COCO; the configs' own by default")
    parser.add_argument('--work-dir', default='work_dirs/comparison',
                        help='default: %(default)s')
    parser.add_argument('--checkpoint', nargs='+', default=[],
                        metavar='CONFIG=FILE', type=assignment,
                        help='test these weights of a config, and do not '
                        'train it')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        type=option, metavar='NAME=VALUE',
                        help='as in MMPose, for all configs, e.g. '
                        'optim_wrapper.type=CPUAmpOptimWrapper')
    return parser


def option(text: str) -> str:
    """One of --cfg-options, which DictAction would not check."""
    if '=' not in text:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return text


def assignment(text: str) -> tuple:
    """A config's name and what is assigned to it."""
    name, _, value = option(text).partition('=')
    return Path(name).stem, value


def check_arguments(args: argparse.Namespace) -> None:
    """Raise ValueError for what the arguments alone tell."""
    names = [Path(config).stem for config in args.configs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'two configs are named {name}: copy one of them '
                             'to a file of another name')
    for name, file in args.checkpoint:
        if name not in names:
            raise ValueError(f'--checkpoint {name}={file}: {name} is none of '
                             f'the configs {", ".join(names)}')
    if args.steps is None and set(names) - {n for n, _ in args.checkpoint}:
        raise ValueError('give --steps, the number of batches to train on, or '
                         'a --checkpoint for each config')
    for name in ('steps', 'batch_size'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f'--{name.replace("_", "-")} must be 1 or more, '
                             f'got {value}')
    if min(args.seed) < 0 or len(set(args.seed)) < len(args.seed):
        raise ValueError('--seed takes different numbers from 0 on, got '
                         f'{args.seed}')
    for folder in (Path(args.work_dir), *Path(args.work_dir).parents):
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'--work-dir {args.work_dir}: {folder} is not a '
                             'folder')


# --- what is to be run ------------------------------------------------------


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


def agree(values: Dict[str, object], what: str, cure: str) -> None:
    """Raise ValueError unless all configs have the same value."""
    for name, value in values.items():
        first = next(iter(values))
        if value != values[first]:
            raise ValueError(f'{first} and {name} differ in {what}, '
                             f'{values[first]} and {value}: {cure}')


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


@lru_cache
def digest(file: str) -> str:
    """A mark of the file's content, or the address itself."""
    if '://' in file:
        return file
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


# --- the command ------------------------------------------------------------


def compare(args: argparse.Namespace) -> None:
    """Check, run what is missing, write both files, and print the table."""
    check_arguments(args)
    runs = plan(args)
    usual = [augmentation(run.cfg) for run in runs if run.seed is not None]
    results = [
        dict(result, own_augmentation=run.seed is not None
             and augmentation(run.cfg) != usual[0])
        for run, result in zip(runs, run_all(runs))]
    comparison = dict(
        command=shlex.join(['python', 'tools/compare.py', *sys.argv[1:]]),
        steps=None, batch_size=None, train_data=None,
        test_data=data_of(runs[0].cfg, 'test')['ann_file'],
        test_images=results[0]['test_images'],
        results=results)
    for cfg in (run.cfg for run in runs if run.checkpoint is None):
        comparison.update(  # the same for all
            steps=args.steps, batch_size=cfg.train_dataloader.batch_size,
            train_data=data_of(cfg, 'train')['ann_file'])
    text = markdown(comparison)
    out = Path(args.work_dir, 'comparison')
    dump(comparison, f'{out}.json', indent=2)
    Path(f'{out}.md').write_text(text, encoding='utf-8')
    print(f'\n{text}\nsee {out}.md and {out}.json')


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    try:
        compare(args)
    except (OSError, ValueError) as error:
        said = str(error).rstrip()
        if said.startswith('Caught'):  # by a process that loads data
            said = said.rpartition('\n')[2]
        parser.error(said)


if __name__ == '__main__':
    main()

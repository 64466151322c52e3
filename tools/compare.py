"""Train and test several configs on the same data with the same budget.

    python tools/compare.py configs/demo/ssa_demo.py \
        configs/comparisons/ae_demo.py configs/comparisons/dekr_demo.py \
        --steps 4000 --data-root data/synthetic --work-dir work_dirs/comparison

Each config trains for the same number of steps (batches), by its own recipe
stretched to them (see mmpose_ssa/engine/training_budget.py), without
validation; its last weights are tested. WORK_DIR/comparison.md has the table,
WORK_DIR/comparison.json the same numbers unrounded. A run that is in the work
directory already, made with the same settings and data, is not repeated, and
an interrupted training resumes after its last epoch; a run without its
result.json is tested again, not trained. With several seeds each config trains
once with each, and the table has means and standard deviations.
"""
import argparse
import shlex
import sys
from pathlib import Path
from typing import Optional, Sequence

from shared.arguments import add_cfg_options, assignment

# --- arguments --------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__[
            __doc__.index('Each config'):])
    parser.add_argument('configs', nargs='+', metavar='CONFIG',
                        help='configs of bottom-up models')
    parser.add_argument('--steps', type=int,
                        help='number of batches that each config trains on')
    parser.add_argument('--seed', type=int, nargs='+', default=[0],
                        help='seeds of the trainings (default: 0)')
    parser.add_argument('--batch-size', type=int,
                        help='images per step; needed if the configs differ')
    parser.add_argument('--data-root', help='folder of the data, in the '
                        "layout of COCO; the configs' own by default")
    parser.add_argument('--work-dir', default='work_dirs/comparison',
                        help='default: %(default)s')
    parser.add_argument('--checkpoint', nargs='+', default=[],
                        metavar='CONFIG=FILE', type=weights_of,
                        help='test these weights of a config instead of '
                        'training it')
    add_cfg_options(parser, 'for all configs, e.g. '
                    'optim_wrapper.type=CPUAmpOptimWrapper')
    return parser


def weights_of(text: str) -> tuple:
    """The name of a config and the file of its weights."""
    name, _, value = assignment(text).partition('=')
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


# --- the command ------------------------------------------------------------


def compare(args: argparse.Namespace, command: str) -> None:
    """Check, run what is missing, write both files, and print the table."""
    check_arguments(args)
    # These import MMPose: after the arguments
    from comparison.plan import augmentation, data_of, plan
    from comparison.run import run_all
    from comparison.table import markdown
    from mmengine.fileio import dump
    runs = plan(args)
    usual = [augmentation(run.cfg) for run in runs if run.seed is not None]
    results = [
        dict(result, own_augmentation=run.seed is not None
             and augmentation(run.cfg) != usual[0])
        for run, result in zip(runs, run_all(runs))]
    comparison = dict(
        command=command, steps=None, batch_size=None, train_data=None,
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


def main(argv: Optional[Sequence[str]] = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        compare(args, shlex.join(['python', 'tools/compare.py', *argv]))
    except (OSError, ValueError) as error:
        said = str(error).rstrip()
        if said.startswith('Caught'):  # by a process that loads data
            said = said.rpartition('\n')[2]
        parser.error(said)


if __name__ == '__main__':
    main()

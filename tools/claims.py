"""Measure the paper's claims on crowds of synthetic people.

    python tools/claims.py --seed 0 1 2 --out configs/claims/results.json

Trains configs/claims/ssa_crowd.py and its variants, each with every seed for
the same number of steps, and decomposes what each loses, with the decoders
that the questions (tools/comparison/questions.py) ask for. The results of a
training are written as soon as it is measured; what is in the file already,
made with the same settings and data, is not repeated, and an interrupted
training resumes after its last epoch. The tables are printed, and written
beside the results. Several commands at once may share a file, if each has
seeds of its own.
"""
import argparse
import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from comparison.questions import DECODERS, QUESTIONS, Question

CONFIG = 'configs/claims/ssa_crowd{}.py'
KEPT = ('coco/AP', 'coco/AP .5', 'mask/AP', 'mask/AP .5')


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__[__doc__.index('Trains'):])
    parser.add_argument('--seed', type=int, nargs='+', default=[0, 1, 2],
                        help='seeds of the trainings (default: 0 1 2)')
    parser.add_argument('--steps', type=int, default=1500,
                        help='steps per training, of 8 images each '
                        '(default: %(default)s)')
    parser.add_argument('--questions', nargs='+', choices=list(QUESTIONS),
                        default=list(QUESTIONS), help='default: all')
    parser.add_argument('--data-root', default='data/crowds',
                        help='default: %(default)s')
    parser.add_argument('--work-dir', default='work_dirs/claims',
                        help='folder of the trainings (default: %(default)s)')
    parser.add_argument('--out', default='work_dirs/claims/claims.json',
                        help='results; the tables are written beside them '
                        '(default: %(default)s)')
    parser.add_argument('--report', action='store_true',
                        help='do not train, only print the tables of the '
                        'results so far')
    from shared.arguments import add_cfg_options
    add_cfg_options(parser, 'for all configs, e.g. '
                    'optim_wrapper.type=CPUAmpOptimWrapper')
    return parser


def plan_runs(args: argparse.Namespace) -> list:
    """The trainings, all of the first seed first, so that every question has
    an answer early.

    Raises:
        FileNotFoundError: If configs or data are missing.
        ValueError: If an argument is out of range.
    """
    from compare import check_arguments
    from comparison.plan import plan
    configs = dict.fromkeys(
        CONFIG.format(entry.config) for letter in args.questions
        for entry in QUESTIONS[letter].entries)
    wanted = argparse.Namespace(
        configs=list(configs), checkpoint=[], batch_size=None,
        steps=args.steps, seed=args.seed, data_root=args.data_root,
        work_dir=args.work_dir, cfg_options=args.cfg_options)
    check_arguments(wanted)
    return sorted(plan(wanted), key=lambda run: args.seed.index(run.seed))


def decoders_of(config: str, letters: Sequence[str]) -> List[str]:
    """Those with which the questions look at a config."""
    return list(dict.fromkeys(
        entry.decoder for letter in letters
        for entry in QUESTIONS[letter].entries
        if CONFIG.format(entry.config) == config))


# --- results ----------------------------------------------------------------


def key_of(run) -> str:
    """Name and folder of a run: other settings or data, other key."""
    return f'{run.name}/{run.folder.name}'


def read(out: Path) -> Dict[str, dict]:
    """The results of earlier commands, by run.

    Raises:
        ValueError: If the file is damaged.
    """
    if not out.is_file():
        return {}
    try:
        return json.loads(out.read_text(encoding='utf-8'))
    except (RecursionError, ValueError) as error:
        raise ValueError(f'--out {out} is not JSON ({error}): give another '
                         'file, or remove it') from error


def add(out: Path, key: str, found: dict) -> None:
    """Add to a run's results; those of other commands are kept."""
    results = read(out)
    results.setdefault(key, {}).update(found)
    part = out.with_suffix(f'.{os.getpid()}.part')
    part.write_text(json.dumps(dict(sorted(results.items())), indent=1) + '\n',
                    encoding='utf-8')
    part.replace(out)


def measure(run, weights: str, decoder: str,
            cfg_options: Optional[dict]) -> Dict[str, dict]:
    """The decomposition of trained weights with a decoder.

    Args:
        run: That was trained with ``cfg_options``.
        weights: File of its weights.
        decoder: One of ``DECODERS``.
        cfg_options: Those of the command, as MMEngine reads them.
    """
    import oracle
    data = run.cfg.test_dataloader.dataset
    args = oracle.make_parser().parse_args([
        run.config, weights,
        '--ann-file', str(Path(data.data_root, data.ann_file)),
        '--img-dir', str(Path(data.data_root, data.data_prefix.img))])
    args.cfg_options = dict(cfg_options or {}, **{
        f'model.head.decoder.{name}': value
        for name, value in DECODERS[decoder].items()})
    found = oracle.measure(args)
    return {pair: {name: metrics[name] for name in KEPT}
            for pair, metrics in found.items()}


def answer(run, out: Path, args: argparse.Namespace) -> None:
    """Train and measure what is missing of a run."""
    from comparison.run import train
    from mmengine.runner import find_latest_checkpoint
    missing = [name for name in decoders_of(run.config, args.questions)
               if name not in read(out).get(key_of(run), {})]
    if not missing:
        print(f'{key_of(run)} is there already')
        return
    begin = time.perf_counter()
    done = run.folder / 'trained'
    if not done.is_file():
        print(f'{key_of(run)}: train', flush=True)
        with contextlib.redirect_stdout(io.StringIO()):
            train(run)
        done.touch()
        add(out, key_of(run), dict(
            minutes=round((time.perf_counter() - begin) / 60, 1)))
    weights = find_latest_checkpoint(str(run.folder))
    for name in missing:
        found = measure(run, weights, name, args.cfg_options)
        add(out, key_of(run), {name: found})
        print(f'{key_of(run)}, {name}: AP '
              f'{found["own + own"]["coco/AP"]:.3f}', flush=True)


# --- the command ------------------------------------------------------------


def report(runs: list, results: Dict[str, dict], args) -> str:
    """The tables of the questions."""
    return '\n\n'.join(
        f'## {letter}. {QUESTIONS[letter].text}\n\n'
        + table_of(QUESTIONS[letter], runs, results)
        for letter in args.questions) + '\n'


def table_of(question: Question, runs: list,
             results: Dict[str, dict]) -> str:
    """The table of one question, of the runs that are measured."""
    from comparison.verdict import table
    return table([(entry.label, {
        run.seed: results[key_of(run)][entry.decoder] for run in runs
        if run.config == CONFIG.format(entry.config)
        and entry.decoder in results.get(key_of(run), {})})
        for entry in question.entries])


def claims(args: argparse.Namespace) -> None:
    """Check, train and measure what is missing, print the tables."""
    out, work_dir = Path(args.out), Path(args.work_dir)
    if out.parent != work_dir and not out.absolute().parent.is_dir():
        raise FileNotFoundError(f'--out {out}: there is no such folder')
    read(out)
    runs = plan_runs(args)
    work_dir.mkdir(parents=True, exist_ok=True)
    if not args.report:
        for run in runs:
            answer(run, out, args)
    try:
        text = report(runs, read(out), args)
    except (ArithmeticError, AttributeError, KeyError, TypeError,
            ValueError) as error:
        raise ValueError(f'--out {out} is not what this command writes '
                         f'({error!r:.200}): give another file') from error
    out.with_suffix('.md').write_text(text, encoding='utf-8')
    print(text)


def main(argv: Optional[Sequence[str]] = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        claims(args)
    except (OSError, ValueError) as error:
        parser.error(str(error).rstrip().rpartition('\n')[2])


if __name__ == '__main__':
    main()

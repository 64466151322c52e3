"""Plot the training curves of both losses, of one or several runs (Fig. 5).

    python tools/plot_losses.py work_dirs/ssa_demo work_dirs/ssa_demo_naive \
        --labels supervised naive --out losses.png
"""
import argparse
import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np


class Curves(NamedTuple):
    """The losses of one run.

    Attributes:
        steps: (T,) training iterations.
        heatmap: (T,) heatmap loss.
        mask: (T,) instance mask loss without its weight beta; NaN where it
            was not logged yet.
    """
    steps: np.ndarray
    heatmap: np.ndarray
    mask: np.ndarray


def read_run(work_dir: str) -> Curves:
    """Read all logs of a run.

    A resumed run has several; where they overlap, the later one holds.

    Args:
        work_dir: Where MMEngine wrote, with ``TIME/vis_data/scalars.json``.

    Raises:
        FileNotFoundError: If there is no log.
        ValueError: If a log is damaged, or none is of a training of SSA on
            masks.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(
            f'{work_dir} has no */vis_data/scalars.json: give the work_dir '
            'of a training')
    entries: List[Dict[str, float]] = []
    for log in logs:
        new = read_log(log)
        begin = new[0]['step'] if new else float('inf')
        entries = [old for old in entries if old['step'] < begin] + new
    if not entries:
        raise ValueError(f'{work_dir} has no training losses in its logs: '
                         'give the work_dir of a training')
    if all(np.isnan(entry['mask_error']) for entry in entries):
        raise ValueError(f'{work_dir} has training losses without mask_error: '
                         'give the work_dir of a training of SSA on masks')
    return Curves(*(np.array([entry[key] for entry in entries])
                    for key in ('step', 'loss_kpt', 'mask_error')))


def read_log(log: Path) -> List[Dict[str, float]]:
    """Training entries with ``step``, ``loss_kpt`` and ``mask_error``."""
    entries = [entry for entry in parse_log(log) if 'loss_kpt' in entry]
    for entry in entries:
        # not logged until a batch shows a person with a mask
        entry.setdefault('mask_error', np.nan)
        if 'step' not in entry:
            raise ValueError(f'{log} has training losses without step '
                             f'({sorted(entry)}): copy the log again')
        for key in ('step', 'loss_kpt', 'mask_error'):
            # true is no number, and one of 400 digits is none of a loss
            if type(entry[key]) not in (int, float) or \
                    1e300 < abs(entry[key]) < float('inf'):
                raise ValueError(f'{log} has {key}={entry[key]!r:.80}, which '
                                 'is no number of a training: copy the log '
                                 'again')
    return entries


def parse_log(log: Path) -> List[dict]:
    """All entries; a kill may have cut off the last line, which is skipped."""
    if not log.is_file():
        raise ValueError(f'{log} is no file')
    lines = log.read_text(errors='replace').splitlines()
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(dict(json.loads(line)))
        except (TypeError, ValueError, RecursionError) as error:
            if number < len(lines):
                raise ValueError(
                    f'{log} is damaged, line {number} is not a dict in JSON '
                    f'({error}): take the line out, or copy the log again'
                ) from error
    return entries


def plot(runs: Dict[str, Curves], out: str) -> None:
    """Draw the curves of runs, by label, beside each other."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(11, 4), layout='tight')
    titles = dict(heatmap='heatmap loss', mask='mask loss, without its weight')
    for axis, (name, title) in zip(figure.subplots(1, 2), titles.items()):
        for label, curves in runs.items():
            axis.plot(curves.steps, getattr(curves, name), label=label)
        axis.set(title=title, xlabel='iteration', ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR')
    parser.add_argument('--labels', nargs='+',
                        help='labels of the runs (default: the names of their '
                        'folders)')
    parser.add_argument('--out', default='losses.png',
                        help='picture to write (default: losses.png)')
    return parser


def plot_runs(args: argparse.Namespace) -> None:
    """Check the labels, read the runs and draw their curves."""
    labels = args.labels or [Path(d).name for d in args.work_dirs]
    if not len(set(labels)) == len(labels) == len(args.work_dirs):
        raise ValueError(f'{len(args.work_dirs)} runs need as many different '
                         f'labels, got {labels}: give --labels')
    plot(dict(zip(labels, map(read_run, args.work_dirs))), args.out)
    print(f'{args.out} written')


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        plot_runs(args)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()

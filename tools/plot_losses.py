"""Plot the training curves of both losses, of one or several runs (Fig. 5).

    python tools/plot_losses.py work_dirs/ssa_demo work_dirs/ssa_demo_naive \
        --labels supervised naive --out losses.png
"""
import argparse
import json
from pathlib import Path
from typing import Dict, List, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import mmpose_ssa  # noqa: F401 (registers the loss)


class Curves(NamedTuple):
    """The losses of one run.

    Attributes:
        steps: (T,) training iterations.
        heatmap: (T,) heatmap loss.
        mask: (T,) instance mask loss without its weight beta.
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
        ValueError: If none of the logs is of a training.
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
    return Curves(*(np.array([entry[key] for entry in entries])
                    for key in ('step', 'loss_kpt', 'mask_error')))


def read_log(log: Path) -> List[Dict[str, float]]:
    """Training entries with ``step``, ``loss_kpt`` and ``mask_error``."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines = [line for line in lines if 'loss_kpt' in line]
    if any('loss_mask' in line for line in lines):
        beta = read_beta(log.parent / 'config.py')
        lines = [{**line, 'mask_error': line['loss_mask'] / beta}
                 for line in lines]
    return lines


def read_beta(config: Path) -> float:
    """The weight of the mask loss in the config of a run."""
    init_default_scope('mmpose')
    cfg = Config.fromfile(config, import_custom_modules=False)
    return MODELS.build(cfg.model.head.mask_loss).loss_weight


def plot(runs: Dict[str, Curves], out: str) -> None:
    """Draw the curves of runs, by label, beside each other."""
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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR')
    parser.add_argument('--labels', nargs='+',
                        help="of the runs; their folders' names by default")
    parser.add_argument('--out', default='losses.png',
                        help='picture to write (default: losses.png)')
    args = parser.parse_args()
    args.labels = args.labels or [Path(d).name for d in args.work_dirs]
    if len(set(args.labels)) != len(args.work_dirs):
        parser.error(f'{len(args.work_dirs)} runs need as many different '
                     f'labels, got {args.labels}')
    return args


def main() -> None:
    args = parse_args()
    runs = map(read_run, args.work_dirs)
    plot(dict(zip(args.labels, runs)), args.out)
    print(f'{args.out} written')


if __name__ == '__main__':
    main()

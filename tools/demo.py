"""Show the method in minutes, on synthetic people.

    make demo

Weights trained with the heatmap loss only find keypoints, but their attention
does not say whose they are. They are trained with the mask loss too for about
three minutes, and compared with the bundled weights, which had it for longer.
Each step is a command; it is written with all of its output to a log.
"""
import argparse
import contextlib
import json
import re
import shlex
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from mmpose_ssa.synthetic.dataset import write_dataset

ROOT = Path(__file__).parents[1]
METRICS = {'keypoint AP': 'coco/AP', 'mask AP': 'mask/AP'}
# MMEngine's log: Epoch(train)  [2][ 10/75], Epoch(test) [ 50/300]
STEP = re.compile(r'Epoch\((\w+)\)\s+(?:\[(\d+)\])?\[\s*(\d+)/(\d+)\]')


class Stage(NamedTuple):
    """A model of the table and of the picture."""
    row: str
    heading: str
    config: str
    weights: str


def progress(name: str, total: Optional[int] = None) -> tqdm:
    return tqdm(desc=f'{name:26}', total=total, leave=True, dynamic_ncols=True,
                bar_format='{desc} {percentage:3.0f}%|{bar:30}| {elapsed}')


def run(name: str, log: Path, command: Sequence[str], epochs: int = 1) -> str:
    """Run a command of this environment under a progress bar.

    Args:
        name: What the bar says.
        log: File for the command and all of its output.
        command: As it is typed.
        epochs: How many it trains.

    Returns:
        Its output.
    """
    executable = Path(sys.executable).parent / command[0]
    lines = [f'$ {shlex.join(command)}\n']
    with progress(name, 100) as bar, log.open('w') as file:
        file.write(lines[0])
        process = subprocess.Popen(
            [str(executable), *command[1:]], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in process.stdout:
            lines.append(line)
            file.write(line)
            step = STEP.search(line)
            if step and not (epochs > 1 and step[1] != 'train'):
                done = int(step[2] or 1) - 1 + int(step[3]) / int(step[4])
                bar.update(round(99 * done / epochs) - bar.n)
        if process.wait():
            bar.close()
            sys.exit(f'{"".join(lines[-15:])}\nThe demo stops: this command '
                     f'ended with {process.returncode}, see {log}')
        bar.update(100 - bar.n)
    return ''.join(lines)


def on_data(data: Path) -> List[str]:
    """Options that make a demo config read the data drawn here."""
    return ['--cfg-options', 'default_hooks.logger.interval=10'] + [
        f'{split}_dataloader.dataset.data_root={data}/'
        for split in ('train', 'val', 'test')]


def draw_data(data: Path, train: int, val: int) -> None:
    with progress('draw synthetic people', train + val) as bar:
        write_dataset(data, train, val, size=160, max_people=3, min_height=.6,
                      progress=lambda done, total: bar.update(done - bar.n))
        bar.update(train + val - bar.n)


def train(out: Path, data: Path) -> str:
    """Add the mask loss to the naive weights; the file of the new ones."""
    run('train with the mask loss', out / 'logs/train.txt',
        ['mim', 'train', 'mmpose', 'configs/demo/ssa_demo_minutes.py',
         '--work-dir', str(out / 'train'), *on_data(data)], epochs=3)
    return (out / 'train/last_checkpoint').read_text()


def test(stage: Stage, number: int, out: Path, data: Path) -> Dict[str, float]:
    """`mim test`, and the metrics that it wrote."""
    folder = out / f'test_{number}'
    run(f'test: {stage.heading}', out / f'logs/test_{number}.txt',
        ['mim', 'test', 'mmpose', stage.config, '-C', stage.weights,
         '--work-dir', str(folder), *on_data(data)])
    newest = max(folder.glob('*/*.json'), key=lambda f: f.stat().st_mtime)
    return json.loads(newest.read_text())


def upper_bound(out: Path, data: Path) -> Dict[str, float]:
    """What the decoder makes of perfect outputs on the same images."""
    run('upper bound', out / 'logs/upper_bound.txt', [
        'python', 'tools/oracle.py', 'configs/demo/ssa_demo.py', '--ann-file',
        str(data / 'annotations/person_keypoints_val2017.json'), '--img-dir',
        str(data / 'val2017'), '--out', str(out / 'upper_bound.json')])
    text = (out / 'upper_bound.json').read_text()
    return json.loads(text)['perfect + perfect']


def draw_picture(stages: List[Stage], images: List[Path], out: Path) -> None:
    """The people found, a column for each stage, in ``out/demo.png``."""
    columns = []
    with progress('draw what is found', len(stages)) as bar, \
            (out / 'logs/predict.txt').open('w') as log, \
            contextlib.redirect_stdout(log), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from mmpose_ssa import SSAInferencer  # imports MMPose
        for stage in stages:
            infer = SSAInferencer(ROOT / stage.config, stage.weights)
            found = infer([str(image) for image in images], return_vis=True)
            columns.append(column(
                stage.heading, [result['visualization'] for result in found]))
            bar.update()
    cv2.imwrite(str(out / 'demo.png'), np.hstack(columns))


def column(heading: str, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of 320 x 320 below a heading."""
    head = np.full((36, 320, 3), 255, np.uint8)
    (width, _), _ = cv2.getTextSize(heading, cv2.FONT_HERSHEY_SIMPLEX, .6, 1)
    cv2.putText(head, heading, (160 - width // 2, 24),
                cv2.FONT_HERSHEY_SIMPLEX, .6, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([head, *(cv2.resize(p, (320, 320)) for p in pictures)])


def table(rows: Dict[str, Dict[str, float]], best: Dict[str, float]) -> str:
    """Each metric, and its share of the upper bound."""
    lines = [[name, *(value for key in METRICS.values() for value in (
        f'{values[key]:.3f}', f'{values[key] / best[key]:.0%}'))]
        for name, values in rows.items()]
    return tabulate(
        lines, ['weights', 'keypoint AP', 'of bound', 'mask AP', 'of bound'],
        disable_numparse=True, colalign=['left'] + ['right'] * 4)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', default='work_dirs/demo', type=Path,
                        help='folder to write to (default: %(default)s)')
    parser.add_argument('--train', type=int, default=1200,
                        help='training images (default: %(default)s)')
    parser.add_argument('--val', type=int, default=300,
                        help='validation images, which the bundled weights '
                        'have never seen (default: %(default)s)')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    begin, out = time.perf_counter(), args.out.resolve()
    (out / 'logs').mkdir(parents=True, exist_ok=True)
    data = out / 'synthetic'
    draw_data(data, args.train, args.val)
    trained = train(out, data)
    stages = [
        Stage('heatmap loss only', 'heatmap loss only',
              'configs/demo/ssa_demo_naive.py', 'weights/ssa_demo_naive.pth'),
        Stage('then minutes of mask loss', '+ minutes of mask loss',
              'configs/demo/ssa_demo.py', trained),
        Stage('bundled weights', 'bundled weights',
              'configs/demo/ssa_demo.py', 'weights/ssa_demo.pth')]
    rows = {stage.row: test(stage, i, out, data)
            for i, stage in enumerate(stages)}
    rows['upper bound'] = best = upper_bound(out, data)
    draw_picture(stages, sorted((data / 'val2017').glob('*.jpg'))[:4], out)
    run('draw the losses', out / 'logs/losses.txt', [
        'python', 'tools/plot_losses.py', str(out / 'train'), '--out',
        str(out / 'losses.png')])
    print(f"""
{table(rows, best)}

After minutes of the mask loss the attention is on its way to masks: these
appear, while keypoints may be grouped worse than before. The upper bound is
what our decoder makes of perfect heatmaps and attention.

pictures: {out}/demo.png, {out}/losses.png
commands and their output: {out}/logs
{(time.perf_counter() - begin) / 60:.1f} minutes""")


if __name__ == '__main__':
    main()

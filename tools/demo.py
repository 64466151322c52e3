"""The paper's claim in minutes, on drawn people.

Weights that were trained with the heatmap loss only find keypoints, but their
attention does not say whose they are. The mask loss is added to them for about
three minutes, then the final weights follow, which had it for longer. Each
step is a command that can be typed as it is printed.
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
CONFIGS = 'configs/demo'
NAIVE, FINAL = 'weights/ssa_demo_naive.pth', 'weights/ssa_demo.pth'


def run(*command: str) -> None:
    """Print and run a command of this environment; stop where it fails."""
    print('\n$ ' + ' '.join(command), flush=True)
    executable = Path(sys.executable).parent / command[0]
    code = subprocess.run([str(executable), *command[1:]], cwd=ROOT).returncode
    if code:
        sys.exit(f'the demo stops: the command above ended with {code}')


def on_data(data: str) -> List[str]:
    """Options that make a demo config read the data drawn here."""
    return ['--cfg-options', f'data_root={data}/'] + [
        f'{split}_dataloader.dataset.data_root={data}/'
        for split in ('train', 'val', 'test')
    ]


def test(config: str, weights: str, out: Path, data: str) -> Dict[str, float]:
    """`mim test`, and the figures that it wrote."""
    run('mim', 'test', 'mmpose', f'{CONFIGS}/{config}', '-C', weights,
        '--work-dir', str(out), *on_data(data))
    logs = sorted(out.glob('*/*.json'), key=lambda f: f.stat().st_mtime)
    return json.loads(logs[-1].read_text())


def upper_bound(data: str, out: Path) -> Dict[str, float]:
    """What the decoder makes of perfect outputs on the same images."""
    run('python', 'tools/oracle.py', f'{CONFIGS}/ssa_demo.py', '--ann-file',
        f'{data}/annotations/person_keypoints_val2017.json', '--img-dir',
        f'{data}/val2017', '--out', str(out / 'oracle.json'))
    return json.loads((out / 'oracle.json').read_text())['perfect + perfect']


def draw_pictures(stages: Dict[str, tuple], out: Path, images: list) -> None:
    """Persons found at each stage, one column a stage, in ``out``."""
    columns = []
    for name, (config, weights) in stages.items():
        folder = out / 'pictures' / name.replace(' ', '_')
        run('python', 'tools/predict.py', *map(str, images), '--config',
            f'{CONFIGS}/{config}', '--checkpoint', weights, '--out',
            str(folder))
        found = [cv2.imread(str(folder / f'{image.stem}_persons.jpg'))
                 for image in images]
        columns.append(np.vstack(
            [cv2.resize(picture, (320, 320)) for picture in found]))
    cv2.imwrite(str(out / 'demo.png'), np.hstack(columns))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', default='work_dirs/demo', type=Path)
    parser.add_argument('--train', type=int, default=1200,
                        help='training images (default: 1200)')
    parser.add_argument('--val', type=int, default=300,
                        help='validation images, which no carried weights '
                        'have seen (default: 300)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    begin, args.out = time.perf_counter(), args.out.resolve()
    data = str(args.out / 'synthetic')
    run('python', 'tools/synthesize.py', data, '--size', '160',
        '--max-people', '3', '--min-height', '0.6', '--train',
        str(args.train), '--val', str(args.val))
    run('mim', 'train', 'mmpose', f'{CONFIGS}/ssa_demo_minutes.py',
        '--work-dir', str(args.out / 'train'), *on_data(data))
    trained = (args.out / 'train' / 'last_checkpoint').read_text()
    stages = {
        'naive': ('ssa_demo_naive.py', NAIVE),
        'after minutes': ('ssa_demo.py', trained),
        'final': ('ssa_demo.py', FINAL),
    }
    figures = {name: test(*stage, args.out / name.replace(' ', '_'), data)
               for name, stage in stages.items()}
    images = sorted((args.out / 'synthetic/val2017').glob('*.jpg'))[:4]
    draw_pictures(stages, args.out, images)
    run('python', 'tools/plot_losses.py', str(args.out / 'train'), '--out',
        str(args.out / 'losses.png'))
    figures['upper bound'] = best = upper_bound(data, args.out)
    print('\nweights        keypoint AP    of bound  mask AP    of bound')
    for name, values in figures.items():
        print(f'{name:14}', *(
            f'{values[key]:{width}.3f} {values[key] / best[key]:11.2f}'
            for key, width in (('coco/AP', 11), ('mask/AP', 8))))
    print('After minutes the attention of the supervised layer is on its way '
          'to masks: these come,\nwhile keypoints may be grouped worse than '
          "by the naive weights' mean attention.")
    print(f'Pictures: {args.out}/demo.png (one column each), '
          f'{args.out}/pictures, {args.out}/losses.png')
    print(f'{(time.perf_counter() - begin) / 60:.1f} minutes')


if __name__ == '__main__':
    main()

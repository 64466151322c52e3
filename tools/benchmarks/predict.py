"""Prediction as users run it: beside MMPose's inferencer, and its memory."""
import gc
from functools import partial
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Optional

import cv2
import numpy as np

from mmpose_ssa.apis.inferencer import SSAInferencer, bundled
from mmpose_ssa.synthetic.scene import draw_scene

from .report import Table
from .stopwatch import alternate, ratio


def measure(quick: bool, data_root: Optional[str] = None) -> List[Table]:
    """Time both inferencers, and watch the memory of many images.

    Args:
        quick: The demo's model, few images, one repeat.
        data_root: Folder of photos; synthetic scenes without it.
    """
    model = 'demo' if quick or data_root is None else 'photos'
    images = _images(data_root, 2 if quick else 16)
    return [_inferencers(model, images, 1 if quick else 5),
            _memory(model, images, (2, 4) if quick else (100, 500, 1000))]


def _inferencers(model: str, images: List[np.ndarray],
                 repeats: int) -> Table:
    from mmpose.apis import MMPoseInferencer
    config, weights = bundled(model)
    ours = SSAInferencer(model, device='cpu')
    theirs = MMPoseInferencer(config, weights, device='cpu')
    functions: Dict[str, Callable] = {
        'MMPoseInferencer': partial(_consume, theirs, images),
        'SSAInferencer': partial(_consume, ours, images),
        'MMPoseInferencer, with pictures': partial(
            _consume, theirs, images, return_vis=True),
        'SSAInferencer, with pictures': partial(
            _consume, ours, images, return_vis=True)}
    times = alternate(functions, repeats, label='predict')
    base = next(iter(functions))
    return Table(
        f'Prediction with the bundled model {model}',
        f'{len(images)} images, one after the other, from pixels to results '
        'with masks.',
        ('', 'images/s', f'time / {base}'),
        [[name, len(images) / median(times[name]), ratio(times, name, base)]
         for name in functions])


def _memory(model: str, images: List[np.ndarray], counts: tuple) -> Table:
    inferencer = SSAInferencer(model, device='cpu')
    rows, done = [], 0
    for count in counts:
        while done < count:
            _consume(inferencer, [images[done % len(images)]])
            done += 1
        gc.collect()
        rows.append([str(count), resident() / 2**20])
    return Table(
        f'Memory of many images with the bundled model {model}',
        'Of the process that measures, which holds a second model and the '
        'images, after so many images.',
        ('images', 'resident, MiB'), rows)


def resident() -> int:
    """Bytes of memory that this process has now."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024
    raise OSError('/proc/self/status names no VmRSS: this needs Linux')


def _images(data_root: Optional[str], number: int) -> List[np.ndarray]:
    if data_root is None:
        return [draw_scene(seed, 320).image for seed in range(number)]
    files = sorted(Path(data_root).glob('*.jpg'))[:number]
    return [cv2.imread(str(file)) for file in files]


def _consume(inferencer: Callable, images: List[np.ndarray],
             **options) -> None:
    for _ in inferencer(images, **options):
        pass

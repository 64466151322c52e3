"""The exported model beside PyTorch, from pixels to persons."""
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Optional

import cv2
import numpy as np
import torch

from mmpose_ssa.apis.export import export
from mmpose_ssa.apis.inferencer import SSAInferencer, bundled
from mmpose_ssa.apis.onnx import OnnxInferencer
from mmpose_ssa.synthetic.scene import draw_scene

from .report import Table
from .stopwatch import alternate, ratio


def measure(quick: bool, data_root: Optional[str] = None) -> List[Table]:
    """Time finding the people of one image.

    Args:
        quick: The demo's model alone, one repeat.
        data_root: Folder of photos; a synthetic scene without it.
    """
    models = ('demo', ) if quick else ('demo', 'photos')
    return [_table(name, 1 if quick else 5, data_root) for name in models]


def _table(model: str, repeats: int, data_root: Optional[str]) -> Table:
    images = _images(data_root, 1 if repeats == 1 else 8)
    reference = SSAInferencer(model, device='cpu')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        export(*bundled(model), path)
        exported = OnnxInferencer(path, threads=torch.get_num_threads())
    functions: Dict[str, Callable] = {
        'PyTorch': partial(_all, reference.infer, images),
        'ONNX Runtime': partial(_all, exported, images),
        'ONNX Runtime, network alone': partial(
            _all, partial(_network, exported), images)}
    times = alternate(functions, repeats, label=model)
    base = next(iter(functions))
    shapes = sorted({image.shape[1::-1] for image in images})
    return Table(
        f'The bundled model {model}, exported',
        'Resizing, network, decoding and masks, per image; '
        f'{len(images)} images of {shapes[0]} to {shapes[-1]} pixels.',
        ('', 's', f'time / {base}'),
        [[name, median(times[name]) / len(images), ratio(times, name, base)]
         for name in functions])


def _images(data_root: Optional[str], number: int) -> List[np.ndarray]:
    if data_root is None:
        return [draw_scene(seed, 320).image for seed in range(number)]
    files = sorted(Path(data_root).glob('*.jpg'))[:number]
    return [cv2.imread(str(file)) for file in files]


def _all(function: Callable, images: List[np.ndarray]) -> None:
    for image in images:
        function(image)


def _network(exported: OnnxInferencer, image: np.ndarray) -> None:
    resized, _ = exported.resize(image)
    exported.session.run(
        None, {'images': np.float32(resized.transpose(2, 0, 1)[None])})

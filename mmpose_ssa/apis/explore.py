"""One page that shows what a model's attention knows of an image.

The page (`explorer/`) holds image, heatmaps, candidates, queries and keys, and
groups by itself: it needs no server and no network. Numbers are quantised,
all by one step per array, and deflated.
"""
import base64
import dataclasses
import functools
import html
import json
import string
import zlib
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import cv2
import numpy as np
import torch

from ..decoding.candidates import find_candidates
from ..decoding.coordinates import (content_box, content_cells,
                                    input_from_image, tokens_at)
from ..decoding.decoder import locations
from ..models.attention import TokenAttention
from ..models.estimator import SSAPoseEstimator
from .inferencer import SSAInferencer
from .local_visualizer import DRAW_THR
from .visualizer import resized

FOLDER = Path(__file__).parent / 'explorer'
LIMIT = 8_000_000  # bytes that a page may have
SCRIPTS = ('decode', 'model', 'persons', 'drawing', 'panel', 'download',
           'page')  # each uses what those before it declare
# Bits of the supervised layer and of the others, from the best on
PRECISIONS = ((16, 16), (12, 12), (12, 8), (12, 6))
LONGEST = 1280  # pixels of the image in the page


class Outputs(NamedTuple):
    """What a model gives for one image before persons are decoded.

    Attributes:
        heatmaps: (K, H/4, W/4).
        layers: Attention of each encoder layer, and of the independent one.
        names: Of the layers.
        supervised: Which of them groups the keypoints.
        metainfo: Of the network input.
    """
    heatmaps: np.ndarray
    layers: List[TokenAttention]
    names: List[str]
    supervised: int
    metainfo: dict


def look(inferencer: SSAInferencer, image: np.ndarray) -> Outputs:
    """Run the network on an image and keep the attention of every layer.

    Args:
        inferencer: Of an SSA model.
        image: (H, W, 3) BGR.

    Raises:
        ValueError: If the model has no attention to group keypoints by, or
            groups by the mean of several.
    """
    model = inferencer.model
    if not isinstance(model, SSAPoseEstimator):
        raise ValueError(f'{type(model).__name__} has no attention to look '
                         'at: give the config of an SSA model')
    data = model.data_preprocessor(inferencer.collate_fn([inferencer.pipeline(
        dict(img=image, **model.dataset_meta))]), False)
    kept: List[Tuple[torch.Tensor, torch.Tensor]] = []
    hooks = [layer.register_forward_hook(
        lambda module, given, out: kept.append(out[1:]))
        for layer in model.neck.layers]
    try:
        with torch.no_grad():
            feats = model.extract_feat(data['inputs'])
            heatmaps, attention = model.head.outputs(
                feats, data['data_samples'], {})
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(attention, TokenAttention):
        raise ValueError('a naive model groups by the mean of all layers: '
                         'give the config of a supervised one')
    layers = [TokenAttention(q, k, attention.grid) for q, k in kept]
    names = [f'layer {i + 1}' for i in range(len(layers))]
    supervised = model.neck.supervised_layer
    if model.neck.association == 'independent':
        supervised = len(layers)
        layers.append(attention)
        names.append('independent')
    names[supervised] += ' (supervised)'
    return Outputs(heatmaps[0].float().cpu().numpy(), layers, names,
                   supervised, data['data_samples'][0].metainfo)


def page(inferencer: SSAInferencer, image: np.ndarray,
         file_name: str) -> str:
    """The page of an image.

    Args:
        inferencer: Of an SSA model.
        image: (H, W, 3) BGR.
        file_name: Its name, for the title and the download.

    Returns:
        HTML of at most 8 MB: where it would be larger, numbers get fewer
        bits, and layers far from the supervised one are left out at last.

    Raises:
        ValueError: As :func:`look`; if the page were too large, or the model
            groups in a way that the page does not know.
    """
    outputs = look(inferencer, image)
    options = inferencer.model.head.decoder.options
    if options.grouping != 'part_first' or options.mask_mode != 'soft':
        raise ValueError(
            f'the page groups part-first with soft masks, not by grouping='
            f'{options.grouping!r} and mask_mode={options.mask_mode!r}: set '
            '--cfg-options model.head.decoder.grouping=part_first '
            'model.head.decoder.mask_mode=soft')
    content = _content(inferencer, image, file_name, outputs)
    content['layers'] = []
    layers = _layers(outputs, LIMIT - len(_filled(content, file_name)))
    content.update(layers=layers, supervised=next(
        i for i, layer in enumerate(layers)
        if layer['name'] == outputs.names[outputs.supervised]))
    text = _filled(content, file_name)
    if len(text) > LIMIT:
        raise ValueError(
            f'the page would have {len(text) / 1e6:.1f} MB: its input is '
            f'{outputs.metainfo["input_size"]} pixels; give a smaller image')
    return text


def _filled(content: dict, file_name: str) -> str:
    def source(name: str) -> str:
        return (FOLDER / name).read_text(encoding='utf-8')

    parts = dict(STYLE=source('style.css'), SCRIPTS='\n'.join(
        f'<script>{source(f"{name}.js")}</script>' for name in SCRIPTS))
    # '<' could end the script element, whatever a file is called
    parts['DATA'] = json.dumps(content).replace('<', '\\u003c')
    parts['TITLE'] = html.escape(file_name)
    return _Template(source('page.html')).substitute(parts)


class _Template(string.Template):
    """Places are written /*NAME*/, which editors of each language accept."""
    delimiter = '/*'
    pattern = r"""
        /\*(?:(?P<escaped>(?!))|(?P<named>[A-Z]+)\*/|(?P<braced>(?!))|
        (?P<invalid>(?!)))"""


def _content(inferencer: SSAInferencer, image: np.ndarray, file_name: str,
             outputs: Outputs) -> Dict[str, Any]:
    """All that the page knows but for the layers."""
    options = inferencer.model.head.decoder.options
    heatmaps, metainfo = outputs.heatmaps, outputs.metainfo
    grid, shape = outputs.layers[0].grid, heatmaps.shape[1:]
    cells = content_cells(content_box(metainfo), options.heatmap_stride, shape)
    lowest = options.score_threshold / 4
    found = find_candidates(heatmaps, lowest, options.nms_kernel,
                            options.max_candidates, cells)
    scale, offset = input_from_image(metainfo)
    points = locations(heatmaps, found, options)
    return dict(
        file_name=file_name, image=_jpeg(image),
        image_size=image.shape[1::-1],
        scale=scale.tolist(), offset=offset.tolist(), grid=grid,
        heatmap_size=shape, content_cells=cells,
        options=dataclasses.asdict(options), lowest_score=lowest,
        candidates=dict(
            types=found.types.tolist(), scores=found.scores.tolist(),
            tokens=tokens_at(found.cells * options.heatmap_stride,
                             options.token_stride, grid).tolist(),
            points=points.tolist()),
        heatmaps=quantised(heatmaps, 16),
        names=list(inferencer.skeleton.names),
        links=[list(map(int, link)) for link in inferencer.skeleton.links],
        category_id=inferencer.category_id, draw_thr=DRAW_THR)


def _layers(outputs: Outputs, limit: int) -> List[dict]:
    """The layers with as many bits as ``limit`` bytes of JSON allow.

    If even the fewest bits are too many, layers are left out, those furthest
    from the supervised one first, which stays in any case.
    """
    own = outputs.supervised
    near = sorted(range(len(outputs.layers)), key=lambda i: abs(i - own))
    attempts = [(near, *bits) for bits in PRECISIONS]
    attempts += [(near[:n], *PRECISIONS[-1]) for n in range(len(near) - 1, 0,
                                                             -1)]

    @functools.lru_cache(maxsize=None)
    def layer(i: int, bits: int) -> dict:
        q, k = (t[0].float().cpu().numpy() for t in (
            outputs.layers[i].q, outputs.layers[i].k))
        return dict(name=outputs.names[i], heads=len(q), d=q.shape[-1],
                    q=quantised(q, bits), k=quantised(k, bits))

    for chosen, bits, others in attempts:
        result = [layer(i, bits if i == own else others)
                  for i in sorted(chosen)]
        if len(json.dumps(result)) <= limit:
            break
    return result


def quantised(values: np.ndarray, bits: int) -> dict:
    """Whole numbers times a step, the largest value being the largest one.

    Args:
        values: Any finite numbers.
        bits: 2 to 16, with sign.

    Returns:
        ``bits``, ``scale`` (the step) and ``content``: base64 of deflated
        bytes; of numbers of more than 8 bits first all low bytes and then all
        high ones, which deflate better so.
    """
    most = 2**(bits - 1) - 1
    scale = float(np.abs(values).max(initial=0)) / most or 1.
    whole = np.round(values / scale).ravel()
    content = whole.astype(np.int8 if bits <= 8 else '<i2').view(np.uint8)
    if bits > 8:
        content = content.reshape(-1, 2).T
    # runs are rare: to count the bytes alone is fast, and as small
    packer = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    packed = packer.compress(content.tobytes()) + packer.flush()
    return dict(bits=bits, scale=scale,
                content=base64.b64encode(packed).decode())


def _jpeg(image: np.ndarray) -> str:
    """The image as the address of a JPEG, no larger than can be seen."""
    factor = LONGEST / max(image.shape[:2])
    if factor < 1:
        image = resized(image, factor)
    _, content = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, 88))
    return 'data:image/jpeg;base64,' + base64.b64encode(
        content.tobytes()).decode()

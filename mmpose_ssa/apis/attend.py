"""Where one place of an image attends, in any layer of a model."""
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from ..decoding.coordinates import input_from_image, tokens_at
from ..decoding.masks import maps_on_image
from .explore import look
from .inferencer import SSAInferencer
from .visualizer import draw_attention, side_by_side


class Attended(NamedTuple):
    """The attention of one place.

    Attributes:
        tokens: (h, w) of the token grid; sums to 1.
        image: (H, W), the same over its maximum, on the original image.
        point_img: (x, y) of the place.
        layer: Name of the layer.
    """
    tokens: np.ndarray
    image: np.ndarray
    point_img: Tuple[float, float]
    layer: str


def attention_at(inferencer: SSAInferencer, image: np.ndarray,
                 point_img: Sequence[float],
                 layer: Optional[int] = None) -> Attended:
    """Attention of the token in which a point lies.

    Args:
        inferencer: Of an SSA model.
        image: (H, W, 3) BGR.
        point_img: (x, y) in pixels of the image.
        layer: Counted from 1; None for the supervised one.

    Raises:
        ValueError: If the point lies outside the image, or there is no such
            layer.
    """
    x, y = point_img
    height, width = image.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f'({x:g}, {y:g}) lies outside the image of {width} x '
                         f'{height} pixels')
    outputs = look(inferencer, image)
    index = outputs.supervised if layer is None else layer - 1
    if not 0 <= index < len(outputs.layers):
        raise ValueError(f'there is no layer {layer}: the model has 1 to '
                         f'{len(outputs.layers)}')
    attention = outputs.layers[index]
    stride = inferencer.model.head.decoder.token_stride
    scale, offset = input_from_image(outputs.metainfo)
    token = tokens_at(np.array([x, y]) * scale + offset, stride,
                      attention.grid)
    row, = attention.rows(0, torch.tensor([int(token)])).cpu().numpy()
    tokens = row.reshape(attention.grid)
    on_image, = maps_on_image(tokens[None] / tokens.max(), (height, width),
                              scale, offset, stride)
    return Attended(tokens, on_image, (x, y), outputs.names[index])


def keypoint_place(inferencer: SSAInferencer, image: np.ndarray, name: str,
                   person: int = 1) -> Tuple[float, float]:
    """(x, y) of a keypoint of a person, best person first.

    Raises:
        ValueError: If there is no such keypoint or person, or the person
            lacks it.
    """
    names = list(inferencer.skeleton.names)
    if name not in names:
        raise ValueError(f'there is no keypoint {name!r}: give one of '
                         f'{", ".join(names)}')
    found = inferencer.infer(image).pred_instances
    if not 1 <= person <= len(found.keypoints):
        raise ValueError(f'there is no person {person}: '
                         f'{len(found.keypoints)} were found')
    kind = names.index(name)
    if not found.keypoint_scores[person - 1, kind] > 0:
        raise ValueError(f'person {person} has no {name}: give another '
                         '--person, or a place with --at')
    height, width = image.shape[:2]
    x, y = found.keypoints[person - 1, kind].clip(
        0, (width - 1, height - 1)).tolist()
    return x, y


def attention_picture(image: np.ndarray, attended: Sequence[Attended],
                      captions: Sequence[str]) -> np.ndarray:
    """One panel for each, BGR, side by side."""
    return side_by_side([draw_attention(image, a.image, a.point_img)
                         for a in attended], captions)

"""Where the original image lies in the network input of testing.

Frames: ``_img`` original image and ``_inp`` network input, both in pixel
indices. Pure: numpy only.
"""
from typing import Tuple

import numpy as np


def input_from_image(metainfo: dict) -> Tuple[np.ndarray, np.ndarray]:
    """The map x_inp = scale * x_img + offset that ``BottomupResize`` made.

    Args:
        metainfo: With ``input_size``, ``input_scale`` and ``input_center``.

    Returns:
        scale and offset, (x, y) each.
    """
    size, scale, center = (
        np.asarray(metainfo[key], np.float64)
        for key in ('input_size', 'input_scale', 'input_center'))
    return size / scale, (scale / 2 - center) * size / scale


def content_box(metainfo: dict) -> Tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of the image's outer edges, in ``_inp`` indices.

    Args:
        metainfo: As above, and ``ori_shape``, (height, width).
    """
    scale, offset = input_from_image(metainfo)
    h, w = metainfo['ori_shape'][:2]
    (x0, y0), (x1, y1) = (
        scale * edge + offset for edge in ((-.5, -.5), (w - .5, h - .5)))
    return x0, y0, x1, y1

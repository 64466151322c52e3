"""Image pixels, input pixels, heatmap cells and tokens.

Frames: ``_img`` original image and ``_inp`` network input, both in pixel
indices; ``_hm`` heatmap cells; tokens in row-major order. Pure: numpy only.
"""
from typing import Optional, Sequence, Tuple

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


def content_cells(content_inp: Optional[Sequence[float]], stride: int,
                  heatmap_shape: Tuple[int, int]
                  ) -> Tuple[int, int, int, int]:
    """The heatmap cells whose pixels lie in the image's content.

    Args:
        content_inp: (x0, y0, x1, y1), see :func:`content_box`; None for all.
        stride: Input pixels per cell; cell i is pixel i * stride.
        heatmap_shape: (H/4, W/4).

    Returns:
        (x0, y0, x1, y1), half-open; empty where the content lies outside.
    """
    h, w = heatmap_shape
    if content_inp is None:
        return 0, 0, w, h
    corners = np.asarray(content_inp, np.float64) / stride
    x0, y0 = np.ceil(corners[:2]).clip(0, (w, h)).astype(int).tolist()
    x1, y1 = (np.floor(corners[2:]) + 1).clip(0, (w, h)).astype(int).tolist()
    return x0, y0, x1, y1


def token_grid(heatmap_shape: Tuple[int, int], heatmap_stride: int,
               token_stride: int) -> Tuple[int, int]:
    """(h, w) of the tokens that cover the input of a heatmap.

    The last token of a row or column may reach beyond the heatmap.

    Args:
        heatmap_shape: (H/4, W/4) in cells.
        heatmap_stride: Input pixels per cell.
        token_stride: r, input pixels per token.
    """
    h, w = (-(-side * heatmap_stride // token_stride)
            for side in heatmap_shape)
    return h, w


def tokens_at(points_inp: np.ndarray, token_stride: int,
              grid: Tuple[int, int]) -> np.ndarray:
    """The tokens in which points lie, or which are nearest to those outside.

    Args:
        points_inp: (..., 2) x and y in ``_inp`` pixels.
        token_stride: r, input pixels per token.
        grid: (h, w).

    Returns:
        (...) row-major indices, int64.
    """
    h, w = grid
    x, y = np.moveaxis(np.floor(points_inp / token_stride), -1, 0)
    # clipped first: far outside, whole numbers would overflow
    return (y.clip(0, h - 1) * w + x.clip(0, w - 1)).astype(np.int64)

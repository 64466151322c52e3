"""Local maxima of heatmaps: the candidates of section 2.4.

Decided where the paper is silent: of equal cells in one window the first is
the candidate; at most so many per type are kept; their locations are refined
inside the cell by their neighbours' values. Pure: numpy and OpenCV only.
"""
from typing import NamedTuple, Tuple

import cv2
import numpy as np


class Candidates(NamedTuple):
    """M local maxima of the heatmaps of one image, in row-major order.

    Attributes:
        types: (M,) keypoint types.
        cells: (M, 2) x and y in ``_hm`` cells.
        scores: (M,) heatmap values.
    """
    types: np.ndarray
    cells: np.ndarray
    scores: np.ndarray


def find_candidates(heatmaps: np.ndarray, threshold: float, window: int,
                    limit: int, content_hm: Tuple[int, int, int, int]
                    ) -> Candidates:
    """Local maxima above the threshold, the best of each type.

    Args:
        heatmaps: (K, H/4, W/4), of any float type that OpenCV knows.
        threshold: t, which the value must exceed.
        window: Odd side of the window, in cells.
        limit: Most candidates per type; 0 for no limit.
        content_hm: (x0, y0, x1, y1), the half-open range of cells with
            candidates; maxima are those of the whole map.

    Returns:
        The candidates, see :class:`Candidates`.
    """
    x0, y0, x1, y1 = content_hm
    inside = np.s_[y0:y1, x0:x1]
    around = np.ones((window, window), np.uint8)
    earlier = np.tri(1, window**2, window**2 // 2 - 1, np.uint8)
    earlier = earlier.reshape(window, window)  # in row-major order
    peaks = np.zeros(heatmaps.shape, bool)
    for heatmap, peak in zip(heatmaps, peaks):
        # Dilation is a maximum filter: that of the window around each cell
        highest = cv2.dilate(heatmap, around)
        peak[inside] = ((heatmap == highest) & (heatmap > threshold))[inside]
        if window > 1:
            # Peaks in one window are equal: of these the first stays
            peak &= cv2.dilate(peak.view(np.uint8), earlier) == 0
    types, ys, xs = peaks.nonzero()
    scores = heatmaps[types, ys, xs]
    kept = _best_of_each_type(types, scores, limit)
    cells = np.stack([xs, ys], axis=-1)
    return Candidates(types[kept], cells[kept], scores[kept])


def _best_of_each_type(types: np.ndarray, scores: np.ndarray,
                       limit: int) -> np.ndarray:
    """Ascending indices of the ``limit`` best per type; all for 0."""
    if not limit:
        return np.arange(len(types))
    ranked = np.lexsort((-scores, types))
    ranked_types = types[ranked]
    rank = np.arange(len(types)) - np.searchsorted(ranked_types, ranked_types)
    return np.sort(ranked[rank < limit])


def quarter_offset(heatmaps: np.ndarray, types: np.ndarray,
                   cells: np.ndarray) -> np.ndarray:
    """A quarter of a cell toward the higher neighbour, along each axis.

    Args:
        heatmaps: (K, H/4, W/4).
        types: (M,) keypoint types.
        cells: (M, 2) x and y of local maxima in cells.

    Returns:
        (M, 2) offsets in cells; 0 along an axis where a neighbour is missing.
    """
    patch = _neighbourhood(heatmaps, types, cells)
    slope = np.stack([patch[:, 1, 2] - patch[:, 1, 0],
                      patch[:, 2, 1] - patch[:, 0, 1]], axis=-1)
    return 0.25 * np.sign(np.nan_to_num(slope))


def taylor_offset(heatmaps: np.ndarray, types: np.ndarray,
                  cells: np.ndarray) -> np.ndarray:
    """Maximum of the second-order expansion of the log heatmap (DARK).

    Exact for Gaussians. Arguments and result as :func:`quarter_offset`. An
    offset of more than one cell says that the expansion does not hold there;
    the cell's centre is then kept, as at the border.
    """
    patch = np.log(np.maximum(_neighbourhood(heatmaps, types, cells), 1e-10))
    gradient = 0.5 * np.stack([patch[:, 1, 2] - patch[:, 1, 0],
                               patch[:, 2, 1] - patch[:, 0, 1]], axis=-1)
    xx = patch[:, 1, 2] - 2 * patch[:, 1, 1] + patch[:, 1, 0]
    yy = patch[:, 2, 1] - 2 * patch[:, 1, 1] + patch[:, 0, 1]
    xy = 0.25 * (patch[:, 2, 2] - patch[:, 2, 0] - patch[:, 0, 2]
                 + patch[:, 0, 0])
    det = xx * yy - xy * xy
    with np.errstate(divide='ignore', invalid='ignore'):
        offset = -np.stack([yy * gradient[:, 0] - xy * gradient[:, 1],
                            xx * gradient[:, 1] - xy * gradient[:, 0]],
                           axis=-1) / det[:, None]
    holds = (det > 0) & (xx < 0) & (np.abs(offset) <= 1).all(axis=-1)
    return np.where(holds[:, None], offset, 0)


def _neighbourhood(heatmaps: np.ndarray, types: np.ndarray,
                   cells: np.ndarray) -> np.ndarray:
    """(M, 3, 3) values around the cells, NaN outside the map."""
    h, w = heatmaps.shape[1:]
    around = np.arange(-1, 2)
    y = cells[:, 1, None, None] + around[:, None]
    x = cells[:, 0, None, None] + around
    values = heatmaps[types[:, None, None], y.clip(0, h - 1),
                      x.clip(0, w - 1)]
    there = (0 <= y) & (y < h) & (0 <= x) & (x < w)
    return np.where(there, values.astype(np.float64), np.nan)

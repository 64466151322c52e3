"""Local maxima of heatmaps: the candidates of section 2.4.

Decided where the paper is silent: of equal cells in one window the first is
the candidate; at most so many per type are kept; their locations are refined
inside the cell by their neighbours' values.
"""
from functools import reduce
from typing import NamedTuple, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


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


def find_candidates(heatmaps: Tensor, threshold: float, window: int,
                    limit: int, content_hm: Tuple[int, int, int, int]
                    ) -> Candidates:
    """Local maxima above the threshold, the best of each type.

    Args:
        heatmaps: (K, H/4, W/4).
        threshold: t, which the value must exceed.
        window: Odd side of the window, in cells.
        limit: Most candidates per type; 0 for no limit.
        content_hm: (x0, y0, x1, y1), the half-open range of cells with
            candidates; maxima are those of the whole map.

    Returns:
        The candidates, see :class:`Candidates`.
    """
    x0, y0, x1, y1 = content_hm
    reach = range(-(window // 2), window // 2 + 1)
    inside = torch.zeros_like(heatmaps, dtype=torch.bool)
    inside[..., y0:y1, x0:x1] = True
    peaks = (heatmaps == _highest(heatmaps, reach, reach)) & (
        heatmaps > threshold) & inside
    # Peaks in one window are equal: of these the first in row-major order
    lit, before = peaks.to(torch.uint8), reach[:window // 2]
    if before:
        earlier = _highest(lit, before, reach) | _highest(lit, [0], before)
        peaks &= earlier == 0
    types, ys, xs = peaks.nonzero(as_tuple=True)
    scores = heatmaps[types, ys, xs].cpu().numpy()
    types = types.cpu().numpy()
    cells = torch.stack([xs, ys], dim=-1).cpu().numpy()
    kept = _best_of_each_type(types, scores, limit)
    return Candidates(types[kept], cells[kept], scores[kept])


def _highest(maps: Tensor, rows: Sequence[int],
             columns: Sequence[int]) -> Tensor:
    """The highest value at certain distances from each cell.

    Columns and rows in turn: for a window of 7 x 7 that is 12 comparisons of
    whole maps, far faster on CPUs than pooling, which takes 49 a cell.

    Args:
        maps: (K, h, w).
        rows: Distances down and
        columns: distances to the right, in cells.

    Returns:
        (K, h, w); cells outside the map count least.
    """
    least = -torch.inf if maps.is_floating_point() else 0
    for axis, distances in ((2, columns), (1, rows)):
        size, pad = maps.shape[axis], max(map(abs, distances))
        padding = (pad, pad) if axis == 2 else (0, 0, pad, pad)
        padded = F.pad(maps, padding, value=least)
        maps = reduce(torch.maximum, (
            padded.narrow(axis, pad + by, size) for by in distances))
    return maps


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

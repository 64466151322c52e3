"""Local maxima of heatmaps: the candidates of section 2.4.

Decided where the paper is silent: of equal cells in one window the first is
the candidate; at most so many per type are kept; their locations are refined
inside the cell by their neighbours' values.
"""
from typing import NamedTuple, Tuple

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
    maps, pad = heatmaps[:, None], window // 2
    inside = torch.zeros_like(maps, dtype=torch.bool)
    inside[..., y0:y1, x0:x1] = True
    peaks = (maps == F.max_pool2d(maps, window, 1, pad)) & (
        maps > threshold) & inside
    # Peaks in one window are equal: of these the first in row-major order
    earlier = maps.new_ones(window * window)
    earlier[window * window // 2:] = 0
    earlier = earlier.view(1, 1, window, window)
    peaks &= F.conv2d(peaks.to(maps), earlier, padding=pad) < 0.5
    types, _, ys, xs = peaks.nonzero(as_tuple=True)
    scores = maps[types, 0, ys, xs].cpu().numpy()
    types = types.cpu().numpy()
    cells = torch.stack([xs, ys], dim=-1).cpu().numpy()
    kept = _best_of_each_type(types, scores, limit)
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
    padded = np.pad(heatmaps.astype(np.float64), ((0, 0), (1, 1), (1, 1)),
                    constant_values=np.nan)
    around = np.arange(3)
    return padded[types[:, None, None], cells[:, 1, None, None]
                  + around[:, None], cells[:, 0, None, None] + around]

"""Missing keypoints, filled from a person's own attention.

Beyond the paper, whose refinement fills them by a second network. A person's
map says where the person is. Where grouping found no candidate of a type for
a person, the best cell of that type's heatmap on the person is taken, however
low its value. These are guesses, not detections, and marked as such.

Pure: arrays in, arrays out; numpy only; no argument is changed.
"""
from typing import List, NamedTuple, Tuple

import numpy as np

from .masks import bilinear_weights


class Filling(NamedTuple):
    """F keypoints filled, by person, then by type.

    Attributes:
        persons: (F,) index of the person.
        types: (F,) keypoint types.
        cells: (F, 2) x and y in ``_hm`` cells.
        scores: (F,) heatmap values.
    """
    persons: np.ndarray
    types: np.ndarray
    cells: np.ndarray
    scores: np.ndarray


def fill_missing(missing: np.ndarray, maps: np.ndarray, heatmaps: np.ndarray,
                 content_hm: Tuple[int, int, int, int],
                 map_threshold: float = 0.2,
                 threshold: float = 0.001) -> Filling:
    """The best cell of a missing type where the person's attention lies.

    Args:
        missing: (P, K), whether the person lacks the type.
        maps: (P, h, w) person attention maps with maximum 1, token cells.
        heatmaps: (K, H/4, W/4).
        content_hm: (x0, y0, x1, y1), the half-open range of cells in which
            keypoints may lie.
        map_threshold: The map, resized to the heatmap, must exceed it.
        threshold: The heatmap's value must exceed it.

    Returns:
        What is filled, see :class:`Filling`; of equal cells the first in
        row-major order.
    """
    x0, y0, x1, y1 = content_hm
    h, w = heatmaps.shape[1:]
    inside = np.zeros((h, w), bool)
    inside[y0:y1, x0:x1] = True
    on_person = inside & (resize_maps(maps, (h, w)) > map_threshold)
    found: List[Tuple[int, int, int, float]] = []
    for person, lacks in enumerate(missing):
        cells = np.flatnonzero(on_person[person])
        if not len(cells):
            continue
        kinds = np.flatnonzero(lacks)
        values = heatmaps.reshape(len(heatmaps), -1)[kinds[:, None], cells]
        best = values.argmax(axis=1)
        found += [(person, kind, cells[i], row[i]) for kind, i, row in zip(
            kinds.tolist(), best, values) if row[i] > threshold]
    persons, types, places, scores = zip(*found) if found else [()] * 4
    y, x = np.divmod(np.array(places, np.int64), w)
    return Filling(
        np.array(persons, np.int64), np.array(types, np.int64),
        np.stack([x, y], axis=-1), np.array(scores, heatmaps.dtype))


def resize_maps(maps: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """Resize maps bilinearly with half-pixel centres, as the mask loss does.

    Args:
        maps: (P, h, w).
        shape: (height, width) of the result.

    Returns:
        (P, height, width).
    """
    down, across = (bilinear_weights(size, n, 1, 0, size / n)
                    for size, n in zip(shape, maps.shape[1:]))
    return down @ maps @ across.T

"""Where a person is by box, keypoints and area, and whether that can be."""
import math
from typing import List, Optional, Sequence

import numpy as np

FARTHEST = 1e6  # pixels: no coordinate is larger
LARGE_BOX = 100  # pixels: a person in such a box has more than one


def in_image(box: List[float], size: tuple) -> bool:
    """Whether a box x, y, width, height has a part in an image of
    (height, width), where known."""
    return all(
        min(start + side, FARTHEST if limit is None else limit) > max(start, 0)
        for start, side, limit in zip(box, box[2:], size[::-1]))


def span(flat: Sequence[float]) -> Optional[List[float]]:
    """The box of the labelled keypoints, of at least a pixel, or None."""
    points = np.array(flat, float).reshape(-1, 3)
    points = points[points[:, 2] > 0, :2]
    if not len(points):
        return None
    start = points.min(axis=0)
    return [*start.tolist(),
            *np.maximum(points.max(axis=0) - start, 1).tolist()]


def may_be_area(ann: dict, size: tuple, boxed: bool) -> bool:
    """Whether a person's ``area`` is one that they may have, in pixels."""
    area = ann.get('area')
    if not isinstance(area, (int, float)) or isinstance(area, bool):
        return False
    largest = FARTHEST**2 if None in size else size[0] * size[1]
    # below a pixel in a box of many: a share of the image, or of 1
    large = boxed and math.prod(ann.get('bbox', [0])[2:]) >= LARGE_BOX
    return (1 <= area if large else 0 < area) and area <= largest

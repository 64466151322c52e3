"""Where a person is by box, keypoints and area, and whether that can be."""
import math
from typing import List, Optional, Sequence

import numpy as np

from ..decoding.keypoints import AREA_OF_BOX

FARTHEST = 1e6  # pixels: no coordinate is larger
LARGE_BOX = 100  # pixels: a person in such a box has more than one


def in_image(box: Sequence[float], size: tuple) -> bool:
    """Whether a box x, y, width, height has a part in an image of
    (height, width), where known.

    MMPose, too, clips boxes to the last pixel's begin and leaves out what is
    without width or height then.
    """
    return all(
        min(start + side, FARTHEST if limit is None else limit - 1) > max(
            start, 0)
        for start, side, limit in zip(box, box[2:], size[::-1]))


def span(flat: Sequence[float]) -> List[List[float]]:
    """The box of the labelled keypoints, of at least a pixel, or none."""
    points = np.array(flat, float).reshape(-1, 3)
    points = points[points[:, 2] > 0, :2]
    if not len(points):
        return []
    start = points.min(axis=0)
    return [[*start.tolist(),
             *np.maximum(points.max(axis=0) - start, 1).tolist()]]


def may_be_area(ann: dict, size: tuple,
                box: Optional[Sequence[float]]) -> bool:
    """Whether a person's ``area`` is one that they may have, in pixels."""
    area = ann.get('area')
    if not isinstance(area, (int, float)) or isinstance(area, bool):
        return False
    # below a pixel in a box of many: a share of the image, or of 1
    large = box is not None and min(box[2:]) > 0 and (
        math.prod(box[2:]) >= LARGE_BOX)
    return (1 <= area if large else 0 < area) and area <= _largest(size)


def area_of_box(box: Sequence[float], size: tuple) -> float:
    """Pixels of a person in a box, at least 1 and no more than the image's.
    """
    sides = [max(side, 0) for side in box[2:]]
    return float(max(min(AREA_OF_BOX * math.prod(sides), _largest(size)), 1))


def _largest(size: tuple) -> float:
    return FARTHEST**2 if None in size else size[0] * size[1]

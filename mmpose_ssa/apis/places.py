"""Boxes of the persons in results, checked against their images.

A person's box is that of its ``segmentation``, an RLE; where that is absent or
empty, its ``bbox`` (x, y, width, height); where that is absent too, the extent
of its keypoints.
"""
from typing import Sequence, Tuple

import numpy as np

from ..decoding.keypoints import keypoint_extents

# How far a box may lie outside, as a share of the image's longer side: a
# keypoint at the edge is found to a fraction of a heatmap's cell.
SLACK = 0.05


def person_arrays(persons: Sequence[dict]
                  ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints and boxes of results.

    Args:
        persons: P checked results of one skeleton, one at least.

    Returns:
        (P, K, 2) locations, (P, K) scores and (P, 4) boxes x0, y0, x1, y1 for
        those without mask, all in image pixels.
    """
    points = np.array([p['keypoints'] for p in persons], float)
    points = points.reshape(len(persons), -1, 3)
    points, scores = points[..., :2], points[..., 2]
    extents = keypoint_extents(points, scores)
    for person, extent in zip(persons, extents):
        if 'bbox' in person:
            x, y, w, h = person['bbox']
            extent[:] = x, y, x + w, y + h
    return points, scores, extents


def check_place(person: dict, index: int, height: int, width: int) -> None:
    """Raise ValueError unless a person lies in its image.

    Args:
        person: A checked result.
        index: Its place in the results.
        height: The image's, pixels.
        width: The image's, pixels.
    """
    (_, (scores, ), (extent, )) = person_arrays([person])
    mask = person.get('segmentation')
    name = (f"result {index} of image {person['image_id']} ({width} x "
            f'{height} pixels)')
    if not (mask or 'bbox' in person or (scores > 0).any()):
        raise ValueError(f'{name} has neither a keypoint of a score above 0 '
                         'nor a mask nor a bbox: leave it out')
    if mask and list(mask['size']) != [height, width]:
        raise ValueError(
            f'{name} has a mask of {mask["size"][1]} x {mask["size"][0]}: '
            'name the folder of the images that were tested')
    (x0, y0, x1, y1), slack = extent, SLACK * max(height, width)
    if not (x0 <= x1 and y0 <= y1 and -slack <= x1 and -slack <= y1
            and x0 <= width + slack and y0 <= height + slack):
        raise ValueError(
            f'{name} has the box {extent.round(1).tolist()} (x0, y0, x1, y1) '
            'outside the image: name the folder of the images that were '
            'tested, and write boxes as x, y, width, height')

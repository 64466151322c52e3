"""Detected boxes for top-down models, checked before testing starts."""
from typing import Any, Collection, List, Tuple

import numpy as np

from .segmentations import flat_numbers


def check_detections(detections: Any, name: str, image_ids: Collection[int],
                     category_id: int) -> Tuple[List[dict], int]:
    """Check the boxes of persons in COCO's result format.

    Args:
        detections: Content of the file.
        name: What to call the file.
        image_ids: Of all images that the annotation file lists.
        category_id: Of persons; boxes of other categories are left out.

    Returns:
        The persons' boxes, and how many more were left out because they have
        no width or height.

    Raises:
        ValueError: If the file is no list of boxes, or one of them lacks a
            part, has numbers that are not finite, or is of an unknown image.
    """
    if not isinstance(detections, list):
        raise ValueError(f'{name} holds a {type(detections).__name__}: give a '
                         'list of boxes as a detector writes it for COCO')
    persons, empty = [], 0
    for number, box in enumerate(detections):
        fault = _fault(box, image_ids)
        if fault:
            raise ValueError(
                f'{name}: box {number} {fault}: give a list of objects with '
                'image_id, category_id, bbox (x, y, width, height in pixels) '
                'and score')
        if box['category_id'] != category_id:
            continue
        if min(box['bbox'][2:4]) > 0:
            persons.append(box)
        else:
            empty += 1
    if not persons:
        raise ValueError(
            f'{name} has no box of category {category_id}, which is that of '
            f'persons, in its {len(detections)} boxes: give the boxes of '
            'another detector, or the number by `person` of the data set')
    return persons, empty


def _fault(box: Any, image_ids: Collection[int]) -> str:
    if not isinstance(box, dict):
        return f'is {box!r:.80}'
    for key in ('image_id', 'category_id', 'bbox', 'score'):
        if key not in box:
            return f'has no {key}'
    if type(box['image_id']) is not int or box['image_id'] not in image_ids:
        return (f'is of image {box["image_id"]!r:.80}, which the annotation '
                'file does not list')
    values = flat_numbers(box['bbox'])
    if values is None or len(values) < 4 or not np.isfinite(values).all():
        return f'has bbox {box["bbox"]!r:.80}'
    score = flat_numbers([box['score']])
    if score is None or not np.isfinite(score).all():
        return f'has score {box["score"]!r:.80}'
    return ''

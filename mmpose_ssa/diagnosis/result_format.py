"""COCO's format of annotations and results, checked entry by entry.

A check calls what is wrong by the ``name`` that it is given. Pure: numpy
and pycocotools only.
"""
from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..annotations.checks import FARTHEST, LARGEST_ID
from ..annotations.segmentations import check_rle, flat_numbers


def check_dataset(dataset: dict, needed: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError unless this can be the content of an annotation file.

    Args:
        dataset: The content.
        needed: The lists that it must have, and for each of them what their
            objects must have, a whole number below 2^53 or a text.
    """
    if not isinstance(dataset, dict):
        raise ValueError(
            'annotations must be an object with images, annotations and '
            f'categories, got {type(dataset).__name__}: are results and '
            'annotations interchanged?')
    for key, names in needed.items():
        entries = dataset.get(key)
        if not isinstance(entries, list) or not all(
                isinstance(entry, dict)
                and all(_is_id(entry.get(name)) for name in names)
                for entry in entries):
            raise ValueError(
                f'{key!r} must be a list of objects'
                f'{" with " * bool(names)}{" and ".join(map(repr, names))}: '
                "give an annotation file in COCO's format")


def check_result(result: dict,
                 name: str,
                 keys: Sequence[str],
                 num_keypoints: Optional[int] = None) -> None:
    """Raise ValueError unless a result has what it must, of the right kind.

    Args:
        result: A person in COCO's format.
        name: What to call it.
        keys: What it must have.
        num_keypoints: K, where known.
    """
    if not isinstance(result, dict):
        raise ValueError(f'{name} is {result!r:.200}, not a person: give what '
                         "CocoMetric wrote, '*.keypoints.json'")
    check_keys(result, keys, name)
    check_image_id(result, name)
    check_numbers([result['score']], 1, f"{name}'s score")
    if 'keypoints' in result:
        check_points(result['keypoints'], name, num_keypoints)
    if 'bbox' in result:
        box = check_numbers(result['bbox'], 4, f"{name}'s bbox")
        if (np.abs(box) > FARTHEST).any() or (box[2:] < 0).any():
            raise ValueError(
                f"{name}'s bbox must be x, y, width and height in pixels up "
                f"to {FARTHEST:,.0f}, got {result['bbox']!r:.200}")


def check_keys(entry: dict, keys: Sequence[str], name: str) -> None:
    """Raise ValueError unless an entry has all keys."""
    for key in keys:
        if key not in entry:
            raise ValueError(f"{name} has no {key!r}: in COCO's format it "
                             f'must have {", ".join(keys)}')


def check_image_id(entry: dict, name: str) -> None:
    """Raise ValueError unless ``image_id`` may be one."""
    number = entry['image_id']
    if not _is_id(number):
        raise ValueError(f"{name}'s image_id must be a whole number below "
                         f'2^53 or a text, got {number!r:.200}')


def _is_id(value: Any) -> bool:
    """Whether this is a text, or a whole number that a float can hold.

    Larger ones may all have one hash: a dict of many of them takes for ever.
    """
    return isinstance(value, str) or (
        isinstance(value, int) and not isinstance(value, bool)
        and abs(value) < LARGEST_ID)


def keypoint_names(category: dict) -> Tuple[str, ...]:
    """The K names that a category gives its keypoints.

    Raises:
        ValueError: If they are not a list of different printable texts.
    """
    names = category['keypoints']
    if not isinstance(names, list) or not all(
            isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError(
            f"category {category.get('name')!r:.200} must have its keypoints' "
            f'names as a list of texts, got {names!r:.200}')
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"category {category.get('name')!r:.200} has "
                         f'{len(twice)} keypoints named {twice[0]!r:.200}: '
                         'give each a name of its own')
    return tuple(names)


def check_points(flat: list, name: str,
                 num_keypoints: Optional[int] = None) -> np.ndarray:
    """(K, 3) keypoints x, y and score or visibility of a flat list.

    Raises:
        ValueError: If they are not K triples of finite numbers.
    """
    if not isinstance(flat, (list, tuple)):
        raise ValueError(f"{name}'s keypoints must be a flat list of numbers, "
                         f'got {flat!r:.200}')
    if num_keypoints is None and (not flat or len(flat) % 3):
        raise ValueError(f'{name} has {len(flat)} numbers of keypoints: they '
                         'must be x, y and score of each')
    if num_keypoints is not None and len(flat) != 3 * num_keypoints:
        raise ValueError(
            f'{name} has {len(flat)} numbers of keypoints, but the '
            f'{num_keypoints} keypoints that the category names need '
            f'{3 * num_keypoints}: give files of the same data set')
    points = check_numbers(flat, len(flat), f"{name}'s keypoints")
    if (np.abs(points) > FARTHEST).any():
        raise ValueError(f"{name}'s keypoints must be pixels up to "
                         f'{FARTHEST:,.0f}, got {np.abs(points).max():.3g}')
    return points.reshape(-1, 3)


def check_numbers(values: list, length: int, name: str) -> np.ndarray:
    """(length, ) finite numbers.

    Raises:
        ValueError: If they are anything else, such as text of numbers.
    """
    if isinstance(values, np.ndarray):
        values = list(values) if values.ndim else values.item()
    numbers = flat_numbers(values)
    if (numbers is None or numbers.shape != (length, )
            or not np.isfinite(numbers).all()):
        raise ValueError(f'{name} must be {length} finite numbers in a flat '
                         f'list, got {values!r:.200}')
    return numbers.astype(float)


def check_mask(mask: dict, name: str) -> None:
    """Raise ValueError unless a mask is a compressed RLE of its size.

    Args:
        mask: What a result has as ``segmentation``.
        name: What to call the result.
    """
    if not (isinstance(mask, dict) and isinstance(mask.get('counts'), str)
            and 'size' in mask):
        raise ValueError(f'{name} has a segmentation that is no compressed '
                         f'RLE: {mask!r:.200}')
    check_numbers(mask['size'], 2, f"{name}'s mask size")
    try:
        runs = check_rle(mask, *mask['size'])
    except ValueError as error:
        raise ValueError(f'{name} has a damaged mask: {error}') from error
    if not runs[1:].all():  # COCO's tools write none, and misread them
        raise ValueError(f'{name} has a damaged mask: it has empty runs')

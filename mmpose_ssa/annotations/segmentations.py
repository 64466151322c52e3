"""Polygons and run-length encodings (RLE), checked before COCO's code.

pycocotools and xtcocotools check nothing: of a vertex far away they draw the
way to it, of a cut RLE they read beyond its end, and of four numbers they make
a box. So memory runs out, the process dies, or a comparison never ends.
"""
from typing import Any, List, Optional, Union

import numpy as np
import pycocotools.mask as coco_mask

MAX_SIDE = 32766  # OpenCV warps no larger ones
MAX_PIXELS = 2**27  # 400 MB as a colour image
NUMBERS = (int, float, np.integer, np.floating)
MAX_POINTS = 10**7  # of outlines: COCO's code takes some 20 bytes for each


def plain_segmentation(segmentation: Any, height: int,
                       width: int) -> Union[list, dict]:
    """Check a segmentation and give it a form that COCO's tools can read.

    Args:
        segmentation: Polygons ``[[x0, y0, x1, y1, ...], ...]`` in pixels, or
            an RLE ``{'size': [height, width], 'counts': ...}``, compressed or
            not.
        height: Of the image in pixels.
        width: Of the image in pixels.

    Returns:
        The segmentation itself, or an RLE without empty runs.

    Raises:
        ValueError: If it is damaged, or not of this image.
    """
    if isinstance(segmentation, dict):
        runs = check_rle(segmentation, height, width)
        if runs[1:].all():
            return segmentation
        return dict(size=[height, width], counts=_without_empty_runs(runs))
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError('it is neither a list of polygons nor an RLE: '
                         f'{segmentation!r:.100}')
    points = sum(check_polygon(polygon, max(height, width))
                 for polygon in segmentation)
    if points > MAX_POINTS:
        raise ValueError(
            f'its polygons are so long that drawing them takes {points:,} '
            f'points, more than {MAX_POINTS:,}: they are damaged')
    return segmentation


def check_polygon(polygon: Any, side: int) -> int:
    """The number of points that COCO's code makes of a polygon's outline.

    Args:
        polygon: ``[x0, y0, x1, y1, ...]`` in pixels.
        side: The image's longer one; as far outside it a vertex may lie.

    Raises:
        ValueError: If the polygon cannot be drawn.
    """
    numbers = flat_numbers(polygon)
    if numbers is None or len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(
            'a polygon must be a flat list [x0, y0, x1, y1, ...] of at least '
            f'three vertices, got {polygon!r:.100}')
    farthest = np.abs(numbers.astype(float)).max()
    if not farthest <= 2 * side:  # NaN is not, either
        raise ValueError(
            'a polygon has a vertex that is not finite or far outside its '
            f'image of up to {side} pixels: {polygon!r:.100}')
    corners = numbers.astype(float).reshape(-1, 2)
    steps = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1)
    return int(5 * steps.sum()) + len(steps)  # of a fifth of a pixel


def check_rle(rle: Any, height: int, width: int) -> np.ndarray:
    """(R,) lengths in pixels of an RLE's runs, of 0 and 1 in turn.

    Raises:
        ValueError: If it does not encode a mask of that size.
    """
    if not isinstance(rle, dict) or not {'size', 'counts'} <= rle.keys():
        raise ValueError("an RLE needs 'size' and 'counts', got "
                         f'{rle!r:.100}')
    size, counts = flat_numbers(rle['size']), rle['counts']
    if (size is None or size.tolist() != [height, width]
            or size.dtype.kind == 'f'):
        raise ValueError(
            f"RLE of size {rle['size']!r:.50} on an image of size "
            f'{[height, width]} (height, width): they do not belong together')
    if isinstance(counts, (str, bytes)):
        runs = run_lengths(counts)
    else:
        given = flat_numbers(counts)
        if given is None or (given % 1).any():
            raise ValueError('RLE counts must be whole numbers, got '
                             f'{counts!r:.100}')
        runs = given
    # No sum before the greatest is known: it could overflow
    pixels = height * width
    if max(height, width) > MAX_SIDE or pixels > MAX_PIXELS:
        raise ValueError(f'RLE of {height} x {width} pixels, more than '
                         f'{MAX_SIDE} on a side or {MAX_PIXELS:,} in all')
    whole = len(runs) and runs.min() >= 0 and runs.max() <= pixels
    if not whole or runs.sum() != pixels:
        raise ValueError(
            f'RLE counts do not add up to {height} x {width} = {pixels} '
            'pixels: they are damaged')
    return runs


def run_lengths(counts: Union[str, bytes]) -> np.ndarray:
    """(R,) lengths in pixels that a compressed RLE's ``counts`` stand for.

    Raises:
        ValueError: If they are cut, or have other characters than an RLE's.
    """
    if isinstance(counts, str):
        counts = counts.encode('utf-8', 'surrogatepass')
    # Six bits a character: five of the number, the low ones first, and one
    # that says that more follow
    bits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    strange = np.flatnonzero((bits < 0) | (bits > 63))
    if len(strange):
        rest = counts[strange[0]:].decode(errors='replace')
        raise ValueError(f'RLE counts hold {rest[0]!r}, which is not in any '
                         'RLE: they are damaged')
    ends = np.flatnonzero(bits < 32)
    if not len(ends) or ends[-1] != len(bits) - 1:
        raise ValueError('RLE counts end in the middle: they are cut')
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1  # in characters
    if lengths.max() > 6:  # of seven, COCO's code reads another number
        raise ValueError('RLE counts hold a number of more than 30 bits: '
                         'they are damaged')
    places = np.arange(len(bits)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((bits & 31) << 5 * places, starts)
    runs -= (bits[ends] >> 4) << 5 * lengths  # negative numbers
    # From the fourth on, they are differences from the last of their kind
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _without_empty_runs(runs: np.ndarray) -> List[int]:
    """Runs of 0 and 1 in turn, the neighbours of empty ones joined.

    pycocotools compares empty runs wrongly and writes beyond its memory.
    """
    ends = np.cumsum(runs)
    values = np.arange(len(runs)) % 2
    values, ends = values[runs > 0], ends[runs > 0]
    last = np.append(values[1:] != values[:-1], True)  # of equal neighbours
    joined = np.diff(ends[last], prepend=0).astype(int).tolist()
    return [0] * int(values[0]) + joined


def mask_area(segmentation: Union[list, dict], height: int,
              width: int) -> float:
    """Pixels of what :func:`plain_segmentation` returns."""
    return float(coco_mask.area(_encoded(segmentation, height, width)))


def mask_box(segmentation: Union[list, dict], height: int,
             width: int) -> List[float]:
    """x, y, width and height of what :func:`plain_segmentation` returns."""
    return coco_mask.toBbox(_encoded(segmentation, height, width)).tolist()


def _encoded(segmentation: Union[list, dict], height: int,
             width: int) -> dict:
    """A compressed RLE of polygons or of any RLE."""
    if isinstance(segmentation, list):
        return coco_mask.merge(
            coco_mask.frPyObjects(segmentation, height, width))
    if not isinstance(segmentation['counts'], (str, bytes)):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def pixels_around(rle: dict, points: np.ndarray, reach: int) -> np.ndarray:
    """(L,) how many pixels of a mask are near each of some points.

    The mask is not decoded: a few bytes may be a mask of 10^8 pixels.

    Args:
        rle: As :func:`check_rle` takes it.
        points: (L, 2) in pixels; those outside the image have what is near
            them inside it.
        reach: Half the side of the square around a point, in pixels.
    """
    height, width = rle['size']
    counts = rle['counts']
    runs = run_lengths(counts) if isinstance(counts, (str, bytes)) else \
        np.asarray(counts)
    ends = np.concatenate([[0], np.cumsum(runs)])
    ones = np.concatenate([[0], np.cumsum(runs * (np.arange(len(runs)) % 2))])
    x, y = np.floor(np.asarray(points) + 0.5).astype(int).T
    columns = x[:, None] + np.arange(-reach, reach + 1)  # (L, 2 reach + 1)
    low, high = (np.clip(y + side, 0, height)[:, None]
                 for side in (-reach, reach + 1))
    # within a run, the pixels so far grow evenly
    found = np.subtract(*(np.interp(columns * height + row, ends, ones)
                          for row in (high, low)))
    inside = (columns >= 0) & (columns < width)
    return (found * inside).sum(axis=1).round().astype(int)


def flat_numbers(values: Any) -> Optional[np.ndarray]:
    """A flat list of real numbers as an array, or None of anything else.

    The types are looked at first: of one long text among numbers, numpy would
    make as many texts of that length.
    """
    if not isinstance(values, (list, tuple)):
        return None
    if not all(issubclass(kind, NUMBERS) and kind is not bool
               for kind in set(map(type, values))):
        return None
    try:
        numbers = np.array(values)
    except OverflowError:  # whole numbers beyond all decimals
        return None
    return numbers if numbers.dtype.kind in 'iuf' else None

"""Persons found in overlapping tiles of one image -> persons of the image.

Beyond the paper, for images much larger than the network's input. Where two
tiles overlap, both saw the same person: their masks, which the attention
gives, agree there. Such persons are joined.

Pure: arrays in, arrays out; numpy and pycocotools only.
"""
from typing import Dict, List, Sequence, Tuple

import numpy as np
import pycocotools.mask as coco_mask

Window = Tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, half-open


def tile_windows(width: int, height: int, side: int,
                 overlap: float = 0.5) -> List[Window]:
    """Windows that cover an image, row by row, evenly spread.

    Args:
        width: Of the image.
        height: Of the image.
        side: Of a tile, in pixels; windows are smaller only where the image
            is.
        overlap: The least share of a side that neighbours have in common.

    Raises:
        ValueError: If the side is not positive or the overlap not in [0, 1).
    """
    if side < 1:
        raise ValueError(f'tiles of {side} pixels: give 1 or more')
    if not 0 <= overlap < 1:
        raise ValueError(f'an overlap of {overlap} is not in [0, 1)')

    def starts(length: int) -> List[int]:
        step = max(side * (1 - overlap), 1)
        number = 1 + max(0, int(np.ceil((length - side) / step)))
        last = max(length - side, 0)
        return np.linspace(0, last, number).round().astype(int).tolist()

    return [(x, y, min(x + side, width), min(y + side, height))
            for y in starts(height) for x in starts(width)]


def on_image(mask: np.ndarray, window: Window, width: int,
             height: int) -> dict:
    """A mask (h, w) of a window as RLE of the whole image."""
    x0, y0, x1, y1 = window
    whole = np.zeros((height, width), np.uint8, order='F')
    whole[y0:y1, x0:x1] = mask
    return coco_mask.encode(whole)


def join_tiles(masks: Sequence[dict], tiles: Sequence[int],
               windows: Sequence[Window], scores: Sequence[float],
               agreement: float = 0.5) -> List[List[int]]:
    """Group the persons of all tiles that are one person of the image.

    Two persons of different tiles agree by the intersection of their masks
    over the smaller of both, within what the tiles have in common. The pair
    that agrees most is joined first; a tile has one person in each group.

    Args:
        masks: RLE of each person, of the whole image.
        tiles: The tile in which each person was found.
        windows: Of the tiles.
        scores: Of the persons.
        agreement: Least agreement that joins.

    Returns:
        Indices of the persons of each group, best first; groups by the score
        of their best.
    """
    frames = [_rectangle(window, masks[0]['size']) for window in windows] \
        if len(masks) else []
    pairs: List[Tuple[float, int, int]] = []
    shared: Dict[Tuple[int, int], dict] = {}
    for b in range(len(masks)):
        for a in range(b):
            i, j = tiles[a], tiles[b]
            if i == j or not _meet(windows[i], windows[j]):
                continue
            if (i, j) not in shared:
                shared[i, j] = coco_mask.merge([frames[i], frames[j]], True)
            common = _agreement(masks[a], masks[b], shared[i, j])
            if common > agreement:
                pairs.append((common, a, b))
    group = list(range(len(masks)))
    members = {person: [person] for person in group}
    for _, a, b in sorted(pairs, key=lambda pair: -pair[0]):
        one, other = group[a], group[b]
        held = {tiles[p] for p in members[one]}
        if one == other or held & {tiles[p] for p in members[other]}:
            continue
        for person in members.pop(other):
            group[person] = one
            members[one].append(person)
    found = [sorted(group, key=lambda p: -scores[p])
             for group in members.values()]
    return sorted(found, key=lambda group: -scores[group[0]])


def _agreement(a: dict, b: dict, region: dict) -> float:
    """Intersection over the smaller of two masks, within a region."""
    a, b = (coco_mask.merge([mask, region], True) for mask in (a, b))
    least = min(coco_mask.area(a), coco_mask.area(b))
    common = coco_mask.area(coco_mask.merge([a, b], True))
    return float(common) / float(least) if least else 0.


def _rectangle(window: Window, size: Sequence[int]) -> dict:
    height, width = size
    x0, y0, x1, y1 = window
    return on_image(np.ones((y1 - y0, x1 - x0), np.uint8), window, width,
                    height)


def _meet(one: Window, other: Window) -> bool:
    return (max(one[0], other[0]) < min(one[2], other[2])
            and max(one[1], other[1]) < min(one[3], other[3]))

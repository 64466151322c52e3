"""What is allowed in annotations of persons, and is hardly ever meant.

Each check is a function of one person, by the kind of what it suspects.
Coordinates are pixels of the original image.
"""
from functools import cached_property
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pycocotools.mask as coco_mask

from ..encoding.masks import rasterize
from .findings import Finding, first
from .segmentations import mask_area, pixels_around

SLACK = 1.  # pixels: COCO's own boxes reach as far outside their images
CELLS = 128  # of a person's longer side, where keypoints and mask meet
BESIDE = 0.05  # of that side: how far beside a mask a keypoint may lie,
NEAR = 2.  # and these pixels of small persons

# Kind -> what is said of persons, and the remedy
PERSONS = dict(
    normalised=(
        'have keypoints, a box or polygons within 0 and 1: they are '
        'normalised', 'multiply x by the width and y by the height of the '
        'image'),
    zero=('have keypoints at (0, 0) that are marked labelled',
          'write v = 0 for keypoints without label'),
    unmarked=('have coordinates of keypoints but no v above 0: they count as '
              'not labelled', 'write v = 2 (visible) or 1 (hidden)'),
    one_place=('have all their labelled keypoints in one place',
               'label them again, or write v = 0'),
    outside=('have labelled keypoints outside their image',
             'write v = 0 there; if the images were resized, scale the '
             'annotations with them'),
    corners=('have a box that fits the image only if it is read as two '
             'corners', 'write x, y, width, height instead of x0, y0, x1, '
             'y1'),
    box_outside=('have a box that reaches outside their image',
                 'write x, y, width, height in pixels; if the images were '
                 'resized, scale the annotations with them'),
    box_empty=('have a box without width or height',
               'write the box of the mask or the keypoints'),
    beside_box=('have most of their labelled keypoints outside their box',
                'write box and keypoints of one person, both in pixels'),
    mask_empty=('have a mask without a pixel in the image',
                'draw the mask in pixels of this image'),
    beside_mask=('have most of their labelled keypoints outside their mask',
                 'write mask and keypoints of one person, both in pixels'),
    mask_not_in_box=('have a box that is not around their mask',
                     'write the box of the mask'),
    area=('have an area that is not that of their mask or box',
          'write the area of the mask in pixels: COCO sorts people by it'),
    repeated=('repeat the keypoints of another annotation of their image',
              'take all but one of them out'),
    shared_mask=('share a mask with another person of their image',
                 'give each person its own mask'),
)

Places = Tuple[float, float, float, float]  # x0, y0, x1, y1


class Person:
    """One annotation of a checked file, in arrays.

    Args:
        ann: The annotation.
        size: (width, height) of its image.
        tells_hidden: Whether v = 1 says hidden: the file has v = 2, too.

    Attributes:
        points: (L, 2) labelled keypoints.
        in_sight: (L', 2) those not hidden, which must be in box and mask.
        table: (K, 3) of all.
        box: x0, y0, x1, y1, or None.
    """

    def __init__(self, ann: dict, size: Tuple[int, int],
                 tells_hidden: bool = True) -> None:
        self.ann, self.size = ann, size
        self.table = np.reshape(ann.get('keypoints', ()), (-1, 3)).astype(
            float)
        self.points = self.table[self.table[:, 2] > 0, :2]
        self.in_sight = self.table[self.table[:, 2] > tells_hidden, :2]
        self.box: Optional[Places] = None
        if 'bbox' in ann:
            x, y, w, h = ann['bbox']
            self.box = x, y, x + w, y + h

    @cached_property
    def pixels(self) -> float:
        """Of the mask; NaN without one."""
        given = self.ann.get('segmentation')
        return mask_area(given, *self.size[::-1]) if given else np.nan

    @cached_property
    def vertices(self) -> np.ndarray:
        """(V, 2) of the polygons; none of an RLE."""
        given = self.ann.get('segmentation')
        if not isinstance(given, list) or not given:
            return np.zeros((0, 2))
        return np.concatenate([np.reshape(p, (-1, 2)) for p in given])

    @cached_property
    def mask_extent(self) -> Optional[Places]:
        """x0, y0, x1, y1 of the mask, of its polygons also outside."""
        given = self.ann.get('segmentation')
        if not given or not self.pixels:
            return None
        if isinstance(given, list):
            return (*self.vertices.min(0), *self.vertices.max(0))
        rle = given
        if not isinstance(given['counts'], (str, bytes)):
            rle = coco_mask.frPyObjects(given, *self.size[::-1])
        x, y, w, h = coco_mask.toBbox(rle).tolist()
        return x, y, x + w, y + h

    @cached_property
    def share_in_mask(self) -> float:
        """Of the keypoints in sight those on the mask or just beside it."""
        extent = self.mask_extent
        assert extent is not None
        points = self.in_sight
        given = self.ann['segmentation']
        if isinstance(given, dict):
            side = np.max(np.subtract(extent[2:], extent[:2]))
            reach = int(np.ceil(max(BESIDE * side, NEAR)))
            found = pixels_around(given, points, reach)
            return np.count_nonzero(found) / len(points)
        low = np.minimum(points.min(0), extent[:2])
        high = np.maximum(points.max(0), extent[2:])
        scale = CELLS / max(*(high - low), 1)
        margin = int(np.ceil(max(BESIDE * CELLS, NEAR * scale)))
        cells = np.ceil((high - low) * scale).astype(int) + 2 * margin + 1
        shift = margin - low * scale
        mask = rasterize(
            given, self.size[::-1],
            np.column_stack([scale * np.eye(2), shift]), tuple(cells))
        # the nearest pixel of the mask decides; a square is near enough
        hits = 0
        for x, y in np.floor((points + .5) * scale + shift).astype(int):
            hits += bool(mask[max(y - margin, 0):y + margin + 1,
                              max(x - margin, 0):x + margin + 1].any())
        return hits / len(points)


# --- one person -------------------------------------------------------------


def _normalised(p: Person) -> bool:
    given: Dict[str, Any] = dict(
        keypoints=p.points, segmentation=p.vertices,
        bbox=np.reshape(p.ann.get('bbox', ()), (-1, 2)))
    return min(p.size) > 4 and any(
        len(values) > 1 and values.any() and (values >= 0).all()
        and (values <= 1).all() for values in given.values())


def _outside(points: np.ndarray, size: Tuple[int, int]) -> bool:
    return bool((points < -SLACK).any() or (points > np.array(size)
                                            + SLACK).any())


def _zero(p: Person) -> bool:
    return bool(len(p.points) and (p.points == 0).all(axis=1).any())


def _unmarked(p: Person) -> bool:
    return not len(p.points) and bool(p.table[:, :2].any())


def _one_place(p: Person) -> bool:
    return len(p.points) > 2 and bool((p.points == p.points[0]).all())


def _box_outside(p: Person) -> bool:
    return p.box is not None and _outside(
        np.reshape(p.box, (2, 2)), p.size) and not _corners(p)


def _corners(p: Person) -> bool:
    if p.box is None or not _outside(np.reshape(p.box, (2, 2)), p.size):
        return False
    low, high = np.reshape(p.ann['bbox'], (2, 2))
    if (low >= high).any() or _outside(np.stack([low, high]), p.size):
        return False
    return not len(p.points) or bool(_inside(p.points, low, high) > .5)


def _box_empty(p: Person) -> bool:
    return p.box is not None and min(p.ann['bbox'][2:]) <= 0


def _beside_box(p: Person) -> bool:
    if p.box is None or not len(p.in_sight) or _box_empty(p):
        return False
    low, high = np.reshape(p.box, (2, 2))
    return _inside(p.in_sight, low, high) < .5


def _inside(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Of keypoints those in a box or just beside it, as a share."""
    margin = BESIDE * (high - low).max() + SLACK
    inside = (points >= low - margin) & (points <= high + margin)
    return float(inside.all(axis=1).mean())


def _mask_empty(p: Person) -> bool:
    return p.pixels == 0


def _beside_mask(p: Person) -> bool:
    return len(p.in_sight) > 1 and p.mask_extent is not None and (
        p.share_in_mask < .5)


def _mask_not_in_box(p: Person) -> bool:
    if p.box is None or p.mask_extent is None or _box_empty(p):
        return False
    box, mask = np.reshape(p.box, (2, 2)), np.reshape(p.mask_extent, (2, 2))
    common = np.minimum(box[1], mask[1]) - np.maximum(box[0], mask[0])
    shared = np.maximum(common, 0).prod()
    union = (box[1] - box[0]).prod() + (mask[1] - mask[0]).prod() - shared
    return bool(shared < .5 * union)


def _area(p: Person) -> bool:
    area = p.ann['area']
    if p.pixels > 0:  # a factor of two, or of a pixel around small ones
        return not (p.pixels / 2 - 50 < area < 2 * p.pixels + 50)
    return p.box is not None and not np.isnan(area) and (
        area > 1.1 * np.prod(p.ann['bbox'][2:]) + 50)


CHECKS: Dict[str, Callable[[Person], bool]] = dict(
    normalised=_normalised, zero=_zero, unmarked=_unmarked,
    one_place=_one_place, outside=lambda p: _outside(p.points, p.size),
    corners=_corners, box_outside=_box_outside, box_empty=_box_empty,
    beside_box=_beside_box, mask_empty=_mask_empty, beside_mask=_beside_mask,
    mask_not_in_box=_mask_not_in_box, area=_area)

# A crowd is annotated roughly, often by a box
NOT_OF_CROWDS = ('mask_empty', 'beside_mask', 'mask_not_in_box', 'area')


# --- all of them ------------------------------------------------------------


def suspect_persons(dataset: dict, masks: bool = True) -> List[Finding]:
    """Look at each person of a checked annotation file.

    Args:
        dataset: Of :class:`~mmpose_ssa.annotations.checks.Checked`, with the
            sizes of the images.
        masks: Whether the segmentations were checked, too.

    Returns:
        A finding of the level 'suspect' for each kind that was found.
    """
    sizes = {image['id']: (image['width'], image['height'])
             for image in dataset['images']
             if {'width', 'height'} <= image.keys()}
    found: Dict[str, List[int]] = {kind: [] for kind in PERSONS}
    seen = _Seen()
    tells_hidden = any(2 in ann.get('keypoints', ())[2::3]
                       for ann in dataset.get('annotations', ()))
    annotations = [ann for ann in dataset.get('annotations', ())
                   if ann['image_id'] in sizes]
    for ann in annotations:
        if not masks:
            ann = {k: v for k, v in ann.items() if k != 'segmentation'}
        person = Person(ann, sizes[ann['image_id']], tells_hidden)
        kinds = ['normalised'] if _normalised(person) else [
            kind for kind, check in CHECKS.items()
            if not (ann['iscrowd'] and kind in NOT_OF_CROWDS)
            and check(person)]
        for kind in kinds + seen.again(person):
            found[kind].append(ann['id'])
    return [
        Finding('suspect', kind,
                f'{len(found[kind])} of {len(annotations)} persons '
                f'{PERSONS[kind][0]}', f'id {first(found[kind])}',
                PERSONS[kind][1], found[kind])
        for kind in PERSONS if found[kind]]


class _Seen:
    """What earlier annotations hold, by image."""

    def __init__(self) -> None:
        self.keypoints: set = set()
        self.masks: set = set()

    def again(self, p: Person) -> List[str]:
        """Which kinds of repetition a person is."""
        kinds = []
        image = p.ann['image_id']
        # the same to the pixel: two tools round differently
        points = np.round(np.where(p.table[:, 2:] > 0, p.table[:, :2], -1))
        key = image, hash(points.tobytes())
        if not len(p.points):
            key = image, hash(np.round(p.box or ()).tobytes())
        if key in self.keypoints and (len(p.points) or p.box):
            kinds.append('repeated')
        self.keypoints.add(key)
        # only its hash is kept: all masks of COCO take gigabytes
        mask = image, hash(str(p.ann.get('segmentation')))
        if p.ann.get('segmentation'):
            if mask in self.masks and not kinds:
                kinds.append('shared_mask')
            self.masks.add(mask)
        return kinds

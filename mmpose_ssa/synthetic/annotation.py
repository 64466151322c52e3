"""COCO annotations of synthetic people: masks -> polygons, areas, keypoints.

Keypoints are in *index* coordinates: (0, 0) is the centre of the first pixel,
as MMPose reads COCO. Polygons and boxes are in *edge* coordinates: (0, 0) is
the corner of the first pixel, as pycocotools rasterises them.

Differences from COCO: keypoints are not rounded to whole pixels; every
keypoint inside the image is labelled (v=1 if hidden), except face features on
the far side of the head (v=0); holes of a person's region are kept, by
polygons with a slit of zero width.
"""
from itertools import combinations
from typing import List, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

# A person whose visible part is less tall than this [px], or is a smaller
# fraction of the silhouette, gets a mask but no keypoints, like small people
# in COCO.
MIN_LABELLED_HEIGHT = 14
MIN_LABELLED_SHARE = 0.15
# Two silhouettes overlap if they share this fraction of the smaller one.
MIN_OVERLAP = 0.02

_FINE = 4  # outlines are traced at this multiple of the resolution


def polygons_of(mask: np.ndarray, simplify: float = .6) -> List[List[float]]:
    """Outline a mask by COCO polygons.

    Args:
        mask: (H, W) bool.
        simplify: Largest deviation of the outline [px].

    Returns:
        list: Flat [x, y, x, y, ...] in edge coordinates, one per connected
        region; holes are joined to their outline by a slit of zero width.
        Empty for an empty mask.
    """
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return []
    y, x = ys.min(), xs.min()
    contours, tree = _trace(mask[y:ys.max() + 1, x:xs.max() + 1])
    rings = [cv2.approxPolyDP(contour, _FINE * simplify, True)[:, 0]
             for contour in contours]
    parents = tree[0, :, 3]
    polygons = []
    for i, ring in enumerate(rings):
        if parents[i] >= 0 or len(ring) < 3:
            continue
        for hole, parent in zip(rings, parents):
            if parent == i and len(hole) > 2:
                ring = _slit(ring, hole)
        polygon = np.round(ring / _FINE + (x, y), 2)
        polygons.append(polygon.ravel().tolist())
    return polygons


def _trace(mask: np.ndarray) -> Tuple[List[np.ndarray], np.ndarray]:
    """Contours and hierarchy of cv2, in edge coordinates times ``_FINE``.

    findContours returns pixel centres, but the outline runs between pixels.
    So it is given the enlarged mask's corners instead, of which one belongs
    to the region if any of its four pixels does.
    """
    fine = cv2.resize(mask.astype(np.uint8) * 255, None, fx=_FINE, fy=_FINE,
                      interpolation=cv2.INTER_LINEAR)
    corners = cv2.dilate(np.pad((fine > 127).astype(np.uint8), ((0, 1), ) * 2),
                         np.ones((2, 2), np.uint8), anchor=(1, 1))
    return cv2.findContours(corners, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)


def _slit(ring: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Join a hole (m, 2) to its outline (n, 2) where they are nearest."""
    gaps = ((ring[:, None] - hole) ** 2).sum(-1)
    i, j = np.unravel_index(gaps.argmin(), gaps.shape)
    there = np.concatenate([hole[j:], hole[:j + 1]])
    return np.concatenate([ring[:i + 1], there, ring[i:]])


def person_annotation(silhouette: np.ndarray, visible: np.ndarray,
                      keypoints: np.ndarray) -> dict:
    """Annotate a person.

    Args:
        silhouette: (H, W) bool, ignoring what stands in front.
        visible: (H, W) bool, the part that nothing hides.
        keypoints: (17, 3) x, y [px], v, ignoring what stands in front; a v
            of 2 becomes 1 where something does.

    Returns:
        dict: COCO annotation without ``id`` and ``image_id``; its area is 0
        if nothing is visible.
    """
    polygons = polygons_of(visible)
    area, bbox = 0., [0., 0., 0., 0.]
    if polygons:  # as COCO's own tools measure them
        rle = coco_mask.merge(
            coco_mask.frPyObjects(polygons, *visible.shape))
        area = float(coco_mask.area(rle))
        bbox = coco_mask.toBbox(rle).tolist()
    columns, rows = np.round(keypoints[:, :2]).astype(int).T
    shown = np.where(visible[rows, columns], 2, 1)
    keypoints = np.column_stack([keypoints[:, :2],
                                 np.minimum(keypoints[:, 2], shown)])
    if (bbox[3] < MIN_LABELLED_HEIGHT
            or area < MIN_LABELLED_SHARE * silhouette.sum()):
        keypoints[:] = 0
    flat = [int(v) if v == int(v) else float(v) for v in keypoints.ravel()]
    return dict(segmentation=polygons, area=area, iscrowd=0, category_id=1,
                bbox=bbox, keypoints=flat,
                num_keypoints=int((keypoints[:, 2] > 0).sum()))


def crowd_annotation(region: np.ndarray) -> dict:
    """Annotate a crowd by uncompressed RLE, without keypoints.

    Args:
        region: (H, W) bool, not empty.

    Returns:
        dict: COCO annotation without ``id`` and ``image_id``.
    """
    flat = np.concatenate([[False], region.ravel(order='F')])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], turns, [region.size]]))
    ys, xs = np.nonzero(region)
    bbox = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    return dict(segmentation=dict(counts=counts.tolist(),
                                  size=list(region.shape)),
                area=float(region.sum()), iscrowd=1, category_id=1,
                bbox=[float(v) for v in bbox], keypoints=[0] * 51,
                num_keypoints=0)


def overlapping(silhouettes: np.ndarray) -> np.ndarray:
    """Find the people who overlap another one.

    Args:
        silhouettes: (N, H, W) bool, ignoring what stands in front.

    Returns:
        (N,) bool: Whether the person shares at least 2 % of the smaller
        silhouette of the two with anybody else.
    """
    overlaps = np.zeros(len(silhouettes), bool)
    for i, j in combinations(range(len(silhouettes)), 2):
        one, other = silhouettes[i], silhouettes[j]
        shared = np.count_nonzero(one & other)
        smaller = min(np.count_nonzero(one), np.count_nonzero(other))
        if shared and shared >= MIN_OVERLAP * smaller:
            overlaps[[i, j]] = True
    return overlaps

"""COCO annotations of drawn people: masks -> polygons, areas, keypoints.

Frames: keypoints are in *index* coordinates ((0, 0) is the centre of the
first pixel, as MMPose reads COCO), polygons and boxes in *edge* coordinates
((0, 0) is its corner, as pycocotools rasterises).

Where this differs from COCO: keypoints are not rounded to whole pixels;
every part inside the image is labelled (v=1 if hidden), except the face
features on the far side of the head (v=0); holes of a person's region are
kept, by polygons with a slit of no width.

Pure: arrays in, arrays and lists out; no argument is changed.
"""
from itertools import combinations
from typing import List, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

# A person less tall than this (visible pixels), or of whom less than this
# share is visible, gets a mask and no keypoints, as COCO's small people do.
MIN_LABELLED_HEIGHT = 14
MIN_LABELLED_SHARE = 0.15
# Two silhouettes overlap if they share this part of the smaller one.
MIN_OVERLAP = 0.02

_FINE = 4  # outlines are traced at this many times the size


def polygons_of(mask: np.ndarray, simplify: float = .6) -> List[List[float]]:
    """Outline a mask by COCO polygons.

    Args:
        mask: (H, W) bool.
        simplify: Largest deviation of the outline [px].

    Returns:
        list: Flat [x, y, x, y, ...] in edge coordinates, one for each
        connected region; holes are joined to their outline by a slit of no
        width. Empty for an empty mask.
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

    The outline of the enlarged mask runs between its pixels. There a corner
    belongs to the region if one of its four pixels does: so the contour of
    corners is one of edges, where findContours gives pixel centres.
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
        silhouette: (H, W) bool, as if nothing stood in front.
        visible: (H, W) bool, what is left of it.
        keypoints: (17, 3) x, y [px], v as if nothing stood in front; a v
            of 2 becomes 1 where something does.

    Returns:
        dict: COCO annotation without ``id`` and ``image_id``; its area is 0
        if nothing is visible.
    """
    polygons = polygons_of(visible)
    area, bbox = 0., [0., 0., 0., 0.]
    if polygons:  # as COCO's own tools will measure them
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
    """Tell which people overlap another one.

    Args:
        silhouettes: (N, H, W) bool, as if nothing stood in front.

    Returns:
        (N,) bool: Whether one shares, with any other, at least 2 % of the
        smaller silhouette of the two.
    """
    overlaps = np.zeros(len(silhouettes), bool)
    for i, j in combinations(range(len(silhouettes)), 2):
        one, other = silhouettes[i], silhouettes[j]
        shared = np.count_nonzero(one & other)
        smaller = min(np.count_nonzero(one), np.count_nonzero(other))
        if shared and shared >= MIN_OVERLAP * smaller:
            overlaps[[i, j]] = True
    return overlaps

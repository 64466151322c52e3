"""A second look at each person: the keypoint-similarity rule of section 3.1.

The paper refines the grouped skeletons with a single-pose estimator and only
accepts locations on which both models almost agree. Pure: arrays in, arrays
out.

Decided where the paper is silent: the similarity is OKS's per-keypoint term
with the scale s^2 = mask area; a found keypoint keeps its first score; where
the mask is empty, the keypoints' extent stands in for it; what the second
model itself does not find (score 0) changes nothing.
"""
from typing import Optional, Sequence, Tuple, Union

import numpy as np
import pycocotools.mask as coco_mask

# A person's share of its box where its area is not known: CrowdPose's rule
AREA_OF_BOX = 0.53


def keypoint_similarity(first: np.ndarray, second: np.ndarray,
                        area: Union[float, np.ndarray],
                        sigmas: np.ndarray) -> np.ndarray:
    """KS = exp(-d^2 / (2 s^2 (2 sigma_k)^2)), as COCO's OKS has it.

    Args:
        first: (..., K, 2) locations in image pixels.
        second: (..., K, 2) locations in image pixels.
        area: (...) s^2, the persons' areas in square image pixels; positive.
        sigmas: (K,) the data set's keypoint sigmas.

    Returns:
        (..., K) similarities in (0, 1].

    Raises:
        ValueError: If an ``area`` is not positive.
    """
    area = np.asarray(area)[..., None]
    if not (area > 0).all():
        raise ValueError(f'area must be positive, got {area.min()}: use the '
                         'box where the mask is empty')
    squared = np.square(np.asarray(first) - second).sum(axis=-1)
    return np.exp(-squared / (2 * area * np.square(2 * np.asarray(sigmas))))


def refine_keypoints(keypoints: np.ndarray,
                     scores: np.ndarray,
                     refined: np.ndarray,
                     refined_scores: np.ndarray,
                     area: Union[float, np.ndarray],
                     sigmas: np.ndarray,
                     fill: bool,
                     threshold: float = 0.75
                     ) -> Tuple[np.ndarray, np.ndarray]:
    """Merge the keypoints of one or several persons with a second estimate.

    Args:
        keypoints: (..., K, 2) first estimate, image pixels.
        scores: (..., K) its scores; 0 marks a missing keypoint.
        refined: (..., K, 2) second estimate, image pixels.
        refined_scores: (..., K) its scores.
        area: (...) the persons' areas in square image pixels.
        sigmas: (K,) the data set's keypoint sigmas.
        fill: Fill missing keypoints (Refinement#2) or not (#1).
        threshold: The KS above which the second location is accepted.

    Returns:
        The merged (..., K, 2) locations and (..., K) scores.
    """
    found = scores > 0
    similarity = keypoint_similarity(keypoints, refined, area, sigmas)
    take = np.where(found, similarity > threshold, fill) & (refined_scores > 0)
    merged = np.where(take[..., None], refined, keypoints)
    return merged, np.where(take & ~found, refined_scores, scores)


def person_boxes(masks: Sequence[Optional[dict]],
                 extents: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Where to look again, and how large each person is.

    Args:
        masks: P compressed RLE dicts of the image; None where there is none.
        extents: (P, 4) boxes x0, y0, x1, y1 that stand in for masks that are
            empty or None, image pixels.

    Returns:
        (P, 4) boxes x0, y0, x1, y1 without padding, each side at least a
        pixel, and (P,) areas s^2: of the masks or, where a box stands in,
        ``AREA_OF_BOX`` of it and at least 1.
    """
    extents = np.asarray(extents, np.float64).reshape(-1, 4)
    pixels = np.array([coco_mask.area(m) if m else 0 for m in masks], float)
    spans = np.array([coco_mask.toBbox(m) if m else np.zeros(4)
                      for m in masks]).reshape(-1, 2, 2)
    corners, sides = extents.reshape(-1, 2, 2), spans[:, 1]
    spread = corners[:, 1] - corners[:, 0]
    half, centres = np.maximum(spread, 1) / 2, corners.mean(axis=1)
    boxes = np.where((pixels > 0)[:, None],
                     np.hstack([spans[:, 0], spans[:, 0] + sides]),
                     np.hstack([centres - half, centres + half]))
    areas = np.where(pixels > 0, pixels,
                     np.maximum(AREA_OF_BOX * spread.prod(axis=1), 1))
    return boxes, areas


def keypoint_extents(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Boxes around the found keypoints.

    Args:
        keypoints: (P, K, 2) locations.
        scores: (P, K), 0 where missing.

    Returns:
        (P, 4) boxes x0, y0, x1, y1; 0 for a person without any keypoint.
    """
    found = (scores > 0)[..., None]
    low = np.where(found, keypoints, np.inf).min(axis=1)
    high = np.where(found, keypoints, -np.inf).max(axis=1)
    return np.where(found.any(axis=1), np.hstack([low, high]), 0)

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

from .keypoints import AREA_OF_BOX, keypoint_similarity


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

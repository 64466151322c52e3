"""A second look at each person: the keypoint-similarity rule of section 3.1.

The paper refines the grouped skeletons with a single-pose estimator and only
accepts locations on which both models almost agree. Pure: arrays in, arrays
out, numpy only.

Decided where the paper is silent: the similarity is OKS's per-keypoint term
with the scale s^2 = mask area; a found keypoint keeps its first score.
"""
from typing import Tuple

import numpy as np


def keypoint_similarity(first: np.ndarray, second: np.ndarray, area: float,
                        sigmas: np.ndarray) -> np.ndarray:
    """KS = exp(-d^2 / (2 s^2 (2 sigma_k)^2)), as COCO's OKS has it.

    Args:
        first: (K, 2) locations in image pixels.
        second: (K, 2) locations in image pixels.
        area: s^2, the person's area in square image pixels; positive.
        sigmas: (K,) the data set's keypoint sigmas.

    Returns:
        (K,) similarities in (0, 1].

    Raises:
        ValueError: If ``area`` is not positive.
    """
    if not area > 0:
        raise ValueError(f'area must be positive, got {area}: use the box '
                         'where the mask is empty')
    squared = np.square(np.asarray(first) - second).sum(axis=-1)
    return np.exp(-squared / (2 * area * np.square(2 * np.asarray(sigmas))))


def refine_keypoints(keypoints: np.ndarray,
                     scores: np.ndarray,
                     refined: np.ndarray,
                     refined_scores: np.ndarray,
                     area: float,
                     sigmas: np.ndarray,
                     fill: bool,
                     threshold: float = 0.75
                     ) -> Tuple[np.ndarray, np.ndarray]:
    """Merge one person's keypoints with a second estimate of them.

    Args:
        keypoints: (K, 2) first estimate, image pixels.
        scores: (K,) its scores; 0 marks a missing keypoint.
        refined: (K, 2) second estimate, image pixels.
        refined_scores: (K,) its scores.
        area: The person's area in square image pixels.
        sigmas: (K,) the data set's keypoint sigmas.
        fill: Fill missing keypoints (Refinement#2) or not (#1).
        threshold: The KS above which the second location is accepted.

    Returns:
        The merged (K, 2) locations and (K,) scores.
    """
    found = scores > 0
    similarity = keypoint_similarity(keypoints, refined, area, sigmas)
    take = np.where(found, similarity > threshold, fill)
    merged = np.where(take[:, None], refined, keypoints)
    return merged, np.where(take & ~found, refined_scores, scores)

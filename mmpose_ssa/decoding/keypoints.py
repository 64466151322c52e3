"""Keypoints of persons: their similarity (OKS) and their extent.

Pure: arrays in, arrays out; no argument is changed.
"""
from typing import Union

import numpy as np

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

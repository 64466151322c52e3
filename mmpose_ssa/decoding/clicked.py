"""The person at a point, though no keypoint was found there.

Beyond the paper, which asks for the rows of candidates only. Any token of a
person attends to that person; so a click selects a mask and a skeleton.

Pure: arrays in, arrays out; numpy only; no argument is changed.
"""
from typing import Tuple

import numpy as np


def person_at(row: np.ndarray, types: np.ndarray, tokens: np.ndarray,
              scores: np.ndarray, num_keypoints: int,
              mask_threshold: float) -> Tuple[np.ndarray, np.ndarray]:
    """Map and skeleton of the person to whom a token attends.

    Args:
        row: (L,) attention of the token.
        types: (M,) keypoint types of the candidates.
        tokens: (M,) their tokens.
        scores: (M,) their scores.
        num_keypoints: K.
        mask_threshold: sigma; the person is where the map exceeds it.

    Returns:
        (K,) for each type the best candidate on the person, -1 where there is
        none, the first of equal ones; (L,) the map with maximum 1.
    """
    token_map = row / row.max()
    person = np.full(num_keypoints, -1)
    inside = np.flatnonzero(token_map[tokens] > mask_threshold)
    rising = inside[np.argsort(-scores[inside], kind='stable')[::-1]]
    person[types[rising]] = rising  # the last one written stays
    return person, token_map

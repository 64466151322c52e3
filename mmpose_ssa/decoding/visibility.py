"""Which keypoints are hidden, and by whom: read off the persons' attention.

Beyond the paper. A keypoint is hidden by another person if its token lies in
that person's attention mask, and if that person's map is higher there than the
map of its own person. Keypoints hidden by an object or by the person's own
body are not recognised.

Pure: arrays in, arrays out; numpy only; no argument is changed.
"""
import numpy as np

from .coordinates import tokens_at


def hidden_by(keypoints_inp: np.ndarray, found: np.ndarray, maps: np.ndarray,
              token_stride: int, mask_threshold: float) -> np.ndarray:
    """The person who hides each keypoint.

    Args:
        keypoints_inp: (P, K, 2) in input pixels.
        found: (P, K), whether the person has the keypoint.
        maps: (P, h, w) person attention maps with maximum 1, token cells.
        token_stride: r, input pixels per token.
        mask_threshold: What a map must exceed in the person's mask.

    Returns:
        (P, K) int64 index of the person whose map is highest at the
        keypoint's token, if it is higher than the own map and the token lies
        in that person's mask; else -1.
    """
    if not len(maps):
        return np.full(found.shape, -1, np.int64)
    grid = maps.shape[1], maps.shape[2]
    tokens = tokens_at(keypoints_inp, token_stride, grid)  # (P, K)
    there = maps.reshape(len(maps), -1)[:, tokens]  # (P of the map, P, K)
    persons = np.arange(len(maps))
    own, highest = there[persons, persons], there.max(axis=0)
    hidden = found & (highest > mask_threshold) & (highest > own)
    return np.where(hidden, there.argmax(axis=0), -1)

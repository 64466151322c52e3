"""What is known of the persons of one frame, and how two frames compare.

Pure: arrays in, arrays out; no argument is changed.
"""
from typing import NamedTuple, Optional

import numpy as np

from ..decoding.attention import attention_rows
from ..decoding.keypoints import AREA_OF_BOX, keypoint_similarity

SIDE = 160  # cells of the longer side of a mask in tracking, at most


class FrameAttention(NamedTuple):
    """The supervised layer's queries and keys in one frame.

    Attributes:
        q: (heads, L, d) queries of all tokens.
        k: (heads, L, d) keys.
        tokens: (P, K) token of each keypoint, -1 where it is missing.
        inside: (P, L), the tokens of each person's mask.
    """
    q: np.ndarray
    k: np.ndarray
    tokens: np.ndarray
    inside: np.ndarray


class FramePersons(NamedTuple):
    """P persons of one frame.

    Attributes:
        keypoints: (P, K, 2) in image pixels.
        keypoint_scores: (P, K), 0 where missing.
        scores: (P,) of the persons.
        masks: (P, h, w) bool, of any resolution that all frames share; None
            of a model without masks.
        attention: Queries and keys; None if ids do not come from attention.
    """
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    masks: Optional[np.ndarray] = None
    attention: Optional[FrameAttention] = None


def thinned(masks: np.ndarray) -> np.ndarray:
    """Every n-th row and column of masks (P, H, W), so that few are left."""
    step = max(-(-max(masks.shape[1:]) // SIDE), 1)
    return np.asarray(masks[:, ::step, ::step], bool)


# --- similarities of P persons to T tracks ----------------------------------


def mask_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P, T) intersection over union of masks (P, h, w) and (T, h, w)."""
    a, b = (masks.reshape(len(masks), masks.shape[1] * masks.shape[2]
                          ).astype(np.float32) for masks in (one, other))
    shared = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1) - shared
    return shared / np.maximum(union, 1)


def oks(one: np.ndarray, one_found: np.ndarray, other: np.ndarray,
        other_found: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Object keypoint similarity, over the keypoints that both have.

    Args:
        one: (P, K, 2).
        one_found: (P, K).
        other: (T, K, 2).
        other_found: (T, K).
        sigmas: (K,) of COCO.

    Returns:
        (P, T): 0 where no keypoint is common. The scale is the extent of the
        other's keypoints.
    """
    both = one_found[:, None] & other_found  # (P, T, K)
    least = np.where(other_found[..., None], other, np.inf).min(axis=1)
    most = np.where(other_found[..., None], other, -np.inf).max(axis=1)
    # Keypoints upon one line have a box without area, the person has not
    sides = np.where(np.isfinite(least), most - least, 0)
    sides = np.maximum(sides, sides.max(axis=1, keepdims=True) / 3)
    area = np.maximum(AREA_OF_BOX * sides.prod(axis=1), 1)
    similarity = keypoint_similarity(one[:, None], other, area, sigmas)
    number = both.sum(axis=-1)
    return (similarity * both).sum(axis=-1) / np.maximum(number, 1)


def votes(now: FrameAttention, then: FrameAttention,
          persons: np.ndarray) -> np.ndarray:
    """How many of a person's keypoints attend to each earlier person.

    The queries of this frame's keypoints ask the keys of an earlier frame. A
    keypoint votes for the person whose mask then holds most of its attention,
    by the share that it holds.

    Args:
        now: Of this frame, P persons.
        then: Of an earlier frame.
        persons: (T,) indices of the persons asked for, then.

    Returns:
        (P, T), the mean vote of the person's keypoints, 0 to 1.
    """
    result = np.zeros((len(now.tokens), len(persons)))
    found = now.tokens >= 0
    if not found.any() or not len(persons):
        return result
    rows = attention_rows(now.q, then.k, now.tokens[found])  # (M, L)
    # (M, all persons then): those of other tracks take votes, too
    held = rows @ then.inside.T
    best = np.arange(held.shape[1]) == held.argmax(axis=1)[:, None]
    cast = (held * best)[:, persons]
    owners = np.nonzero(found)[0]
    np.add.at(result, owners, cast)
    return result / np.maximum(found.sum(axis=1), 1)[:, None]

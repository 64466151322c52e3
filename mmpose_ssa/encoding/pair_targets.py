"""What a person's attention should be where there is no mask.

The paper's outlook (section 5) leaves open how to supervise the attention by
keypoints alone. Here tokens are marked: those on a person's own keypoints and
limbs are to be attended to, those of other people, and all far from the
person, are not. About the rest nothing is said.

Pure: arrays in, arrays out; numpy only; no argument is changed.
"""
from typing import Sequence, Tuple

import numpy as np

ATTENDED, AVOIDED, UNKNOWN = 1, 0, -1


def pair_targets(keypoints: np.ndarray, visible: np.ndarray,
                 boxes: np.ndarray, areas: np.ndarray,
                 links: Sequence[Tuple[int, int]], grid: Tuple[int, int],
                 stride: int, limb_width: float = 0.2,
                 padding: float = 1.25) -> np.ndarray:
    """Mark the tokens of each person by keypoints and limbs.

    Args:
        keypoints: (N, K, 2) in ``_inp`` pixels, of all persons of an image.
        visible: (N, K), whether a keypoint is labelled and inside.
        boxes: (N, 4) x0, y0, x1, y1 in ``_inp`` pixels.
        areas: (N,) in square pixels of the input.
        links: Pairs of types between which there is a limb.
        grid: (h, w) of the tokens.
        stride: Input pixels per token, r.
        limb_width: Width of a limb over the root of the person's area.
        padding: Factor on the sides of a box; outside it nothing is the
            person's.

    Returns:
        (N, h, w) int8: ``ATTENDED`` = 1 on the person's own tokens, the
        shared ones too; ``AVOIDED`` = 0 on those of others and outside the
        box; ``UNKNOWN`` = -1 elsewhere.
    """
    h, w = grid
    # centres of the tokens in pixel indices: token 0 spans -0.5 to r - 0.5
    x, y = (stride * (np.arange(n) + 0.5) - 0.5 for n in (w, h))
    bodies = np.stack([
        _body(points, seen, links, x, y, limb_width * np.sqrt(area) / 2)
        for points, seen, area in zip(keypoints, visible.astype(bool), areas)
    ]) if len(keypoints) else np.zeros((0, h, w), bool)
    persons, kinds = np.nonzero(visible)
    cells = np.floor(keypoints[persons, kinds] / stride).astype(np.int64)
    bodies[persons, cells[:, 1].clip(0, h - 1), cells[:, 0].clip(0, w - 1)] = 1

    middle, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, padding / 2 * (
        boxes[:, 2:] - boxes[:, :2])
    far_x = np.abs(x - middle[:, :1]) > reach[:, :1]  # (N, w)
    far_y = np.abs(y - middle[:, 1:]) > reach[:, 1:]
    others = bodies.sum(axis=0) > bodies
    targets = np.full(bodies.shape, UNKNOWN, np.int8)
    targets[others | far_x[:, None] | far_y[:, :, None]] = AVOIDED
    targets[bodies] = ATTENDED
    return targets


def _body(points: np.ndarray, seen: np.ndarray,
          links: Sequence[Tuple[int, int]], x: np.ndarray, y: np.ndarray,
          radius: float) -> np.ndarray:
    """(h, w), whether a token's centre is on a limb: a capsule."""
    ends = np.array([link for link in links if seen[list(link)].all()],
                    np.int64).reshape(-1, 2)
    start = points[ends[:, 0], :, None, None].astype(np.float64)
    along = points[ends[:, 1], :, None, None] - start
    # (links, h, w) vectors from the start to the tokens, in x and in y
    dx, dy = x - start[:, 0], y[:, None] - start[:, 1]
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    share = ((dx * along[:, 0] + dy * along[:, 1]) / length).clip(0, 1)
    distance = np.hypot(dx - share * along[:, 0], dy - share * along[:, 1])
    return (distance <= radius).any(axis=0)

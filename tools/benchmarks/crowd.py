"""Artificial crowds for the benchmark: outputs of an imagined network.

Persons are ellipses on a lattice, with their keypoints inside. The heatmaps
hold Gaussians. Queries and keys let a person's tokens attend to the person,
and those of the background to all of the background, unevenly. False
candidates are weak Gaussians in the background. They attract nobody, so each
starts a person of its own, which hardly overlaps others.
"""
from typing import NamedTuple, Tuple

import numpy as np
import torch
from torch import Tensor

from mmpose_ssa.models.codec import AttentionGrouping
from mmpose_ssa.models.encoder import TokenAttention

EMBED_DIMS = 192
MOST_TOKENS = 10  # across; of more, an even share would come close to lambda


class Crowd(NamedTuple):
    """N persons, as a network would see them.

    Attributes:
        heatmaps: (K, H/4, W/4).
        attention: Between the tokens.
        cells: (N + F, K, 2) integer x and y of the Gaussians in heatmap
            cells, those of the persons first.
        scores: (N + F, K) heights of the Gaussians.
    """
    heatmaps: Tensor
    attention: TokenAttention
    cells: np.ndarray
    scores: np.ndarray


def make_crowd(codec: AttentionGrouping,
               num_persons: int,
               num_false: int = 0,
               share: float = 1.,
               seed: int = 0) -> Crowd:
    """Make persons who fill the input evenly.

    Args:
        codec: Gives sizes and strides.
        num_persons: N.
        num_false: F, false candidates of each type.
        share: Fraction of the input's height that the image covers, centred.
        seed: Of the random numbers.

    Returns:
        The crowd, see :class:`Crowd`.
    """
    rng = np.random.default_rng(seed)
    k, r = codec.num_keypoints, codec.token_stride
    w, h = (side // r for side in codec.input_size)
    centres, radii = _lattice(num_persons, (w, share * h))
    centres[:, 1] += (1 - share) / 2 * h
    pose = rng.uniform(-.6, .6, (k, 2)) * radii
    points = centres[:, None] + pose + rng.uniform(-.1, .1,
                                                   (num_persons, k, 2))
    cells = (points * r / codec.heatmap_stride).astype(int)
    owners = _owners(centres, radii, (h, w))
    tokens = codec.tokens(cells * codec.heatmap_stride, (h, w))
    owners[tokens] = np.arange(num_persons)[:, None]
    outside = np.flatnonzero((owners == num_persons) & _within(share, (h, w)))
    false = rng.choice(outside, (num_false, k))
    false = np.stack([false % w, false // w], -1) * r // codec.heatmap_stride
    cells = np.concatenate([cells, false])
    scores = np.concatenate([rng.uniform(.3, 1, (num_persons, k)),
                             rng.uniform(.01, .2, (num_false, k))])
    return Crowd(
        torch.from_numpy(_heatmaps(codec, cells, scores)),
        _attention(owners, num_persons, (h, w), rng), cells, scores)


def _lattice(number: int, area: Tuple[float, float]
             ) -> Tuple[np.ndarray, np.ndarray]:
    """(number, 2) centres in an area (w, h), and (2,) radii around them."""
    columns = int(np.ceil(np.sqrt(number * area[0] / area[1])))
    pitch = np.divide(area, (columns, -(-number // columns)))
    places = np.stack(np.divmod(np.arange(number), columns)[::-1], axis=-1)
    return (places + .5) * pitch, np.minimum(.4 * pitch, MOST_TOKENS / 2)


def _owners(centres: np.ndarray, radii: np.ndarray,
            grid: Tuple[int, int]) -> np.ndarray:
    """(L,) the person in whose ellipse a token lies, else their number."""
    ys, xs = np.indices(grid).reshape(2, -1) + .5
    away = (np.stack([xs, ys], -1) - centres[:, None]) / radii
    inside = (away**2).sum(-1) <= 1
    return np.where(inside.any(0), inside.argmax(0), len(centres))


def _within(share: float, grid: Tuple[int, int]) -> np.ndarray:
    """(L,) whether a token lies wholly in the middle ``share`` of rows."""
    rows = np.arange(grid[0]) + .5
    return np.repeat(abs(rows - grid[0] / 2) <= share * grid[0] / 2 - .5,
                     grid[1])


def _heatmaps(codec: AttentionGrouping, cells: np.ndarray,
              scores: np.ndarray) -> np.ndarray:
    """(K, H/4, W/4) Gaussians of these heights."""
    xs, ys = (np.arange(side)[:, None] for side in codec.heatmap_size)
    x, y = (np.exp(-(axis - cells[..., i].reshape(1, -1))**2
                   / (2 * codec.sigma**2)) for i, axis in ((0, xs), (1, ys)))
    x, y = (part.reshape(-1, *scores.shape) for part in (x, y))
    return np.max([
        np.einsum('xk,yk->kyx', x[:, n] * scores[n], y[:, n])
        for n in range(len(scores))
    ], axis=0).astype(np.float32)


def _attention(owners: np.ndarray, num_persons: int, grid: Tuple[int, int],
               rng: np.random.Generator) -> TokenAttention:
    """Logits of 8 between tokens of one owner, else 0; .5 more or less."""
    codes = np.zeros((len(owners), EMBED_DIMS), np.float32)
    codes[np.arange(len(owners)), owners] = np.sqrt(8 * np.sqrt(EMBED_DIMS))
    free = EMBED_DIMS - num_persons - 1  # dimensions for the noise
    spread = np.sqrt(.5 * np.sqrt(EMBED_DIMS / free))
    noise = rng.normal(0, spread, (2, len(owners), free))
    noise[0, owners < num_persons] *= .4
    q, k = codes.copy(), codes.copy()
    q[:, num_persons + 1:], k[:, num_persons + 1:] = noise
    return TokenAttention(*(torch.from_numpy(part)[None, None]
                            for part in (q, k)), grid)

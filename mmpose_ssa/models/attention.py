"""The attention that groups keypoints: asked for rows, never stored.

Section 2.3 of "Attend to Who You Are". The paper stores the L x L matrix of
the supervised layer; everything done with it needs a few rows, so the neck
hands on queries and keys, of which the rows asked for are computed. Memory
then grows with the keypoints, not with L^2.
"""
from typing import Protocol, Sequence, Tuple, Union

import torch
from torch import Tensor


class Attention(Protocol):
    """What the association needs of an attention A between L = h * w tokens.

    Attributes:
        grid: (h, w), tokens in row-major order.
    """
    grid: Tuple[int, int]

    def rows(self, image: int, tokens: Tensor) -> Tensor:
        """Rows of A: how much some tokens attend to all.

        Args:
            image: Index in the batch.
            tokens: (R,) indices of the attending tokens.

        Returns:
            (R, L); rows sum to 1. At least float32, whatever the precision
            of the forward; differentiable.
        """
        ...

    def zero(self) -> Tensor:
        """0 with a gradient path to all that A is computed from."""
        ...


class TokenAttention:
    """Attention between the tokens of a grid, asked for by rows.

    Args:
        q: Queries after the in-projection, (B, heads, L, d_head).
        k: Keys after the in-projection, (B, heads, L, d_head).
        grid: (h, w) with h * w = L, tokens in row-major order.
    """

    def __init__(self, q: Tensor, k: Tensor, grid: Tuple[int, int]) -> None:
        if q.shape != k.shape or q.shape[2] != grid[0] * grid[1]:
            raise ValueError(f'queries {tuple(q.shape)}, keys '
                             f'{tuple(k.shape)} and grid {grid} do not fit')
        self.q, self.k = q, k
        self.grid = grid[0], grid[1]

    def rows(self, image: int, tokens: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(d)) at the tokens, averaged over the heads."""
        dtype = torch.promote_types(self.q.dtype, torch.float32)
        with torch.autocast(self.q.device.type, enabled=False):
            q = self.q[image, :, tokens].to(dtype) * self.q.shape[-1]**-0.5
            k = self.k[image].to(dtype)
            return (q @ k.transpose(-2, -1)).softmax(dim=-1).mean(dim=0)

    def zero(self) -> Tensor:
        return 0 * (self.q.float().sum() + self.k.float().sum())

    def flipped(self) -> 'TokenAttention':
        """The attention of the mirrored grid: queries and keys un-flipped."""
        return TokenAttention(
            self._mirror(self.q), self._mirror(self.k), self.grid)

    def _mirror(self, x: Tensor) -> Tensor:
        return x.unflatten(2, self.grid).flip(3).flatten(2, 3)


class MeanAttention:
    """The mean of several attentions over the same grid.

    Of all layers (the naive association, section 3.2), or of an image and its
    mirror image (flip test).
    """

    def __init__(self, parts: Sequence[Union[TokenAttention, 'MeanAttention']]
                 ) -> None:
        if len({part.grid for part in parts}) != 1:
            raise ValueError('one grid is needed, got '
                             f'{[part.grid for part in parts]}')
        self.parts = list(parts)
        self.grid: Tuple[int, int] = parts[0].grid

    def rows(self, image: int, tokens: Tensor) -> Tensor:
        first, *others = (part.rows(image, tokens) for part in self.parts)
        return sum(others, first) / len(self.parts)

    def zero(self) -> Tensor:
        first, *others = (part.zero() for part in self.parts)
        return sum(others, first)

    def flipped(self) -> 'MeanAttention':
        return MeanAttention([part.flipped() for part in self.parts])

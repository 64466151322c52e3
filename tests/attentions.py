"""Random attention, and its matrix."""
import math

import torch

from mmpose_ssa.models.encoder import TokenAttention

GRID, CHANNELS, DIMS, HIDDEN, LAYERS = (5, 7), 6, 16, 24, 4
LENGTH = GRID[0] * GRID[1]


def attention(batch=2, heads=2, grid=GRID, dims=8):
    """Queries and keys at random."""
    q, k = torch.randn(2, batch, heads, grid[0] * grid[1], dims,
                       dtype=torch.float64)
    return TokenAttention(q.requires_grad_(), k.requires_grad_(), grid)


def dense(attention, image):
    """The L x L matrix as the paper writes it."""
    q, k = attention.q[image], attention.k[image]
    scores = torch.einsum('hid,hjd->hij', q, k) / math.sqrt(q.shape[-1])
    return torch.softmax(scores, dim=-1).mean(dim=0)

"""The L x L matrix in the place of SSA's rows: what is compared with."""
from typing import Tuple

import torch.nn as nn
from torch import Tensor

from mmpose_ssa.models.encoder import SSATransformer


class DenseAttention:
    """The L x L matrices of B images, held: what the paper supervises.

    Args:
        matrices: (B, L, L), averaged over the heads.
        grid: (h, w).
    """

    def __init__(self, matrices: Tensor, grid: Tuple[int, int]) -> None:
        self.matrices, self.grid = matrices, tuple(grid)

    def rows(self, image: int, tokens: Tensor) -> Tensor:
        return self.matrices[image, tokens]

    def zero(self) -> Tensor:
        return self.matrices.new_zeros(())


def dense_from(q: Tensor, k: Tensor, grid: Tuple[int, int]) -> DenseAttention:
    """One head's matrix from (B, 1, L, d) queries and keys."""
    q, k = q[:, 0], k[:, 0]
    scores = q * q.shape[-1]**-0.5 @ k.transpose(1, 2)
    return DenseAttention(scores.softmax(dim=-1), grid)


class WeightedAttention(nn.MultiheadAttention):
    """PyTorch's attention in the place of SSA's, with its weights.

    Its parameters have the same names. Queries and keys stay inside; what is
    returned for them is not to be used.
    """

    def forward(self, x: Tensor, pos: Tensor) -> Tuple[Tensor, ...]:
        source = x + pos
        attended, weights = super().forward(
            source, source, x, average_attn_weights=False)
        self.weights = weights[:, 0] if self.kept else None
        return attended, x[:, None], x[:, None]


def keep_matrices(neck: SSATransformer) -> None:
    """Let every layer build its L x L matrix, the supervised one keep it."""
    for index, layer in enumerate(neck.layers):
        ours = layer.self_attn
        layer.self_attn = WeightedAttention(
            ours.out_proj.in_features, 1, batch_first=True)
        layer.self_attn.load_state_dict(ours.state_dict())
        layer.self_attn.to(ours.in_proj_weight.device)
        layer.self_attn.kept = index == neck.supervised_layer


def kept_matrix(neck: SSATransformer, attention):
    """What the neck handed on or, if it keeps matrices, the matrix."""
    layer = neck.layers[neck.supervised_layer].self_attn
    if not isinstance(layer, WeightedAttention):
        return attention
    matrices, layer.weights = layer.weights, None
    return DenseAttention(matrices, attention.grid)

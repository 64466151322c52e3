"""The Transformer encoder of SSA and the attention that it passes on.

Sections 2.2 and A.1, A.4 of "Attend to Who You Are". The neck passes on the
queries and keys of the supervised layer, see :class:`TokenAttention`.

Decided where the paper is silent: the projection has no bias; the position is
added to queries and keys of every layer, as in TransPose and DETR; dropout
never touches the attention that is supervised or used for grouping.
"""
import math
from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor

from .attention import Attention, MeanAttention, TokenAttention


def sine_position(grid: Tuple[int, int], embed_dims: int,
                  **options) -> Tensor:
    """Fixed 2D sine position embedding of TransPose and DETR.

    Rows and columns are counted from 1 and normalised to 2 pi, temperature
    10000; the first half of the channels encodes y, the second x.

    Args:
        grid: (h, w) in tokens.
        embed_dims: d, a multiple of 4.
        **options: dtype and device of the result.

    Returns:
        (h * w, d).
    """
    half = embed_dims // 2
    frequency = 10000**(-2 * (torch.arange(half, **options) // 2) / half)
    axes = []
    for size in grid:
        angle = torch.arange(1, size + 1, **options) / (size + 1e-6)
        angle = 2 * math.pi * angle[:, None] * frequency
        axes.append(
            torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()],
                        dim=-1).flatten(1))
    y, x = axes
    h, w = grid
    return torch.cat([
        y[:, None].expand(h, w, half), x[None].expand(h, w, half)], dim=-1
    ).flatten(0, 1)


class SelfAttention(nn.Module):
    """Multi-head self-attention that also returns its queries and keys.

    Parameters bear the names and shapes of ``torch.nn.MultiheadAttention``.
    """

    def __init__(self, embed_dims: int, num_heads: int,
                 attn_drop: float) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.in_proj_weight = nn.Parameter(
            torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor, pos: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """x (B, L, d), pos (L, d) -> output (B, L, d), q and k by heads."""
        d = x.shape[-1]
        q, k = self.queries_and_keys(x, pos)
        v = split_heads(F.linear(x, self.in_proj_weight[2 * d:],
                                 self.in_proj_bias[2 * d:]), self.num_heads)
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop if self.training else 0.)
        return self.out_proj(y.transpose(1, 2).flatten(2)), q, k

    def queries_and_keys(self, x: Tensor, pos: Tensor) -> List[Tensor]:
        """x (B, L, d), pos (L, d) -> q and k, (B, heads, L, d_head) each."""
        d = x.shape[-1]
        qk = F.linear(x + pos, self.in_proj_weight[:2 * d],
                      self.in_proj_bias[:2 * d]).chunk(2, dim=-1)
        return [split_heads(t, self.num_heads) for t in qk]


class QueryKey(nn.Module):
    """Queries and keys alone: the independent attention of A.4."""

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj = nn.Linear(embed_dims, 2 * embed_dims)

    def forward(self, x: Tensor, pos: Tensor) -> List[Tensor]:
        """x (B, L, d), pos (L, d) -> q and k, (B, heads, L, d_head) each."""
        qk = self.in_proj(x + pos).chunk(2, dim=-1)
        return [split_heads(t, self.num_heads) for t in qk]


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Identity whose gradient is multiplied by a factor."""
    if factor == 1:
        return x
    return x.detach() + factor * (x - x.detach())


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, L, d) -> (B, heads, L, d / heads)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Post-norm encoder layer with ReLU."""

    def __init__(self, embed_dims: int, num_heads: int,
                 feedforward_channels: int, dropout: float,
                 attn_drop: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(embed_dims, num_heads, attn_drop)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, pos: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """x (B, L, d), pos (L, d) -> output (B, L, d), q and k by heads."""
        attended, q, k = self.self_attn(x, pos)
        x = self.norm1(x + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(hidden))), q, k


def _check_association(association: Optional[str], supervised_layer: int,
                       num_layers: int) -> None:
    if association not in (None, 'supervised', 'independent', 'naive'):
        raise ValueError("association must be None, 'supervised', "
                         f"'independent' or 'naive', got {association!r}")
    if association and not 0 <= supervised_layer < num_layers:
        raise ValueError(
            f'supervised_layer {supervised_layer} does not exist: layers '
            f'are numbered from 0 to {num_layers - 1}')


@MODELS.register_module()
class SSATransformer(BaseModule):
    """Neck: projection, sine position, encoder, and its attention.

    Args:
        in_channels: Channels of the backbone's last feature map.
        embed_dims: d.
        num_layers: Encoder layers.
        num_heads: Heads of each layer; one in the paper.
        feedforward_channels: Hidden channels of the feed-forward network.
        association: Which attention groups the keypoints:

            - 'supervised': that of the layer ``supervised_layer``;
            - 'independent': a separate one, fed by that layer's input (A.4);
            - 'naive': the mean over all layers (section 3.2);
            - None: no attention is passed on; a plain encoder, as in
              TransPose.
        supervised_layer: Index of the layer from 0; the paper's 4th is 3.
        feature_gradient: gamma, the factor on the gradient that the
            associating attention sends into the features it is computed from
            (method beyond the paper). 1 is the paper; with 0 its losses train
            only the projections to its queries and keys.
        position_grid: (h, w) of the only grid that the neck will take. Its
            positions are then stored with the weights, as TransPose does,
            and never trained. None computes them for any grid.
        dropout: On both sublayer outputs and inside the feed-forward network.
        attn_drop: On the attention weights inside the forward. With 0 the
            fused kernels need memory linear in L on CPU too.
        init_cfg: As in MMEngine.

    Raises:
        ValueError: If the association is unknown, the layer does not exist,
            ``feature_gradient`` is negative, or ``embed_dims`` does not
            divide.
    """

    def __init__(self,
                 in_channels: int,
                 embed_dims: int = 192,
                 num_layers: int = 6,
                 num_heads: int = 1,
                 feedforward_channels: int = 384,
                 association: Optional[str] = 'supervised',
                 supervised_layer: int = 3,
                 feature_gradient: float = 1.,
                 position_grid: Optional[Tuple[int, int]] = None,
                 dropout: float = 0.1,
                 attn_drop: float = 0.1,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        _check_association(association, supervised_layer, num_layers)
        if feature_gradient < 0:
            raise ValueError(
                f'feature_gradient {feature_gradient} must be 0 or larger')
        if embed_dims % 4 or embed_dims % num_heads:
            raise ValueError(f'embed_dims {embed_dims} must be a multiple of 4'
                             f' and of num_heads {num_heads}')
        self.association = association
        self.supervised_layer = supervised_layer
        self.feature_gradient = feature_gradient
        self.position_grid = None
        if position_grid:
            h, w = self.position_grid = tuple(position_grid)
            self.register_buffer(
                'pos_embedding', sine_position((h, w), embed_dims))
        self.projection = nn.Conv2d(in_channels, embed_dims, 1, bias=False)
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dims, num_heads, feedforward_channels, dropout,
                         attn_drop) for _ in range(num_layers))
        if association == 'independent':
            self.independent = QueryKey(embed_dims, num_heads)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # the encoder's; the projection is 4D
                nn.init.xavier_uniform_(parameter)
            elif name.endswith(('in_proj.bias', 'out_proj.bias')):
                nn.init.zeros_(parameter)  # as in nn.MultiheadAttention

    def forward(
        self, feats: Sequence[Tensor]
    ) -> Union[Tuple[Attention, Tensor], Tuple[Tensor]]:
        """Encode the last feature map.

        Args:
            feats: Feature maps; the last, (B, C, h, w), is used. Any h, w,
                or those of ``position_grid``.

        Returns:
            The attention that associates the tokens of the h x w grid, unless
            ``association`` is None, and the encoded features (B, d, h, w),
            last, where MMPose's heads look for them.

        Raises:
            ValueError: If the grid is not the stored positions'.
        """
        x = self.projection(feats[-1])
        grid = x.shape[2:]
        # The residual stream is at least float32, as CUDA's autocast keeps it
        # by its layer norm. The CPU's layer norm would run in bfloat16 and sum
        # its parameters' gradients over all tokens in it, which loses most.
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        x = x.flatten(2).transpose(1, 2)
        pos = self._position(x, grid)
        attentions = []
        for i, layer in enumerate(self.layers):
            below = x
            x, q, k = layer(below, pos)
            if self._is_independent(i):
                attentions.append(self.independent(self._scaled(below), pos))
            elif self._is_associating(i) and self.feature_gradient != 1:
                attentions.append(layer.self_attn.queries_and_keys(
                    self._scaled(below), pos))  # equal to q, k
            elif self._is_associating(i):
                attentions.append((q, k))
        x = x.transpose(1, 2).unflatten(2, grid)
        if self.association is None:
            return (x, )
        parts = [TokenAttention(q, k, grid) for q, k in attentions]
        return parts[0] if len(parts) == 1 else MeanAttention(parts), x

    def _position(self, x: Tensor, grid: Tuple[int, int]) -> Tensor:
        """(L, d), computed for this grid or as it is stored."""
        if self.position_grid is None:
            return sine_position(
                grid, x.shape[-1], device=x.device, dtype=x.dtype)
        if tuple(grid) != self.position_grid:
            raise ValueError(
                f'a feature map of {tuple(grid)} does not fit position_grid '
                f'{self.position_grid}: give the input size that belongs to '
                'it, or position_grid=None for any size')
        return self.pos_embedding.to(x.dtype)

    def _scaled(self, x: Tensor) -> Tensor:
        return scale_gradient(x, self.feature_gradient)

    def _is_independent(self, layer: int) -> bool:
        return (self.association == 'independent'
                and layer == self.supervised_layer)

    def _is_associating(self, layer: int) -> bool:
        return (self.association == 'naive'
                or self.association == 'supervised'
                and layer == self.supervised_layer)

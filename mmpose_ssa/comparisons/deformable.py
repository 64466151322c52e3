"""Deformable convolution (Dai et al., 2017; modulated: Zhu et al., 2019).

On a GPU it is torchvision's, whose backward takes most of DEKR's training time
on a CPU. There PyTorch's ``grid_sample`` takes the samples, which is
vectorised: the same values and gradients up to float32 rounding, computed in
float32 even if the model runs in bfloat16.
"""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

Pair = Tuple[int, int]


def deform_conv2d(input: Tensor,
                  offset: Tensor,
                  weight: Tensor,
                  bias: Optional[Tensor] = None,
                  stride: Pair = (1, 1),
                  padding: Pair = (0, 0),
                  dilation: Pair = (1, 1),
                  mask: Optional[Tensor] = None) -> Tensor:
    """``torchvision.ops.deform_conv2d``, fast on CPUs too.

    Args:
        input: (B, C, H, W).
        offset: (B, 2 * G * kh * kw, H', W'), y and x in pixels for each of G
            deformable groups and each kernel cell.
        weight: (C', C / groups, kh, kw).
        bias: (C', ).
        stride: (y, x), as the next two.
        padding: Of zeros.
        dilation: Between the kernel's cells.
        mask: (B, G * kh * kw, H', W') factors of the samples.

    Returns:
        (B, C', H', W').
    """
    given = input, offset, weight, bias, mask
    if input.device.type != 'cpu':
        return torchvision.ops.deform_conv2d(
            *given[:4], stride, padding, dilation, mask)
    # bfloat16 could not tell neighbouring pixels beyond the 128th apart
    exact = torch.promote_types(input.dtype, torch.float32)
    with torch.autocast('cpu', enabled=False):
        return _by_grid_sample(
            *(t if t is None else t.to(exact) for t in given),
            (stride, padding, dilation)).to(input.dtype)


def _by_grid_sample(input: Tensor, offset: Tensor, weight: Tensor,
                    bias: Optional[Tensor], mask: Optional[Tensor],
                    geometry: Tuple[Pair, Pair, Pair]) -> Tensor:
    """The same on a CPU, all tensors of one type."""
    cells = weight.shape[2] * weight.shape[3]
    undeformed = _undeformed(weight.shape[2:], offset.shape[2:], *geometry)
    samples = _sample(input, undeformed.to(offset),
                      offset.unflatten(1, (-1, cells, 2)))
    if mask is not None:
        groups = mask.shape[1] // cells
        samples = (samples.unflatten(1, (groups, -1))
                   * mask.unflatten(1, (groups, 1, cells))).flatten(1, 2)
    groups = input.shape[1] // weight.shape[1]
    columns = samples.unflatten(1, (groups, -1)).flatten(4).flatten(2, 3)
    kernels = weight.flatten(1).unflatten(0, (groups, -1))
    output = (kernels @ columns).flatten(1, 2).unflatten(2, offset.shape[2:])
    return output if bias is None else output + bias[:, None, None]


def _undeformed(kernel: Pair, size: Pair, stride: Pair, padding: Pair,
                dilation: Pair) -> Tensor:
    """(cells, 2, H', W') y and x that the kernel's cells have without offset.
    """
    axes = [
        torch.arange(k)[:, None] * d + torch.arange(n) * s - p
        for k, n, s, p, d in zip(kernel, size, stride, padding, dilation)
    ]
    y = axes[0][:, None, :, None].expand(*kernel, *size)
    x = axes[1][None, :, None, :].expand(*kernel, *size)
    return torch.stack([y, x], dim=2).flatten(0, 1)


def _sample(input: Tensor, undeformed: Tensor, offset: Tensor) -> Tensor:
    """Bilinear values, 0 outside.

    Args:
        input: (B, C, H, W).
        undeformed: (cells, 2, H', W'), y and x in pixel indices.
        offset: (B, G, cells, 2, H', W'), what is added to them; each of the
            groups is of C / G channels.

    Returns:
        (B, C, cells, H', W').
    """
    groups, cells = offset.shape[1:3]
    # grid_sample's coordinates: edges of the image at -1 and 1
    half = offset.new_tensor(input.shape[2:])[:, None, None] / 2
    grid = torch.addcmul((undeformed + 0.5) / half - 1, offset, 1 / half)
    # and x before y, as y and x are in the transposed image
    image = input.transpose(2, 3).contiguous()
    samples = F.grid_sample(
        image.unflatten(1, (groups, -1)).flatten(0, 1),
        grid.movedim(3, 5).flatten(0, 1).flatten(1, 2),
        align_corners=False)
    samples = samples.unflatten(2, (cells, -1))
    return samples.unflatten(0, (-1, groups)).flatten(1, 2)

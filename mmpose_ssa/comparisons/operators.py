"""mmcv's operators of deformable convolution, which DEKR needs.

Where mmcv was not compiled, they are added to the stand-in for its operators,
see :mod:`mmpose_ssa.engine.operators`; a compiled mmcv is left untouched.
"""
import sys

import torch
from torch import Tensor

from ..engine.operators import OperatorStandIn
from .deformable import deform_conv2d

# The signatures below are those that mmcv 2.1.0 calls. Its operators return
# nothing and fill the tensors that they are given; the scratch buffers
# `columns` and `ones` stay unused here. The number of groups is read off the
# shapes, and offsets are ordered as mmcv does: (y, x) per kernel cell.


def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor,
                        output: Tensor, columns: Tensor, ones: Tensor,
                        **geometry) -> None:
    """Fills ``output`` (B, C_out, H', W')."""
    output.copy_(deform_conv2d(input, offset, weight, **_dcn_v1(geometry)))


def deform_conv_backward_input(input: Tensor, offset: Tensor,
                               grad_output: Tensor, grad_input: Tensor,
                               grad_offset: Tensor, weight: Tensor,
                               columns: Tensor, **geometry) -> None:
    """Fills ``grad_input`` and ``grad_offset``."""

    def convolve(input, offset):
        return deform_conv2d(input, offset, weight, **_dcn_v1(geometry))

    _add_gradients(convolve, (input, offset), grad_output,
                   (grad_input, grad_offset))


def deform_conv_backward_parameters(input: Tensor, offset: Tensor,
                                    grad_output: Tensor, grad_weight: Tensor,
                                    columns: Tensor, ones: Tensor,
                                    scale: float, **geometry) -> None:
    """Adds ``scale`` times the gradient to ``grad_weight``."""

    def convolve(weight):
        return deform_conv2d(input, offset, weight, **_dcn_v1(geometry))

    # Linear in the weight: its gradient does not depend on its value.
    _add_gradients(convolve, (torch.zeros_like(grad_weight), ),
                   scale * grad_output, (grad_weight, ))


def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor,
                                  ones: Tensor, offset: Tensor, mask: Tensor,
                                  output: Tensor, columns: Tensor,
                                  with_bias: bool, **geometry) -> None:
    """Fills ``output`` (B, C_out, H', W')."""
    output.copy_(
        deform_conv2d(
            input,
            offset,
            weight,
            bias if with_bias else None,
            mask=mask,
            **_dcn_v2(geometry)))


def modulated_deform_conv_backward(
        input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
        offset: Tensor, mask: Tensor, columns: Tensor, grad_input: Tensor,
        grad_weight: Tensor, grad_bias: Tensor, grad_offset: Tensor,
        grad_mask: Tensor, grad_output: Tensor, with_bias: bool,
        **geometry) -> None:
    """Adds the gradients to the five ``grad_*`` tensors."""

    def convolve(input, weight, offset, mask):
        return deform_conv2d(
            input, offset, weight, mask=mask, **_dcn_v2(geometry))

    _add_gradients(convolve, (input, weight, offset, mask), grad_output,
                   (grad_input, grad_weight, grad_offset, grad_mask))
    if with_bias:
        grad_bias.add_(grad_output.sum(dim=(0, 2, 3)))


def _add_gradients(convolve, inputs, grad_output: Tensor, grads) -> None:
    """Adds d(convolve) / d(inputs), pulled back from the output, to grads."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    with torch.enable_grad():
        output = convolve(*leaves)
    for grad, pulled in zip(grads,
                            torch.autograd.grad(output, leaves, grad_output)):
        grad.add_(pulled)


def _dcn_v1(geometry: dict) -> dict:
    """mmcv's names of DeformConv2d's geometry -> `deformable`'s, (y, x)."""
    return {
        name: (geometry[short + 'H'], geometry[short + 'W'])
        for name, short in (('stride', 'd'), ('padding', 'pad'),
                            ('dilation', 'dilation'))
    }


def _dcn_v2(geometry: dict) -> dict:
    """The same for ModulatedDeformConv2d, which names them otherwise."""
    return {
        name: (geometry[short + '_h'], geometry[short + '_w'])
        for name, short in (('stride', 'stride'), ('padding', 'pad'),
                            ('dilation', 'dilation'))
    }


def add_operators() -> None:
    """Adds the operators above to the stand-in, where it is in use."""
    extension = sys.modules.get('mmcv._ext')
    if isinstance(extension, OperatorStandIn):
        for operator in (deform_conv_forward, deform_conv_backward_input,
                         deform_conv_backward_parameters,
                         modulated_deform_conv_forward,
                         modulated_deform_conv_backward):
            setattr(extension, operator.__name__, operator)


add_operators()

"""Parameters and multiply-adds of a model, counted two ways.

The paper's Table 7 counts layers as common tools do: deconvolutions by their
*output* positions, and neither the attention's in- and out-projections, which
are no layers of their own, nor its two matrix products. The true numbers count
every parameter, deconvolutions by their input positions, and everything that
multiplies. Deformable convolutions count as others of their size. Values
do not matter: a model on the device "meta" has none and is counted at once.
"""
from typing import Dict

import torch
import torch.nn as nn
from mmcv.ops import DeformConv2d

from ..models.encoder import QueryKey, SelfAttention


def count(model: nn.Module, input_size: tuple) -> Dict[str, int]:
    """Count one forward of an SSA estimator.

    Args:
        model: The estimator, backbone, neck and head.
        input_size: (W, H) in pixels.

    Returns:
        params_table7, macs_table7, params, macs: parameters, and multiply-adds
        for one image.
    """
    macs = dict(table7=0, true=0)
    hooks = [
        module.register_forward_hook(_counter(module, macs))
        for module in model.modules() if _counter(module, macs)
    ]
    was_training = model.training
    model.train(False)
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            image = torch.zeros(1, 3, *input_size[::-1], device=device)
            model.head.forward(model.extract_feat(image))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    unseen = sum(
        p.numel() for module in model.modules()
        if isinstance(module, (SelfAttention, QueryKey))
        for p in module.parameters())
    params = sum(p.numel() for p in model.parameters())
    return dict(
        params_table7=params - unseen,
        macs_table7=macs['table7'],
        params=params,
        macs=macs['true'])


def _counter(module: nn.Module, macs: Dict[str, int]):
    """The forward hook that adds a module's multiply-adds, or None."""

    def convolution(layer, inputs, output):
        weights = layer.weight[0].numel()
        macs['table7'] += weights * output.numel()
        macs['true'] += weights * output.numel()

    def deconvolution(layer, inputs, output):
        weights = layer.weight[:, 0].numel()  # per output position
        macs['table7'] += weights * output.numel()
        macs['true'] += layer.weight[0].numel() * inputs[0].numel()

    def linear(layer, inputs, output):
        macs['table7'] += layer.in_features * output.numel()
        macs['true'] += layer.in_features * output.numel()

    def attention(layer, inputs, output):
        x = inputs[0]
        projection = x.numel() * layer.in_proj_weight.shape[0]
        products = 2 * x.numel() * x.shape[1]  # q k^T, and times v
        macs['true'] += projection + products
        macs['table7'] -= x.numel() * x.shape[2]  # out_proj is a Linear

    def independent(layer, inputs, output):
        macs['table7'] -= inputs[0].numel() * layer.in_proj.out_features

    for kind, hook in ((nn.Conv2d, convolution), (DeformConv2d, convolution),
                       (nn.ConvTranspose2d, deconvolution),
                       (nn.Linear, linear), (SelfAttention, attention),
                       (QueryKey, independent)):
        if isinstance(module, kind):
            return hook
    return None

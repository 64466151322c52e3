"""The instance mask loss of SSA, Eqs. (2) and (3) of the paper.

Decided where the paper is silent: the gradient flows through the maximum; the
bilinear resize uses half-pixel centres; the mean runs over all persons of the
batch on all GPUs.
"""
from typing import Optional, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmpose.registry import MODELS
from torch import Tensor

from .attention import Attention


def person_attention(attention: Attention, image: int, tokens: Tensor,
                     weights: Tensor) -> Tensor:
    """Mean of the attention rows at a person's visible keypoints, Eq. (2).

    Args:
        attention: The supervised attention, grid (h, w).
        image: Index in the batch.
        tokens: (N, K) token of each keypoint.
        weights: (N, K), 1 where the keypoint is visible, else 0; at least
            one per person.

    Returns:
        (N, h, w) person attention maps A_p.
    """
    person, keypoint = weights.nonzero(as_tuple=True)
    rows = attention.rows(image, tokens[person, keypoint])
    share = F.one_hot(person, len(weights)).T.to(rows)
    maps = share @ rows / share.sum(dim=1, keepdim=True)
    return maps.unflatten(1, attention.grid)


def count_persons(masks: Sequence[Tensor]) -> Tensor:
    """Scalar: the persons with masks in the batch, on all GPUs.

    Args:
        masks: For each image here (N, H/4, W/4).
    """
    count = torch.tensor(
        float(sum(map(len, masks))), device=masks[0].device)
    all_reduce(count)
    return count


@MODELS.register_module()
class AttentionMaskLoss(nn.Module):
    """Squared error between person attention maps and person masks, Eq. (3).

    Args:
        loss_weight: beta. With 0 the error is computed without gradient, to
            be logged beside the heatmap loss (Fig. 5).

    Attributes:
        share: Fraction of beta in use, from 0 to 1, which
            :class:`~mmpose_ssa.engine.balance.RampMaskLoss` raises.
    """

    def __init__(self, loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.share = 1.

    def weighted(self, error: Tensor) -> Tensor:
        """The error times the weight in force."""
        return self.share * self.loss_weight * error

    def forward(self, attention: Attention, tokens: Sequence[Tensor],
                weights: Sequence[Tensor], masks: Sequence[Tensor],
                num_persons: Optional[Tensor] = None) -> Tensor:
        """Compute the unweighted error, always in float32.

        Args:
            attention: The supervised attention of B images.
            tokens: For each image (N, K) tokens of the keypoints.
            weights: For each image (N, K), 1 where visible and inside.
            masks: For each image (N, H/4, W/4) person masks of 0 and 1.
            num_persons: What :func:`count_persons` returns, if it is known.

        Returns:
            Scalar: the sum over the persons here, divided by the mean number
            of persons per process. 0 with a gradient path to queries and keys
            where there is no person.
        """
        device = masks[0].device
        with torch.autocast(device.type, enabled=False), \
                torch.set_grad_enabled(
                    torch.is_grad_enabled() and self.loss_weight != 0):
            total = attention.zero()
            for image, person_masks in enumerate(masks):
                if len(person_masks):
                    total = total + self._errors(attention, image,
                                                 tokens[image], weights[image],
                                                 person_masks).sum()
            if num_persons is None:
                num_persons = count_persons(masks)
            return total / (num_persons / get_world_size()).clamp(min=1)

    @staticmethod
    def _errors(attention, image, tokens, weights, masks) -> Tensor:
        maps = person_attention(attention, image, tokens, weights)
        maps = maps / maps.amax(dim=(1, 2), keepdim=True)
        maps = F.interpolate(
            maps[:, None], masks.shape[1:], mode='bilinear',
            align_corners=False)[:, 0]
        return (maps - masks.to(maps)).square().mean(dim=(1, 2))


@MODELS.register_module()
class AttentionPairLoss(AttentionMaskLoss):
    """Squared error of person attention maps against targets from keypoints.

    For persons without a mask, see :mod:`pair_targets`: the target is 1 at the
    person's own keypoints and limbs, and 0 at other people and far away. Both
    sides are averaged separately, so that neither outweighs the other. The
    arguments are those of :class:`AttentionMaskLoss`, with targets (N, h, w)
    of 1, 0 and, where unknown, -1 instead of the masks.
    """

    @staticmethod
    def _errors(attention, image, tokens, weights, targets) -> Tensor:
        maps = person_attention(attention, image, tokens, weights)
        maps = maps / maps.amax(dim=(1, 2), keepdim=True)
        errors = 0
        for target in (0, 1):
            known = targets == target
            squares = (maps - target).square() * known
            errors = errors + squares.sum(dim=(1, 2)) / known.sum(
                dim=(1, 2)).clamp(min=1)
        return errors

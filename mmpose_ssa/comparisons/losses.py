"""The tag loss of associative embedding (Newell et al., 2017, section 3.2).

Let h be the tags at a person's keypoints and m their mean. ``pull`` is the
mean over persons of mean (h - m)^2. ``push`` is half the mean over pairs of
persons of exp(-(m - m')^2).

Like HigherHRNet's code, and unlike the paper: a mean instead of a sum over the
keypoints; no sigma in the exponent; push is halved, and is a mean over the
N (N - 1) pairs of different persons instead of N^2. Unlike MMPose's
``AssociativeEmbeddingLoss``, which sums over the images: means over the batch,
so that its size does not change the weight. One gather per image replaces the
loops over persons and keypoints.
"""
from typing import Sequence, Tuple

import torch
import torch.nn as nn
from mmpose.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class TagLoss(nn.Module):
    """Tags alike within a person, different between persons.

    Args:
        pull_weight: Weight of the differences within a person.
        push_weight: Weight of the similarity between persons.
    """

    def __init__(self,
                 pull_weight: float = 0.001,
                 push_weight: float = 0.001) -> None:
        super().__init__()
        self.pull_weight = pull_weight
        self.push_weight = push_weight

    def forward(self, tags: Tensor,
                indices: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """Both parts, weighted, averaged over the images.

        Args:
            tags: (B, K, h, w).
            indices: For each image (N, K, 2) int64: row-major cells, and 1
                where the keypoint counts, which is one at least per person.

        Returns:
            pull and push, scalars. Without persons, or with one for push,
            they are 0 and keep a gradient path to the tags.
        """
        losses = [
            _pull_and_push(maps.flatten(1), *persons.unbind(-1))
            for maps, persons in zip(tags, indices)
        ]
        pull, push = torch.stack([torch.stack(pair) for pair in losses
                                  ]).mean(dim=0)
        return self.pull_weight * pull, self.push_weight * push


def _pull_and_push(tags: Tensor, cells: Tensor,
                   counts: Tensor) -> Tuple[Tensor, Tensor]:
    """Of one image: tags (K, h w), cells and counts (N, K)."""
    n, zero = len(cells), 0 * tags.sum()
    if n == 0:
        return zero, zero
    values = tags.gather(1, cells.T).T
    share = counts / counts.sum(dim=1, keepdim=True)
    means = (share * values).sum(dim=1, keepdim=True)
    pull = (share * (values - means).square()).sum(dim=1).mean()
    if n == 1:
        return pull, zero
    likeness = torch.exp(-(means - means.T).square())
    return pull, likeness.triu(diagonal=1).sum() / (n * (n - 1))

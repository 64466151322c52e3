"""Own and perfect heatmaps and tags of associative embedding, crossed.

Perfect ones go through the averaging and resizing of testing, too.
"""
import copy
from typing import List, Tuple

import numpy as np
import torch
import torch.nn as nn
from mmengine.structures import InstanceData
from torch import Tensor

from ..evaluation.oracle import Outputs, annotated_keypoints, forward
from .codec import TagGrouping

# Between the tags of two persons; 1 is the threshold of one person.
TAG_STEP = 2.


class TagOracle:
    """The :class:`Oracle` of models with tags.

    Perfect heatmaps are the targets of training; the perfect tag of each cell
    and type is that of the person whose keypoint of this type is nearest.

    Args:
        model: An estimator whose head is a :class:`HigherResolutionHead`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def own(self, inputs: Tensor, samples: list) -> List[Outputs]:
        return list(zip(*forward(self.model, inputs, samples)))

    def perfect(self, metainfo: dict, input_size: tuple) -> Outputs:
        head = self.model.head
        heatmaps, tags = perfect_outputs(head.decoder, metainfo, input_size)
        heatmaps, tags = head.aggregate(heatmaps, tags)
        heatmaps, tags = head.full_size([heatmaps], [tags])
        return heatmaps[0], tags[0]

    def persons(self, heatmaps: Tensor, tags: Tensor, metainfo: dict,
                perfect: bool) -> InstanceData:
        persons, = self.model.head.decode(
            (heatmaps[None].cpu(), tags[None].cpu()))
        return persons


def perfect_outputs(codec: TagGrouping, metainfo: dict,
                    input_size: tuple) -> Tuple[List[Tensor], Tensor]:
    """The head's outputs that the annotations of an image ask for.

    Args:
        codec: The codec.
        metainfo: Of the sample, with ``raw_ann_info``.
        input_size: (W, H) of the padded network input in pixels.

    Returns:
        R heatmaps (1, K, h, w), the coarsest first, and the tags
        (1, K, h, w).
    """
    codec = copy.copy(codec)
    codec.input_size = tuple(input_size)
    codec.heatmap_size = tuple(s // codec.heatmap_stride for s in input_size)
    keypoints, visible = annotated_keypoints(metainfo, codec.num_keypoints)
    everywhere = np.ones((1, *codec.heatmap_size[::-1]), np.uint8)
    targets = codec.encode(keypoints, visible, everywhere)
    heatmaps = [torch.from_numpy(maps)[None] for maps in targets['heatmaps']]
    tags = nearest_tags(targets['keypoint_indices'], heatmaps[0].shape[2:])
    return heatmaps, torch.from_numpy(tags)[None]


def nearest_tags(indices: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """(K, h, w) tags, each that of the nearest keypoint of the type.

    Args:
        indices: (N, K, 2) row-major cells, and 1 where there is a keypoint.
        shape: (h, w) of the tags.
    """
    tags = np.zeros((indices.shape[1], *shape), np.float32)
    ys, xs = np.indices(shape)
    for kind, maps in enumerate(tags):
        persons = indices[:, kind, 1].nonzero()[0]
        if len(persons):
            y, x = np.divmod(indices[persons, kind, 0, None, None], shape[1])
            nearest = np.argmin((ys - y)**2 + (xs - x)**2, axis=0)
            maps[:] = TAG_STEP * persons[nearest]
    return tags

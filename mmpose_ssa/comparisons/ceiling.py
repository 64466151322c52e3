"""The ceiling of associative embedding: perfect heatmaps and tags.

They go through the very averaging, resizing and decoding of testing.
"""
import copy
from typing import List, Tuple

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor

from ..evaluation.oracle import annotated_keypoints
from ..models.estimator import FastEstimator
from .codec import TagGrouping

# Between the tags of two persons; 1 is the threshold of one person.
TAG_STEP = 2.


@MODELS.register_module()
class TagCeilingEstimator(FastEstimator):
    """An estimator whose outputs are drawn from the annotations.

    Takes the config of any model with tags; only its codec matters.
    """

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list) -> List:
        """Persons from perfect outputs, see the base class.

        Args:
            inputs: (B, 3, H, W); only the size is used.
            data_samples: With ``raw_ann_info`` in the metainfo, the
                annotations in image space; None where there is nobody.
        """
        preds = []
        for sample in data_samples:
            outputs = ideal_outputs(self.head.decoder, sample.metainfo,
                                    inputs.shape[:1:-1])
            maps, tags = self.head.aggregate(*outputs)
            preds += self.head.decode(self.head.full_size([maps], [tags]))
        return self.add_pred_to_datasample(preds, None, data_samples)


def ideal_outputs(codec: TagGrouping, metainfo: dict,
                  input_size: tuple) -> Tuple[List[Tensor], Tensor]:
    """Heatmaps and tags of one image, drawn from its annotations.

    The heatmaps are the targets of training. The tag of each cell and type is
    that of the person whose keypoint of this type is nearest.

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

"""The pose estimator: MMPose's bottom-up one, and masks in image space."""
from typing import List, Optional

import numpy as np
import torch
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.registry import MODELS
from torch import Tensor

from .frames import input_from_image
from .person_masks import encode_rle, image_masks


@MODELS.register_module()
class SSAPoseEstimator(BottomupPoseEstimator):
    """Bottom-up estimator whose persons come with masks.

    Args:
        *args: As :class:`BottomupPoseEstimator`.
        channels_last: Keep activations and weights in channels-last memory:
            the same values, several times faster backward on CPUs.
        **kwargs: As :class:`BottomupPoseEstimator`.
    """

    def __init__(self, *args, channels_last: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format)
        self.to(memory_format=self.memory_format)

    def extract_feat(self, inputs: Tensor) -> tuple:
        """(B, 3, H, W) -> the neck's (attention, features)."""
        return super().extract_feat(
            inputs.contiguous(memory_format=self.memory_format))

    def add_pred_to_datasample(self, batch_pred_instances: list,
                               batch_pred_fields: Optional[list],
                               batch_data_samples: list) -> List:
        """Bring persons from the network input to the original image.

        Adds to each sample's ``pred_instances`` ``masks``, P compressed RLE
        dicts of the original image's size; missing keypoints stay (0, 0).
        """
        missing = [p.keypoint_scores == 0 for p in batch_pred_instances]
        samples = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples)
        for sample, zeros in zip(samples, missing):
            persons = sample.pred_instances
            persons.keypoints = np.where(zeros[..., None], 0,
                                         persons.keypoints)
            persons.masks = self._masks(persons.attention_maps,
                                        sample.metainfo)
        return samples

    def _masks(self, maps: np.ndarray, metainfo: dict) -> List[dict]:
        """(P, h, w) maps -> P RLE dicts of the original image."""
        codec = self.head.decoder
        return encode_rle(
            image_masks(maps, metainfo['ori_shape'],
                        *input_from_image(metainfo), codec.token_stride,
                        codec.mask_threshold, codec.mask_mode))

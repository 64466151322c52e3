"""The pose estimator: MMPose's bottom-up one, in channels-last memory."""
import torch
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class TagPoseEstimator(BottomupPoseEstimator):
    """Bottom-up estimator, as fast on CPUs as that of SSA.

    Args:
        *args: As :class:`BottomupPoseEstimator`.
        channels_last: Keep activations and weights in channels-last memory:
            the same values, faster on CPUs.
        **kwargs: As :class:`BottomupPoseEstimator`.
    """

    def __init__(self, *args, channels_last: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format)
        self.to(memory_format=self.memory_format)

    def extract_feat(self, inputs: Tensor) -> tuple:
        """(B, 3, H, W) -> the backbone's features."""
        return super().extract_feat(
            inputs.contiguous(memory_format=self.memory_format))

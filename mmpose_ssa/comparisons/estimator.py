"""The pose estimator of models with tags: MMPose's bottom-up one."""
from mmpose.registry import MODELS

from ..estimator import FastEstimator


@MODELS.register_module()
class TagPoseEstimator(FastEstimator):
    """Bottom-up estimator without masks, as fast on CPUs as that of SSA."""

# HigherHRNet-w48 on CrowdPose.
_base_ = ['higherhrnet_w48_640.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(order=_base_.keypoint_order), **_base_.crowdpose)

# HigherHRNet-w32 at 640x640 on CrowdPose.
_base_ = ['higherhrnet_w32_640.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(order=_base_.keypoint_order), **_base_.crowdpose)

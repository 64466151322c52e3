# Associative embedding with HRNet-w32 on CrowdPose.
_base_ = ['ae_hrnet_w32_512.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(order=_base_.keypoint_order), **_base_.crowdpose)

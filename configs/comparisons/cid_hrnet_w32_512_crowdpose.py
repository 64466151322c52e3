# CID with HRNet-w32 on CrowdPose, for as long as CID's code trains.
_base_ = ['cid_hrnet_w32_512.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(_base_, **_base_.crowdpose)
train_cfg = dict(max_epochs=300, val_interval=20)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=300, milestones=[200, 260])
]

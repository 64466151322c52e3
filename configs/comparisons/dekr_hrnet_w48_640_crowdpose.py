# DEKR with HRNet-w48 on CrowdPose, with 5 images on each of 8 GPUs.
_base_ = ['dekr_hrnet_w48_640.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(_base_, **_base_.crowdpose)
model = dict(head=dict(displacement_loss=dict(loss_weight=0.004)))
train_dataloader = dict(batch_size=5)
train_cfg = dict(max_epochs=300, val_interval=20)
auto_scale_lr = dict(base_batch_size=40)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=300, milestones=[200, 260]),
]

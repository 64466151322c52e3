# CID with HRNet-w32 on CrowdPose, for as long as CID's code trains.
_base_ = ['cid_hrnet_w32_512.py', '../_base_/crowdpose.py']

model = dict(head=dict(num_keypoints=14))
train_dataloader = dict(dataset=_base_.crowdpose.train)
val_dataloader = dict(dataset=_base_.crowdpose.test)
test_dataloader = val_dataloader
val_evaluator = [dict(_base_.val_evaluator[0], **_base_.crowdpose.metric)]
test_evaluator = val_evaluator
default_hooks = _base_.crowdpose.hooks

train_cfg = dict(max_epochs=300, val_interval=20)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=300, milestones=[200, 260])
]

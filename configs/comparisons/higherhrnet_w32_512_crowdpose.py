# HigherHRNet-w32 on CrowdPose.
_base_ = ['higherhrnet_w32_512.py', '../_base_/crowdpose.py']

tags = dict(_base_.tags, num_keypoints=14, order=_base_.crowdpose.order)
codec = tags
model = dict(head=dict(num_keypoints=14, decoder=tags))
train_pipeline = [
    dict(step, encoder=tags) if step['type'] == 'GenerateTarget' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    dataset=dict(_base_.crowdpose.train, pipeline=train_pipeline))
val_dataloader = dict(dataset=_base_.crowdpose.test)
test_dataloader = val_dataloader
val_evaluator = [dict(_base_.val_evaluator[0], **_base_.crowdpose.metric)]
test_evaluator = val_evaluator
default_hooks = _base_.crowdpose.hooks

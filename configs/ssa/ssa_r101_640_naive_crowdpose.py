# CrowdPose has no masks, so that its attention cannot be supervised: the naive
# association of section 3.2. Not in the paper.
_base_ = ['ssa_r101_640.py', '../_base_/crowdpose.py']

codec = dict(_base_.codec, num_keypoints=14, order=_base_.crowdpose.order,
             edges=_base_.crowdpose.edges)  # yapf: disable
model = dict(
    neck=dict(association='naive'),
    head=dict(
        out_channels=14, mask_loss=dict(loss_weight=0.), decoder=codec))
changed = dict(
    GenerateTarget=dict(encoder=codec),
    GeneratePersonMasks=dict(missing='empty'))
train_pipeline = [
    dict(step, **changed.get(step['type'], {}))
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    dataset=dict(_base_.crowdpose.train, pipeline=train_pipeline))
val_dataloader = dict(dataset=_base_.crowdpose.test)
test_dataloader = val_dataloader
val_evaluator = [dict(_base_.val_evaluator[0], **_base_.crowdpose.metric)]
test_evaluator = val_evaluator
default_hooks = _base_.crowdpose.hooks

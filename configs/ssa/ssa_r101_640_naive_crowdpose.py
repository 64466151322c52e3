# CrowdPose has no masks, so that its attention cannot be supervised: the naive
# association of section 3.2. Not in the paper.
_base_ = ['ssa_r101_640.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(order=_base_.keypoint_order, edges=_base_.keypoint_edges),
    steps=dict(GeneratePersonMasks=dict(missing='empty')),
    **_base_.crowdpose)
model = dict(
    neck=dict(association='naive'), head=dict(mask_loss=dict(loss_weight=0.)))
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = val_evaluator

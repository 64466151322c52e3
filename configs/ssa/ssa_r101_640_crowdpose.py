# CrowdPose has no masks: its people supervise the attention by their keypoints
# and limbs instead. Not in the paper.
_base_ = ['ssa_r101_640.py', '../_base_/crowdpose.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(
        order=_base_.keypoint_order,
        edges=_base_.keypoint_edges,
        pair_targets=True),
    steps=dict(GeneratePersonMasks=dict(missing='empty')),
    **_base_.crowdpose)
# of the mask loss, whose place it takes
model = dict(
    head=dict(pair_loss=dict(type='AttentionPairLoss', loss_weight=0.01)))
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = val_evaluator

# Keypoints instead of masks supervise the attention.
_base_ = ['ssa_crowd.py']
from mmpose_ssa.engine.config import refit

refit(_base_, codec=dict(pair_targets=True))

model = dict(
    head=dict(
        mask_loss=dict(loss_weight=0.),
        pair_loss=dict(type='AttentionPairLoss', loss_weight=0.1)))
custom_hooks = _base_.custom_hooks[:-1]  # no mask loss to ramp

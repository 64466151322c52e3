# Heatmap loss only, grouped by the mean of all layers (section 3.2).
_base_ = ['ssa_crowd.py']

model = dict(
    neck=dict(association='naive', feature_gradient=1.),
    head=dict(mask_loss=dict(loss_weight=0.)))
custom_hooks = _base_.custom_hooks[:-1]  # no mask loss to ramp

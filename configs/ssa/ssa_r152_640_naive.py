# Section 3.2: heatmap loss only; all layers' mean attention associates.
_base_ = ['ssa_r152_640.py']

model = dict(
    neck=dict(association='naive'),
    head=dict(mask_loss=dict(loss_weight=0.)))

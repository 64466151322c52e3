# The demo's model trained with the heatmap loss only (section 3.2).
_base_ = ['ssa_demo.py']

model = dict(
    neck=dict(association='naive'), head=dict(mask_loss=dict(loss_weight=0.)))
train_cfg = dict(max_epochs=4)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=4, end=4),
]

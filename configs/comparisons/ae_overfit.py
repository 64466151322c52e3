# Proof that associative embedding learns: an HRNet twice as wide as that of
# `ae_demo.py` learns the few images of `demo/ssa_overfit.py` by heart.
_base_ = ['../demo/ssa_overfit.py', '_base_/small_hrnet.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(
        type='TagGrouping',
        input_size=(256, 256),
        heatmap_size=(64, 64),
        sigma=5 / 3),
    steps=dict(SSAResize=dict(size_factor=32)))
small = _base_.small_hrnet
wide = {
    stage: dict(option, num_channels=[2 * c for c in option.num_channels])
    for stage, option in small.backbone.extra.items() if stage != 'stage1'
}
model = dict(
    small,
    _delete_=True,
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(small.backbone, extra=dict(small.backbone.extra, **wide)),
    head=dict(small.head, in_channels=32, decoder=_base_.codec))
del small, wide
val_evaluator = [_base_.val_evaluator[0]]  # there are no masks
test_evaluator = val_evaluator

# about 20 minutes on two cores
epochs = 360
train_cfg = dict(max_epochs=epochs, val_interval=120)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=epochs, end=epochs),
]

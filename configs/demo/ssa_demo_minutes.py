# The demo's three minutes: the mask loss is added to the naive weights.
_base_ = ['ssa_demo.py']

model = dict(
    init_cfg=dict(
        type='Pretrained', checkpoint='weights/ssa_demo_naive.pth'))
train_cfg = dict(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=3,
        end=3,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True)
]
default_hooks = dict(logger=dict(interval=10))

# Proof on real images that the method learns: the demo's thin model learns
# the few images of a folder in COCO's layout by heart.
_base_ = ['ssa_demo.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    # larger than the demo's: many of COCO's people are small
    codec=dict(input_size=(192, 192), heatmap_size=(48, 48)),
    # the whole image, as it is in testing
    steps=dict(
        SSARandomAffine=dict(
            scale_type='long',
            scale_factor=(1., 1.),
            rotate_factor=0.,
            max_translate=0.),
        SSARandomFlip=dict(prob=0.),
        SSAResize=dict(resize_mode='fit')))
train_dataloader = dict(batch_size=6)

epochs = 800
train_cfg = dict(max_epochs=epochs, val_interval=200)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=epochs, end=epochs),
]
default_hooks = dict(checkpoint=dict(interval=50))

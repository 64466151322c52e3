# TransPose-R-A4 for synthetic people and CPUs, at 128x96: refines the demo's
# persons in `ssa_demo_refine2.py`.
_base_ = ['../transpose/transpose_r_a4_coco-256x192.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=4 / 3),
    # a short training: few people are seen twice
    steps=dict(
        RandomHalfBody=None,
        RandomBBoxTransform=dict(
            shift_prob=0.5,
            shift_factor=0.1,
            scale_factor=(0.8, 1.25),
            rotate_factor=30.)))
model = dict(
    backbone=dict(init_cfg=None),
    neck=dict(position_grid=(16, 12), dropout=0., attn_drop=0.),
    # MMPose's accuracy cannot be computed in bfloat16
    train_cfg=dict(compute_acc=False))
data_root = 'data/synthetic/'
train_dataloader = dict(
    batch_size=16, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=1, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=300, by_epoch=False),
    dict(_base_.param_scheduler[0], T_max=1, end=1,
         convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=1))

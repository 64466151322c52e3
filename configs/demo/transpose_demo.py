# TransPose-R-A4 for drawn people and CPUs, at 128x96: refines the demo's
# persons in `ssa_demo_refine2.py`.
_base_ = ['../transpose/transpose_r_a4_coco-256x192.py']

codec = dict(_base_.codec, input_size=(96, 128), heatmap_size=(24, 32),
             sigma=4 / 3)  # yapf: disable
model = dict(
    backbone=dict(init_cfg=None),
    neck=dict(position_grid=(16, 12), dropout=0., attn_drop=0.),
    head=dict(decoder=codec))
sizes = dict(input_size=(96, 128), encoder=codec)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
data_root = 'data/drawn/'
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        data_root=data_root, every_nth_image=2, pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=val_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=1, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=100, by_epoch=False),
    dict(_base_.param_scheduler[0], T_max=1, end=1,
         convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=1))

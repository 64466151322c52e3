# Associative embedding with HRNet-w32 at 512x512. Model and schedule are those
# of MMPose's config of the name, which cannot train; data, augmentation and
# metric are SSA's. Unlike HigherHRNet's code, therefore:
# - Shifts are at most 40 input pixels, not a fifth of the crop. Theirs:
#   --cfg-options train_dataloader.dataset.pipeline.2.translate_unit=crop
# - The heatmap loss leaves small persons out and counts the padding. The small
#   ones in: --cfg-options train_dataloader.dataset.pipeline.4.min_area=0
# - No flip test. With it: --cfg-options model.test_cfg.flip_test=True
# - Tested sides are rounded up to the next 64, theirs to that below where less
#   than a pixel is over; a long one is at most four times 512.
# - A warm-up, and 1.5e-3 for 24 images on each of 8 GPUs; theirs: 1e-3 for 12.
_base_ = ['../_base_/ssa.py']

tags = dict(
    type='TagGrouping', input_size=(512, 512), heatmap_size=(128, 128))
codec = dict(tags, _delete_=True)

model = dict(
    _delete_=True,
    type='FastEstimator',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        type='HRNet',
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4, ),
                num_channels=(64, )),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(4, 4),
                num_channels=(32, 64)),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(32, 64, 128)),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(32, 64, 128, 256))),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w32-36af842e.pth')),
    head=dict(
        type='HigherResolutionHead',
        in_channels=32,
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        decoder=tags),
    test_cfg=dict(flip_test=False))

sizes = dict(
    input_size=(512, 512),
    heatmap_size=(128, 128),
    size_factor=64,
    encoder=tags)
# no mask is learnt, so that none is missed
maskless = dict(missing='empty')
train_pipeline = [{
    **step,
    **{k: v for k, v in sizes.items() if k in step},
    **(maskless if step['type'] == 'GeneratePersonMasks' else {})
} for step in _base_.train_pipeline]  # yapf: disable
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
train_dataloader = dict(
    batch_size=24, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [_base_.val_evaluator[0]]  # there are no masks
test_evaluator = val_evaluator

# 24 images on each of 8 GPUs
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
auto_scale_lr = dict(base_batch_size=192)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.001,
        begin=0,
        end=500,
        by_epoch=False),
    dict(_base_.param_scheduler[0], end=300, milestones=[200, 260]),
]

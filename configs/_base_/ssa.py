# SSA with ResNet-101 at 640x640, stride 16, on COCO: the paper's A.1 and A.2.
_base_ = ['coco.py']
data_mode = 'bottomup'

# sizes, orders and thresholds live here once
codec = dict(
    type='AttentionGrouping',
    input_size=(640, 640),
    heatmap_size=(160, 160),
    token_stride=16)

model = dict(
    type='SSAPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    use_syncbn=True,  # 1 or 2 images per GPU
    backbone=dict(
        type='ResNet',
        depth=101,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')
    ),
    neck=dict(
        type='SSATransformer',
        in_channels=2048,
        embed_dims=192,
        num_layers=6,
        num_heads=1,
        feedforward_channels=384,
        association='supervised',
        supervised_layer=3),
    head=dict(
        type='SSAHead',
        in_channels=192,
        out_channels=17,
        deconv_out_channels=(192, 192),
        deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', loss_weight=1.0),
        mask_loss=dict(type='AttentionMaskLoss', loss_weight=0.01),
        decoder=codec),
    test_cfg=dict(flip_test=False, shift_heatmap=True))

# data
train_pipeline = [
    dict(type='SeedAugmentation'),
    dict(type='LoadCheckedImage'),
    dict(type='SSARandomAffine', input_size=codec['input_size']),
    dict(type='SSARandomFlip', direction='horizontal'),
    dict(type='GeneratePersonMasks', heatmap_size=codec['heatmap_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=('id', 'img_id', 'img_path')),
]
val_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(
        type='SSAResize',
        input_size=codec['input_size'],
        size_factor=codec['token_stride'],
        resize_mode='expand'),
    dict(
        type='PackPoseInputs',
        meta_keys=('id', 'img_id', 'img_path', 'crowd_index', 'ori_shape',
                   'img_shape', 'input_size', 'input_center', 'input_scale',
                   'flip', 'flip_direction', 'flip_indices', 'raw_ann_info',
                   'sigmas', 'skeleton_links', 'ori_img')),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(data_mode=data_mode, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1, dataset=dict(data_mode=data_mode, pipeline=val_pipeline))
test_dataloader = val_dataloader

# the data loaders' ann_file is the metrics' too
val_evaluator = [
    dict(type='CheckedCocoMetric', score_mode='bbox', nms_mode='none'),
    dict(type='PersonMaskMetric'),
]
test_evaluator = val_evaluator

# schedule: lr = batch / 8 * 1e-4, batch 16 on 8 GPUs
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=10)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4))
auto_scale_lr = dict(base_batch_size=8, enable=True)
param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=240,
        milestones=[150, 200],
        gamma=0.1,
        by_epoch=True)
]

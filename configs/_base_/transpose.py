# TransPose-R-A4 (Yang et al., ICCV 2021) at 256x192 on COCO: the paper's
# refiner, with the recipe that the official code runs (the learning rate steps
# in its YAML are unused). Differs from it in what MMPose differs in:
# - augmentation draws from truncated normal distributions, not clipped ones;
# - Gaussians end at 3 sigma;
# - the Taylor step has second derivatives over one cell, the official one
#   over two, and it skips peaks within two cells of the edge;
# - the vertical unit is 255 / 63 pixels, where the official one is the
#   horizontal 191 / 47: at most 0.5 pixels at the upper and lower edge.
_base_ = ['coco.py']
data_mode = 'topdown'

# Corner cells lie on corner pixels and locations are decoded as in DARK. With
# MSRAHeatmap the official weights would be 1.5 pixels off.
codec = dict(
    type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1, ),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(
        type='SSATransformer',
        in_channels=512,
        embed_dims=256,
        num_layers=4,
        num_heads=8,
        feedforward_channels=1024,
        association=None,
        position_grid=(32, 24)),
    head=dict(
        type='HeatmapHead',
        in_channels=256,
        out_channels=17,
        deconv_out_channels=(256, ),
        deconv_kernel_sizes=(4, ),
        # half the squared error, as in the official loss
        loss=dict(
            type='KeypointMSELoss', use_target_weight=True, loss_weight=0.5),
        decoder=codec,
        # the deconvolution starts as PyTorch starts it
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.001)),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False))

# data
train_pipeline = [
    dict(type='SeedAugmentation'),
    dict(type='LoadCheckedImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody', prob=0.3),
    # as elsewhere in MMPose, the angle's bound is twice the factor, 45
    dict(
        type='RandomBBoxTransform',
        shift_prob=0.,
        scale_factor=(0.65, 1.35),
        rotate_factor=90.),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(
    batch_size=20, dataset=dict(data_mode=data_mode, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    dataset=dict(
        data_mode=data_mode,
        # without it the annotated boxes are used
        # bbox_file=_base_.data_root + 'person_detection_results/'
        # 'COCO_val2017_detections_AP_H_56_person.json',
        pipeline=val_pipeline))
test_dataloader = val_dataloader

# the data loaders' ann_file is the metric's too
val_evaluator = dict(type='CheckedCocoMetric')
test_evaluator = val_evaluator

# schedule: batch 20 on one GPU
train_cfg = dict(by_epoch=True, max_epochs=230, val_interval=10)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4))
auto_scale_lr = dict(base_batch_size=20)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=230,
        T_max=230,
        eta_min=1e-5,
        by_epoch=True)
]

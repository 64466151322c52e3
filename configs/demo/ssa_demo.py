# A thin SSA for CPUs and synthetic people: two ResNet stages, stride 8, 160 px
# Data: mmpose-ssa synthesize data/synthetic --size 160 --max-people 3
#           --min-height 0.6 --train 12000 --val 300
_base_ = ['../_base_/ssa.py']
from mmpose_ssa.engine.config import refit

# Gaussians and windows of 4-pixel cells, as large as the people allow
refit(
    _base_,
    codec=dict(
        input_size=(160, 160),
        heatmap_size=(40, 40),
        token_stride=8,
        sigma=1.5,
        unbiased=True,
        nms_kernel=5,
        # above the noise of a small model's heatmaps, whose false candidates
        # disturb the grouping; chosen on other synthetic images
        score_threshold=0.2),
    steps=dict(
        SSARandomAffine=dict(
            scale_factor=(0.8, 1.25), rotate_factor=15., max_translate=16.),
        GeneratePersonMasks=dict(min_area=0.)))

model = dict(
    use_syncbn=False,
    backbone=dict(
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1, ),
        init_cfg=None),
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
        # balances the losses of 40x40 maps as 0.01 does those of 160x160
        mask_loss=dict(loss_weight=0.1)))

data_root = 'data/synthetic/'
train_dataloader = dict(
    batch_size=16, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=5, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(enable=False)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=200,
        by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=5,
        end=5,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True)
]
default_hooks = dict(checkpoint=dict(interval=1))

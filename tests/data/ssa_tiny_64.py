# As small as SSA gets, for tests: 64x64 input, stride 8, 8x8 tokens.
_base_ = ['../../configs/_base_/ssa.py']

codec = dict(
    type='AttentionGrouping',
    input_size=(64, 64),
    heatmap_size=(16, 16),
    token_stride=8)

model = dict(
    use_syncbn=False,
    backbone=dict(
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1, ),
        stem_channels=8,
        base_channels=8,
        init_cfg=None),
    neck=dict(
        in_channels=16,
        embed_dims=16,
        num_layers=3,
        feedforward_channels=32,
        supervised_layer=1,
        dropout=0.,
        attn_drop=0.),
    head=dict(
        in_channels=16,
        deconv_out_channels=(16, ),
        deconv_kernel_sizes=(4, ),
        decoder=codec))

# the images as they are, if they are 64x64
still = dict(scale_factor=(1., 1.), rotate_factor=0., max_translate=0.)
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='SSARandomAffine', input_size=codec['input_size'], **still),
    dict(type='GeneratePersonMasks', heatmap_size=codec['heatmap_size'],
         min_area=0.),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=('id', 'img_id', 'img_path')),
]
val_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='SSAResize', input_size=codec['input_size'], size_factor=8,
         resize_mode='expand'),
    _base_.val_pipeline[-1],
]
train_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

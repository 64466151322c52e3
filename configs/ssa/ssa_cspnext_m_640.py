# CSPNeXt-M, the backbone of RTMPose, without its stage of stride 32; not in
# the paper.
_base_ = ['../_base_/ssa.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='CSPNeXt',
        arch='P5',
        deepen_factor=0.67,
        widen_factor=0.75,
        # channels in and out, blocks, shortcuts, pooling; MMPose's spelling
        arch_ovewrite=[[64, 128, 3, True, False], [128, 256, 6, True, False],
                       [256, 512, 6, True, True]],
        out_indices=(3, ),  # stride 16
        expand_ratio=0.5,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU'),
        # weights of a file: dict(type='Pretrained', checkpoint='FILE',
        # prefix='backbone.')
        init_cfg=None),
    neck=dict(in_channels=384))

# A thin HRNet with a head for tags, without weights to begin with. To be
# inherited beside a config of `demo/`, see `ae_demo.py`.
small_hrnet = dict(
    type='FastEstimator',
    backbone=dict(
        type='HRNet',
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(1, ),
                num_channels=(16, )),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(2, 2),
                num_channels=(16, 32)),
            stage3=dict(
                num_modules=1,
                num_branches=3,
                block='BASIC',
                num_blocks=(2, 2, 2),
                num_channels=(16, 32, 64)),
            stage4=dict(
                num_modules=1,
                num_branches=4,
                block='BASIC',
                num_blocks=(2, 2, 2, 2),
                num_channels=(16, 32, 64, 128))),
        init_cfg=None),
    head=dict(
        type='HigherResolutionHead',
        in_channels=16,
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        # more than 0.001, as Gaussians fill more of small maps: of 40x40
        # cells 7 times the share that they fill of 128x128, of 64x64 3 times
        tag_loss=dict(type='TagLoss', pull_weight=0.01, push_weight=0.01)),
    test_cfg=dict(flip_test=False))

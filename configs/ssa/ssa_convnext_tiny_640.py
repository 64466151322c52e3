# ConvNeXt-T of timm (`pip install timm`); not in the paper.
_base_ = ['../_base_/ssa.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='convnext_tiny',
        out_indices=(1, 2, 3),  # strides 8, 16 and 32, added at 16
        join_channels=384,
        pretrained=True),  # by timm; a file: pretrained='FILE'
    neck=dict(in_channels=384))

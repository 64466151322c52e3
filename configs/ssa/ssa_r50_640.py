# ResNet-50: a smaller model for comparisons; not in the paper.
_base_ = ['../_base_/ssa.py']

model = dict(
    backbone=dict(
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')))

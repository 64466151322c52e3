# Table 1, ResNet-152 at 640.
_base_ = ['../_base_/ssa.py']

model = dict(
    backbone=dict(
        depth=152,
        init_cfg=dict(type='Pretrained',
                      checkpoint='torchvision://resnet152')))

# ResNet-101 at 640 with twice as fine an attention: stride 8, C4 dilated too.
_base_ = ['ssa_r101_640.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(token_stride=8))
model = dict(
    backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    neck=dict(attn_drop=0.),  # memory linear in the tokens on CPUs
    head=dict(deconv_out_channels=(192, ), deconv_kernel_sizes=(4, )))

# Tokens of 16 pixels instead of 8.
_base_ = ['ssa_crowd.py']
from mmpose_ssa.engine.config import refit

refit(_base_, codec=dict(token_stride=16))

model = dict(
    backbone=dict(strides=(2, 2)),
    head=dict(deconv_out_channels=(128, 128), deconv_kernel_sizes=(4, 4)))

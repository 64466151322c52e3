# The thin HigherHRNet on synthetic people, beside `ae_demo.py`.
_base_ = ['ae_demo.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(heatmap_size=(80, 80), num_resolutions=2))
model = dict(
    head=dict(
        deconv_out_channels=(16, ),
        deconv_kernel_sizes=(4, ),
        num_blocks=2))

# HigherHRNet-w32 at 512x512: heatmaps at a quarter and a half of the input.
_base_ = ['ae_hrnet_w32_512.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(heatmap_size=(256, 256), num_resolutions=2))
model = dict(
    head=dict(
        deconv_out_channels=(32, ), deconv_kernel_sizes=(4, )))

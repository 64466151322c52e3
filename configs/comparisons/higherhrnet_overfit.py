# HigherHRNet learns the few images by heart, beside `ae_overfit.py`.
_base_ = ['ae_overfit.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(heatmap_size=(128, 128), num_resolutions=2))
model = dict(
    head=dict(
        deconv_out_channels=(32, ),
        deconv_kernel_sizes=(4, ),
        num_blocks=1))

# DEKR with HRNet-w48 at 640x640.
_base_ = ['dekr_hrnet_w32_512.py']
from mmengine.hub import get_config

from mmpose_ssa.engine.config import refit

dekr = get_config('mmpose::body_2d_keypoint/dekr/coco/'
                  'dekr_hrnet-w48_8xb10-140e_coco-640x640.py')
refit(_base_, dict(input_size=(640, 640), heatmap_size=(160, 160)))
model = dict(
    backbone=dekr.model.backbone,
    head=dict(in_channels=720, num_heatmap_filters=48))
del dekr

# Fig. 9: ResNet-152 at 512.
_base_ = ['ssa_r152_640.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(input_size=(512, 512), heatmap_size=(128, 128)))

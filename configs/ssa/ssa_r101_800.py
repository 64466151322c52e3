# Table 1, ResNet-101 at 800: one image per GPU, batch 8 on 8 GPUs.
_base_ = ['ssa_r101_640.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(input_size=(800, 800), heatmap_size=(200, 200)))
train_dataloader = dict(batch_size=1)

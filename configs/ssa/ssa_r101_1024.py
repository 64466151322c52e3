# ResNet-101 at 1024: one image per GPU, batch 8 on 8 GPUs.
_base_ = ['ssa_r101_640.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(input_size=(1024, 1024), heatmap_size=(256, 256)))
model = dict(neck=dict(attn_drop=0.))  # memory linear in the tokens on CPUs
train_dataloader = dict(batch_size=1)

# HigherHRNet-w32 at 640x640. Batch and learning rate are those of its code:
# 12 images on each of 8 GPUs.
_base_ = ['higherhrnet_w32_512.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(input_size=(640, 640), heatmap_size=(320, 320)))
train_dataloader = dict(batch_size=12)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=96)

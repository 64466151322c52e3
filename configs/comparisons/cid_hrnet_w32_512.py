# CID with HRNet-w32 at 512x512. Model and schedule are those of MMPose's
# config; data, augmentation and metric are SSA's. Unlike MMPose's, therefore:
# - The heatmap loss leaves crowds and small persons out.
# - Targets are those of CID's code, see `MaskedDecoupledHeatmap`.
# - No flip test. With it: --cfg-options model.test_cfg.flip_test=True
_base_ = ['ae_hrnet_w32_512.py']
# a config may not inherit two that share keys
from mmengine.hub import get_config

from mmpose_ssa.engine.config import refit

cid = get_config('mmpose::body_2d_keypoint/cid/coco/'
                 'cid_hrnet-w32_8xb20-140e_coco-512x512.py')
refit(_base_, dict(cid.codec, type='MaskedDecoupledHeatmap'))
model = dict(
    backbone=cid.model.backbone,
    neck=cid.model.neck,
    head=dict(cid.model.head, _delete_=True, decoder=_base_.codec),
    train_cfg=cid.model.train_cfg,
    test_cfg=dict(cid.model.test_cfg, flip_test=False))
find_unused_parameters = True  # in a batch without persons
train_dataloader = dict(batch_size=20)
# the same person may be found from two centres
val_evaluator = [
    dict(
        _base_.val_evaluator[0],
        score_mode='keypoint',
        nms_mode='oks_nms',
        nms_thr=0.8)
]
test_evaluator = val_evaluator

# 20 images on each of 8 GPUs
train_cfg = cid.train_cfg
optim_wrapper = cid.optim_wrapper
auto_scale_lr = cid.auto_scale_lr
param_scheduler = cid.param_scheduler
del cid

# DEKR with HRNet-w32 at 512x512. Model and schedule are those of MMPose's
# config; data, augmentation and metric are SSA's. Unlike MMPose's, therefore:
# - The heatmap loss leaves crowds and small persons out.
# - No flip test. With it: --cfg-options model.test_cfg.flip_test=True
# - Persons are not rescored: the published network for it knows the errors of
#   other weights.
_base_ = ['ae_hrnet_w32_512.py']
# a config may not inherit two that share keys
from mmengine.hub import get_config

from mmpose_ssa.engine.config import refit

dekr = get_config('mmpose::body_2d_keypoint/dekr/coco/'
                  'dekr_hrnet-w32_8xb10-140e_coco-512x512.py')
refit(_base_, dict(dekr.codec, type='MaskedSPR'))
model = dict(
    backbone=dekr.model.backbone,
    neck=dekr.model.neck,
    head=dict(
        dekr.model.head,
        _delete_=True,
        type='ContiguousDEKRHead',
        rescore_cfg=None,
        decoder=_base_.codec),
    test_cfg=dict(dekr.model.test_cfg, flip_test=False))
train_dataloader = dict(batch_size=10)
val_evaluator = [dict(_base_.val_evaluator[0], score_mode='keypoint')]
test_evaluator = val_evaluator

# 10 images on each of 8 GPUs
train_cfg = dekr.train_cfg
optim_wrapper = dekr.optim_wrapper
auto_scale_lr = dekr.auto_scale_lr
param_scheduler = dekr.param_scheduler
del dekr

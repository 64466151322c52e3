# DEKR on the thin HRNet, beside `ae_demo.py`.
_base_ = ['ae_demo.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(
        type='MaskedSPR',
        input_size=(160, 160),
        heatmap_size=(40, 40),
        sigma=(3, 2),  # of roots, of keypoints
        generate_keypoint_heatmaps=True))
model = dict(
    backbone=dict(extra=dict(stage4=dict(multiscale_output=True))),
    neck=dict(type='FeatureMapProcessor', concat=True),
    head=dict(
        _delete_=True,
        type='ContiguousDEKRHead',
        in_channels=240,
        num_keypoints=17,
        num_heatmap_filters=16,
        num_displacement_filters_per_keypoint=8,
        # balances the losses of 40x40 maps as 0.002 does those of 128x128
        displacement_loss=dict(
            type='SoftWeightSmoothL1Loss',
            use_target_weight=True,
            supervise_empty=False,
            beta=1 / 9,
            loss_weight=0.02),
        decoder=_base_.codec),
    test_cfg=dict(nms_dist_thr=0.05, shift_heatmap=True))
val_evaluator = [dict(_base_.val_evaluator[0], score_mode='keypoint')]
test_evaluator = val_evaluator

# Associative embedding with HRNet-w32 at 512x512. Model and schedule are those
# of MMPose's config of the name, which cannot train; data, augmentation and
# metric are SSA's. Unlike HigherHRNet's code, therefore:
# - Shifts are at most 40 input pixels, not a fifth of the crop. Theirs:
#   --cfg-options train_dataloader.dataset.pipeline.2.translate_unit=crop
# - The heatmap loss leaves small persons out and counts the padding. The small
#   ones in: --cfg-options train_dataloader.dataset.pipeline.4.min_area=0
# - No flip test. With it: --cfg-options model.test_cfg.flip_test=True
# - Tested sides are rounded up to the next 64, theirs to that below where less
#   than a pixel is over; a long one is at most four times 512.
# - A warm-up, and 1.5e-3 for 24 images on each of 8 GPUs; theirs: 1e-3 for 12.
_base_ = ['../_base_/ssa.py']
# a config may not inherit two that share keys
from mmengine.hub import get_config

from mmpose_ssa.engine.config import refit

ae = get_config('mmpose::body_2d_keypoint/associative_embedding/coco/'
                'ae_hrnet-w32_8xb24-300e_coco-512x512.py')
refit(
    _base_,
    codec=dict(
        type='TagGrouping', input_size=(512, 512), heatmap_size=(128, 128)),
    steps=dict(
        SSAResize=dict(size_factor=64),
        # no mask is learnt, so that none is missed
        GeneratePersonMasks=dict(missing='empty')))
model = dict(
    _delete_=True,
    type='FastEstimator',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=ae.model.backbone,
    head=dict(
        type='HigherResolutionHead',
        in_channels=32,
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        decoder=_base_.codec),
    test_cfg=dict(flip_test=False))
train_dataloader = dict(batch_size=24)
val_evaluator = [_base_.val_evaluator[0]]  # there are no masks
test_evaluator = val_evaluator

# 24 images on each of 8 GPUs
train_cfg = ae.train_cfg
optim_wrapper = ae.optim_wrapper
auto_scale_lr = ae.auto_scale_lr
param_scheduler = ae.param_scheduler
del ae

# HigherHRNet-w48 at 640x640. Batch and learning rate are those of its code:
# 10 images on each of 8 GPUs.
_base_ = ['higherhrnet_w32_640.py']

model = dict(
    backbone=dict(
        extra=dict(
            stage2=dict(num_channels=(48, 96)),
            stage3=dict(num_channels=(48, 96, 192)),
            stage4=dict(num_channels=(48, 96, 192, 384))),
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w48-8ef0771d.pth')),
    head=dict(in_channels=48, deconv_out_channels=(48, )))
train_dataloader = dict(batch_size=10)
auto_scale_lr = dict(base_batch_size=80)

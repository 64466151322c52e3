# ResNet-101 at 640 with twice as fine an attention: stride 8, C4 dilated too.
_base_ = ['ssa_r101_640.py']

codec = dict(_base_.codec, token_stride=8)
changed = dict(encoder=codec, size_factor=8)
train_pipeline = [{k: changed.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: changed.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
model = dict(
    backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    neck=dict(attn_drop=0.),  # memory linear in the tokens on CPUs too
    head=dict(
        deconv_out_channels=(192, ), deconv_kernel_sizes=(4, ), decoder=codec))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

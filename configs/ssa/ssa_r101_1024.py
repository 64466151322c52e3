# ResNet-101 at 1024: one image per GPU, batch 8 on 8 GPUs.
_base_ = ['ssa_r101_640.py']

codec = dict(_base_.codec, input_size=(1024, 1024), heatmap_size=(256, 256))
sizes = dict(input_size=(1024, 1024), heatmap_size=(256, 256), encoder=codec)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
model = dict(
    neck=dict(attn_drop=0.),  # memory linear in the tokens on CPUs too
    head=dict(decoder=codec))
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

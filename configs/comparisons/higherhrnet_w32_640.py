# HigherHRNet-w32 at 640x640. Batch and learning rate are those of its code:
# 12 images on each of 8 GPUs.
_base_ = ['higherhrnet_w32_512.py']

tags = dict(_base_.tags, input_size=(640, 640), heatmap_size=(320, 320))
codec = tags
sizes = dict(input_size=(640, 640), heatmap_size=(320, 320), encoder=tags)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
model = dict(head=dict(decoder=tags))
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=96)

# Fig. 9: ResNet-152 at 512.
_base_ = ['ssa_r152_640.py']

codec = dict(_base_.codec, input_size=(512, 512), heatmap_size=(128, 128))
sizes = dict(input_size=(512, 512), heatmap_size=(128, 128), encoder=codec)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
model = dict(head=dict(decoder=codec))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

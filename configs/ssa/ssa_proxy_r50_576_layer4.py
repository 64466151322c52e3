# A.3, Table 4: the proxy model, its 4th of 5 layers supervised.
_base_ = ['ssa_r50_640.py']

codec = dict(_base_.codec, input_size=(576, 576), heatmap_size=(144, 144))
sizes = dict(input_size=(576, 576), heatmap_size=(144, 144), encoder=codec)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
model = dict(
    neck=dict(embed_dims=160, num_layers=5, feedforward_channels=320,
              supervised_layer=3),
    head=dict(in_channels=160, deconv_out_channels=(160, 160), decoder=codec))
# one fifth of train2017: every fifth image by ascending id
train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline, every_nth_image=5))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

# A.3, Table 4: the proxy model, its 4th of 5 layers supervised.
_base_ = ['ssa_r50_640.py']
from mmpose_ssa.engine.config import refit

refit(_base_, dict(input_size=(576, 576), heatmap_size=(144, 144)))
model = dict(
    neck=dict(embed_dims=160, num_layers=5, feedforward_channels=320,
              supervised_layer=3),
    head=dict(in_channels=160, deconv_out_channels=(160, 160)))
# one fifth of train2017: every fifth image by ascending id
train_dataloader = dict(dataset=dict(every_nth_image=5))

# TransPose-R-A3: three encoder layers, batch 28.
_base_ = ['../_base_/transpose.py']

model = dict(neck=dict(num_layers=3))
train_dataloader = dict(batch_size=28)
auto_scale_lr = dict(base_batch_size=28)

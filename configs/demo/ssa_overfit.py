# Proof on real images that the method learns: the thin model of the demo, at
# 256x256, learns the few images of a folder in COCO's layout by heart.
_base_ = ['ssa_demo.py']

codec = dict(_base_.codec, input_size=(256, 256), heatmap_size=(64, 64))
sizes = dict(input_size=(256, 256), heatmap_size=(64, 64), encoder=codec)
# the whole image, as it is in testing
still = dict(scale_type='long', scale_factor=(1., 1.), rotate_factor=0.,
             max_translate=0.)  # yapf: disable
train_pipeline = [{
    **step,
    **{k: v for k, v in sizes.items() if k in step},
    **(still if step['type'] == 'SSARandomAffine' else {}),
    **(dict(prob=0.) if step['type'] == 'RandomFlip' else {})
} for step in _base_.train_pipeline]  # yapf: disable
val_pipeline = [{
    **step,
    **{k: v for k, v in sizes.items() if k in step},
    **(dict(resize_mode='fit') if step['type'] == 'SSAResize' else {})
} for step in _base_.val_pipeline]  # yapf: disable
model = dict(head=dict(decoder=codec))
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=360, val_interval=120)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=360, end=360),
]

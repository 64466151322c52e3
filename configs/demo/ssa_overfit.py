# Proof on real images that the method learns: the demo's thin model learns
# the few images of a folder in COCO's layout by heart.
_base_ = ['ssa_demo.py']

# larger than the demo's: many of COCO's people are small
codec = dict(_base_.codec, input_size=(192, 192), heatmap_size=(48, 48))
sizes = dict(input_size=(192, 192), heatmap_size=(48, 48), encoder=codec)
# the whole image, as it is in testing
still = dict(scale_type='long', scale_factor=(1., 1.), rotate_factor=0.,
             max_translate=0.)  # yapf: disable
train_pipeline = [{
    **{k: sizes.get(k, v) for k, v in step.items()},
    **(still if step['type'] == 'SSARandomAffine' else {}),
    **(dict(prob=0.) if step['type'] == 'SSARandomFlip' else {})
} for step in _base_.train_pipeline]  # yapf: disable
val_pipeline = [{
    **{k: sizes.get(k, v) for k, v in step.items()},
    **(dict(resize_mode='fit') if step['type'] == 'SSAResize' else {})
} for step in _base_.val_pipeline]  # yapf: disable
model = dict(head=dict(decoder=codec))
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

epochs = 800
train_cfg = dict(max_epochs=epochs, val_interval=200)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=epochs, end=epochs),
]
default_hooks = dict(checkpoint=dict(interval=50))

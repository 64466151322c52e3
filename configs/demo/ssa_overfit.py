# Proof on real images that the method learns: the demo's thin model learns
# the few images of a folder in COCO's layout by heart.
_base_ = ['ssa_demo.py']

# the whole image, as it is in testing
still = dict(scale_type='long', scale_factor=(1., 1.), rotate_factor=0.,
             max_translate=0.)  # yapf: disable
train_pipeline = [{
    **step,
    **(still if step['type'] == 'SSARandomAffine' else {}),
    **(dict(prob=0.) if step['type'] == 'SSARandomFlip' else {})
} for step in _base_.train_pipeline]  # yapf: disable
val_pipeline = [{
    **step,
    **(dict(resize_mode='fit') if step['type'] == 'SSAResize' else {})
} for step in _base_.val_pipeline]  # yapf: disable
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

epochs = 1000
train_cfg = dict(max_epochs=epochs, val_interval=250)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=epochs, end=epochs),
]
default_hooks = dict(checkpoint=dict(interval=50))

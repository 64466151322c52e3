# First on crops of 160 px around people, at the scale of 256x256: 0.047 s per
# image and core instead of 0.12. Tested, as ssa_photos.py, on whole images.
_base_ = ['ssa_photos.py']

crops = dict(
    SSARandomAffine=dict(
        input_size=(160, 160),
        # as large as in testing, within a factor of 1.4
        scale_factor=(0.55, 0.85),
        rotate_factor=5.,
        max_translate=20.,
        around_people=0.8),
    GeneratePersonMasks=dict(heatmap_size=(40, 40)),
    GenerateTarget=dict(
        encoder=dict(
            _base_.codec, input_size=(160, 160), heatmap_size=(40, 40))))
for data in _base_.train_dataloader.dataset.datasets:
    for step in data.pipeline:
        step.update(crops.get(step.type, {}))
del data, step

train_dataloader = dict(batch_size=8)  # steps count more than images

# hours, over several sessions; each stage with a randomness.seed of its own
train_cfg = dict(max_epochs=20, val_interval=5)
optim_wrapper = dict(
    optimizer=dict(lr=4e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.6))))
param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], T_max=20, end=20, eta_min=2e-6)
]

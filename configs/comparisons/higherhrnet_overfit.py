# HigherHRNet learns the few images by heart, beside `ae_overfit.py`.
_base_ = ['ae_overfit.py']

tags = dict(_base_.tags, heatmap_size=(128, 128), num_resolutions=2)
codec = tags
sizes = dict(heatmap_size=(128, 128), encoder=tags)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
model = dict(
    head=dict(
        deconv_out_channels=(32, ),
        deconv_kernel_sizes=(4, ),
        num_blocks=1,
        decoder=tags))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# HigherHRNet-w32 at 512x512: heatmaps at a quarter and a half of the input.
_base_ = ['ae_hrnet_w32_512.py']

tags = dict(_base_.tags, heatmap_size=(256, 256), num_resolutions=2)
codec = tags
sizes = dict(heatmap_size=(256, 256), encoder=tags)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
model = dict(
    head=dict(
        deconv_out_channels=(32, ), deconv_kernel_sizes=(4, ), decoder=tags))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

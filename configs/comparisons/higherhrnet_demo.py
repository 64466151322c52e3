# The thin HigherHRNet on synthetic people, beside `ae_demo.py`.
_base_ = ['ae_demo.py']

tags = dict(_base_.tags, heatmap_size=(80, 80), num_resolutions=2)
codec = tags
sizes = dict(heatmap_size=(80, 80), encoder=tags)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
model = dict(
    head=dict(
        deconv_out_channels=(16, ),
        deconv_kernel_sizes=(4, ),
        num_blocks=2,
        decoder=tags))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

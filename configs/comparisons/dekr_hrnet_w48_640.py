# DEKR with HRNet-w48 at 640x640.
_base_ = ['dekr_hrnet_w32_512.py']
from mmengine.hub import get_config  # noqa: E402

dekr = get_config('mmpose::body_2d_keypoint/dekr/coco/'
                  'dekr_hrnet-w48_8xb10-140e_coco-640x640.py')
poses = dict(_base_.poses, input_size=(640, 640), heatmap_size=(160, 160))
codec = poses
sizes = dict(input_size=(640, 640), heatmap_size=(160, 160), encoder=poses)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
model = dict(
    backbone=dekr.model.backbone,
    head=dict(in_channels=720, num_heatmap_filters=48, decoder=poses))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
del dekr

# CrowdPose: 14 keypoints, no masks, a metric of its own. To be inherited
# beside a config on COCO, see `../dekr_hrnet_w32_512_crowdpose.py`.
people = dict(
    # MMPose's file
    metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
    data_root='data/crowdpose/',
    data_prefix=dict(img='images/'))
crowdpose = dict(
    train=dict(people, ann_file='annotations/mmpose_crowdpose_trainval.json'),
    test=dict(people, ann_file='annotations/mmpose_crowdpose_test.json'),
    metric=dict(
        iou_type='keypoints_crowd', use_area=False, prefix='crowdpose'),
    hooks=dict(checkpoint=dict(save_best='crowdpose/AP')),
    # of the grouping: neck, head, shoulders, hips, then the limbs outward
    order=(13, 12, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11))
del people

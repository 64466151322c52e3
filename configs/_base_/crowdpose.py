# CrowdPose: 14 keypoints, no masks, a metric of its own. To be inherited
# beside a config on COCO, see `../ssa/ssa_r101_640_naive_crowdpose.py`.
people = dict(data_root='data/crowdpose/', data_prefix=dict(img='images/'))
crowdpose = dict(
    # MMPose's file
    metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
    train=dict(people, ann_file='annotations/mmpose_crowdpose_trainval.json'),
    test=dict(people, ann_file='annotations/mmpose_crowdpose_test.json'),
    metric=dict(
        iou_type='keypoints_crowd', use_area=False, prefix='crowdpose'))
del people

# Order and graph of the grouping. Chosen here, since neither the paper nor
# associative embedding gives them: neck, head, shoulders, hips, then the limbs
# outward; and the graph, which connects what A.2 connects
keypoint_order = (13, 12, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11)
keypoint_edges = ((12, 13), (13, 0), (13, 1), (0, 1), (0, 2), (2, 4), (1, 3),
                  (3, 5), (0, 6), (1, 7), (6, 7), (6, 8), (8, 10), (7, 9),
                  (9, 11))

# OCHuman, which is for testing only: weights trained on COCO, on its test
# split. Keypoints, their order and sigmas are COCO's. Not in the paper.
_base_ = ['ssa_r101_640.py']

test_dataloader = dict(
    dataset=dict(
        data_root='data/ochuman/',
        # MMPose's file
        metainfo=dict(from_file='configs/_base_/datasets/ochuman.py'),
        ann_file='annotations/ochuman_coco_format_test_range_0.00_1.00.json',
        data_prefix=dict(img='images/')))
test_evaluator = [
    dict(type='CheckedCocoMetric', score_mode='bbox', nms_mode='none',
         prefix='ochuman'),
    dict(type='PersonMaskMetric'),
]

# Section 3.1: a second look at each person by TransPose-R-A4, Refinement#2.
# To be inherited beside a config of `ssa/`, see `ssa/ssa_r101_640_refine2.py`.
refined_model = dict(
    refiner=dict(
        config='{{ fileDirname }}/../transpose/transpose_r_a4_coco-256x192.py',
        checkpoint='work_dirs/transpose_r_a4_coco-256x192/epoch_230.pth'),
    test_cfg=dict(fill_missing=True, rescore=False))

# the first and the last step of testing, which carry the original pixels
load_original = dict(type='LoadCheckedImage', keep_original=True)
pack_original = dict(
    type='PackPoseInputs',
    meta_keys=('id', 'img_id', 'img_path', 'crowd_index', 'ori_shape',
               'img_shape', 'input_size', 'input_center', 'input_scale',
               'flip', 'flip_direction', 'flip_indices', 'raw_ann_info',
               'skeleton_links', 'ori_img'))

# Section 3.1: a second look at each person by TransPose-R-A4, Refinement#2.
# To be inherited beside a config of `ssa/`, see `ssa/ssa_r101_640_refine2.py`:
# the first step of its testing must keep the original pixels.
refined_model = dict(
    refiner=dict(
        config='{{ fileDirname }}/../transpose/transpose_r_a4_coco-256x192.py',
        checkpoint='work_dirs/transpose_r_a4_coco-256x192/epoch_230.pth'),
    test_cfg=dict(fill_missing=True, rescore=False))

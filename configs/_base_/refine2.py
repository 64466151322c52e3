# Section 3.1: a second look at each person by TransPose-R-A4. To be inherited
# beside a config of `ssa/`, see `../ssa/ssa_r101_640_refine2.py`.
refiner = dict(
    config='{{ fileDirname }}/../transpose/transpose_r_a4_coco-256x192.py',
    checkpoint='work_dirs/transpose_r_a4_coco-256x192/epoch_230.pth')

# The demo's persons, refined by `transpose_demo.py` (#1: fill_missing=False).
_base_ = ['ssa_demo.py']
from mmpose_ssa.engine.config import add_refiner

add_refiner(
    _base_,
    dict(
        config='{{ fileDirname }}/transpose_demo.py',
        checkpoint='work_dirs/transpose_demo_2/epoch_1.pth'),
    fill_missing=True)

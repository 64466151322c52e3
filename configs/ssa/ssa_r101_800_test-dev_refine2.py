# Table 2: a refined results file for the test-dev server.
_base_ = ['ssa_r101_800_test-dev.py', '../_base_/refine2.py']
from mmpose_ssa.engine.config import add_refiner

add_refiner(_base_, _base_.refiner, fill_missing=True, rescore=False)
test_evaluator = [
    dict(_base_.test_evaluator[0],
         outfile_prefix='work_dirs/ssa_r101_800_test-dev_refine2'),
]

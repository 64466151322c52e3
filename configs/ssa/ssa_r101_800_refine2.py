# Table 1, Refinement#2: tests the weights of ssa_r101_800.
_base_ = ['ssa_r101_800.py', '../_base_/refine2.py']
from mmpose_ssa.engine.config import add_refiner

add_refiner(_base_, _base_.refiner, fill_missing=True, rescore=False)

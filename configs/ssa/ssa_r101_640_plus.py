# Beyond the paper: balanced losses and the better decoder. Not trained yet.
_base_ = ['ssa_r101_640.py', '../_base_/plus.py']
from mmpose_ssa.engine.config import refit

refit(_base_, _base_.better_decoder)
model = _base_.balanced

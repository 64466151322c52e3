# The demo's model with balanced losses and the better decoder.
_base_ = ['ssa_demo.py', '../_base_/plus.py']
from mmpose_ssa.engine.config import refit

refit(_base_, _base_.better_decoder)
model = _base_.balanced
custom_hooks = [*_base_.custom_hooks, dict(type='RampMaskLoss', end=0.5)]

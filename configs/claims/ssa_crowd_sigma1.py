# Gaussians of 1 cells instead of 1.5.
_base_ = ['ssa_crowd.py']
from mmpose_ssa.engine.config import refit

refit(_base_, codec=dict(sigma=1.))

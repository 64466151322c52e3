# Refinement#1: missing keypoints stay missing.
_base_ = ['ssa_r101_800_refine2.py']

model = dict(test_cfg=dict(fill_missing=False))

# Refinement#1: missing keypoints stay missing.
_base_ = ['ssa_r152_640_refine2.py']

model = dict(test_cfg=dict(fill_missing=False))

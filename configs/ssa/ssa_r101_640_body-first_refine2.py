# Table 6: the body-first grouping, refined; the weights of ssa_r101_640.
_base_ = ['ssa_r101_640_refine2.py']

model = dict(head=dict(decoder=dict(grouping='body_first')))

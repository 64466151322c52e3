# Table 6: the body-first grouping; the same weights as part-first.
_base_ = ['ssa_r101_640.py']

model = dict(head=dict(decoder=dict(grouping='body_first')))

# An attention of its own for the masks, beside the layer's (Table 5).
_base_ = ['ssa_crowd.py']

model = dict(neck=dict(association='independent'))

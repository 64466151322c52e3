# A.4, Table 5: an attention of its own is supervised and associates.
_base_ = ['ssa_r152_640.py']

model = dict(neck=dict(association='independent'))

# Layer 3, the last of 4, supervised instead of layer 2 (Table 4).
_base_ = ['ssa_crowd.py']

model = dict(neck=dict(supervised_layer=3))

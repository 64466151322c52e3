# A.3, Table 4: layer 1 of 5 supervised, refined.
_base_ = ['ssa_proxy_r50_576_layer4_refine2.py']

model = dict(neck=dict(supervised_layer=0))

# A.3, Table 4, its last column. The paper does not say which refinement that
# is; #2 is taken, which Table 1 has as the better one.
_base_ = ['ssa_proxy_r50_576_layer4.py', '../_base_/refine2.py']
from mmpose_ssa.engine.config import add_refiner

add_refiner(_base_, _base_.refiner, fill_missing=True, rescore=False)

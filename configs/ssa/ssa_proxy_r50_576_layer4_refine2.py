# A.3, Table 4, its last column. The paper does not say which refinement that
# is; #2 is taken, which Table 1 has as the better one.
_base_ = ['ssa_proxy_r50_576_layer4.py', '../_base_/refine2.py']

model = _base_.refined_model
test_dataloader = dict(
    dataset=dict(pipeline=[
        dict(_base_.val_pipeline[0], keep_original=True),
        *_base_.val_pipeline[1:]
    ]))

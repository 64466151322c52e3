# Table 1, Refinement#2: tests the weights of ssa_r152_640.
_base_ = ['ssa_r152_640.py', '../_base_/refine2.py']

model = _base_.refined_model
test_dataloader = dict(
    dataset=dict(pipeline=[
        dict(_base_.val_pipeline[0], keep_original=True),
        *_base_.val_pipeline[1:]
    ]))

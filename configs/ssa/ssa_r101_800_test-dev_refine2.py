# Table 2: a refined results file for the test-dev server.
_base_ = ['ssa_r101_800_test-dev.py', '../_base_/refine2.py']

model = _base_.refined_model
test_dataloader = dict(
    dataset=dict(pipeline=[
        dict(_base_.val_pipeline[0], keep_original=True),
        *_base_.val_pipeline[1:]
    ]))
test_evaluator = [
    dict(_base_.test_evaluator[0],
         outfile_prefix='work_dirs/ssa_r101_800_test-dev_refine2'),
]

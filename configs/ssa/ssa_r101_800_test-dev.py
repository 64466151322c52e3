# Table 2: a results file for the test-dev server, no evaluation here.
_base_ = ['ssa_r101_800.py']

test_dataloader = dict(
    dataset=dict(
        ann_file='annotations/image_info_test-dev2017.json',
        data_prefix=dict(img='test2017/')))
test_evaluator = [
    dict(type='CheckedCocoMetric', score_mode='bbox', nms_mode='none',
         format_only=True, outfile_prefix='work_dirs/ssa_r101_800_test-dev'),
]

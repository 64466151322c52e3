# The demo's persons, refined by `transpose_demo.py` (#1: fill_missing=False).
_base_ = ['ssa_demo.py']

model = dict(
    refiner=dict(
        config='{{ fileDirname }}/transpose_demo.py',
        checkpoint='work_dirs/transpose_demo_2/epoch_1.pth'),
    test_cfg=dict(fill_missing=True))
test_dataloader = dict(
    dataset=dict(pipeline=[
        dict(_base_.val_pipeline[0], keep_original=True),
        *_base_.val_pipeline[1:]
    ]))

# Associative embedding with a thin HRNet on synthetic people, on the data and
# for the steps of `demo/ssa_demo.py`.
_base_ = ['../demo/ssa_demo.py', '_base_/small_hrnet.py']
from mmpose_ssa.engine.config import refit

refit(
    _base_,
    codec=dict(
        type='TagGrouping',
        input_size=(160, 160),
        heatmap_size=(40, 40),
        sigma=5 / 3),
    steps=dict(SSAResize=dict(size_factor=32)))
model = dict(
    _base_.small_hrnet,
    _delete_=True,
    data_preprocessor=_base_.model.data_preprocessor,
    head=dict(_base_.small_hrnet.head, decoder=_base_.codec))
val_evaluator = [_base_.val_evaluator[0]]  # there are no masks
test_evaluator = val_evaluator

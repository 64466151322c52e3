# Associative embedding with a thin HRNet on synthetic people, on the data and
# for the steps of `demo/ssa_demo.py`.
_base_ = ['../demo/ssa_demo.py', '_base_/small_hrnet.py']

tags = dict(
    type='TagGrouping',
    input_size=(160, 160),
    heatmap_size=(40, 40),
    sigma=5 / 3)
codec = dict(tags, _delete_=True)
model = dict(
    _base_.small_hrnet,
    _delete_=True,
    data_preprocessor=_base_.model.data_preprocessor,
    head=dict(_base_.small_hrnet.head, decoder=tags))
sizes = dict(size_factor=32, encoder=tags)
train_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                  for step in _base_.train_pipeline]
val_pipeline = [{k: sizes.get(k, v) for k, v in step.items()}
                for step in _base_.val_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [_base_.val_evaluator[0]]  # there are no masks
test_evaluator = val_evaluator

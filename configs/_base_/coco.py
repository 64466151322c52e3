# Persons of COCO for training and testing, and the run-time of both: what the
# models of `_base_/` share. They add data_mode, pipelines and batch sizes.
_base_ = ['mmpose::_base_/default_runtime.py']
custom_imports = dict(
    imports=['mmpose_ssa.register'], allow_failed_imports=False)

# data
dataset_type = 'CheckedCocoDataset'
data_root = 'data/coco/'
train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/')))
val_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True))
test_dataloader = val_dataloader

# run-time: a resumed run continues exactly
val_cfg = dict()
test_cfg = dict()
randomness = dict(seed=0)
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='RepeatableEpochs'),
    dict(type='StrictTesting'),  # no half random models
    dict(type='StrictResuming'),
    dict(type='StopAtNonFiniteLoss'),
    dict(type='OneRunPerFolder'),
]
default_hooks = dict(
    checkpoint=dict(
        type='SafeCheckpointHook',
        save_best='coco/AP',
        rule='greater',
        max_keep_ckpts=3))
visualizer = dict(type='SSAVisualizer')  # masks, too

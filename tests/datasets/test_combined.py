"""Data sets of different keypoints, combined as MMPose documents it."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from factories import TINY, person, write_annotations, write_images
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.registry import DATASETS, MODELS

from mmpose_ssa.engine.reproducibility import RepeatableEpochs

NAMES = ('left_shoulder', 'left_hip', 'left_knee')
THREE = dict(
    dataset_name='three', skeleton_info={}, joint_weights=[1.] * 3,
    sigmas=[.079, .107, .087], keypoint_info={
        k: dict(name=name, id=k, color=[k, 0, 0], type='', swap='')
        for k, name in enumerate(NAMES)})
CONVERT = dict(type='KeypointConverter', num_keypoints=17,
               mapping=[(0, 5), (1, 11), (2, 13)])


@pytest.fixture
def parts(tmp_path, mmpose):
    """Two data sets of an image each, of 17 and of 3 keypoints."""
    datasets = []
    for name, kinds, more in (('coco', 17, dict(pipeline=[])),
                              ('three', 3, dict(metainfo=THREE,
                                                pipeline=[CONVERT]))):
        folder = tmp_path / name
        folder.mkdir()
        write_images(folder)
        points = [(32, 32)] * kinds
        write_annotations(folder, [person(points, box=(8, 8, 56, 56),
                                          kinds=kinds)])
        datasets.append(dict(
            type='CheckedCocoDataset', data_root=str(folder),
            ann_file='persons.json', data_prefix=dict(img=''),
            data_mode='bottomup', **more))
    return datasets


def combined(parts, steps, **options):
    return DATASETS.build(dict(
        type='CombinedDataset', datasets=parts, pipeline=steps,
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        **options))


def start_epoch(dataset, epoch=1):
    hook = RepeatableEpochs()
    hook.seed = 0
    hook.before_train_epoch(SimpleNamespace(
        epoch=epoch, train_dataloader=SimpleNamespace(dataset=dataset)))


def steps_of(cfg):
    """The training pipeline, its first step and what it draws at random."""
    steps = [dict(type='SeedAugmentation'), *cfg.train_pipeline]
    steps.insert(3, dict(type='SSARandomFlip'))
    for option in ('scale_factor', 'rotate_factor', 'max_translate'):
        steps[2].pop(option)
    return steps


def test_types_that_a_part_lacks_do_not_train(parts):
    cfg = Config.fromfile(TINY)
    dataset = combined(parts, cfg.train_pipeline)
    samples = [dataset[i] for i in range(2)]
    fields = [sample['data_samples'].gt_fields for sample in samples]
    assert fields[0].heatmap_mask.shape == (1, 16, 16)
    known = fields[1].heatmap_mask.any(-1).any(-1)
    assert known.nonzero().ravel().tolist() == [5, 11, 13]
    assert fields[1].heatmaps.amax((1, 2)).nonzero().ravel().tolist() == [
        5, 11, 13]
    model = MODELS.build(cfg.model).eval()
    both = loss_of(model, samples)
    apart = [loss_of(model, [sample]) for sample in samples]
    assert both['loss_kpt'].item() == pytest.approx(
        np.mean([losses['loss_kpt'].item() for losses in apart]), rel=1e-5)
    # Of the second, 3 of 17 types count, as if the others were not there
    inputs = model.data_preprocessor(pseudo_collate(samples[1:]))['inputs']
    output = model.head(model.extract_feat(inputs))[0].detach()
    error = (output - fields[1].heatmaps).square() * known[:, None, None]
    assert apart[1]['loss_kpt'].item() == pytest.approx(
        error.mean().item(), rel=1e-5)
    assert apart[1]['loss_mask'].item() > 0


def loss_of(model, samples):
    data = model.data_preprocessor(pseudo_collate(samples), training=True)
    return model(**data, mode='loss')


def test_each_sample_repeats_with_its_epoch(parts):
    dataset = combined(parts, steps_of(Config.fromfile(TINY)))
    drawn = []
    for epoch in (1, 2, 1):
        start_epoch(dataset, epoch)
        drawn.append(torch.stack([
            dataset[i]['data_samples'].gt_fields.heatmaps for i in range(2)]))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_what_would_not_repeat_is_refused(parts):
    steps = steps_of(Config.fromfile(TINY))
    with pytest.raises(ValueError, match='CombinedDataset begins with Load'):
        start_epoch(combined(parts, steps[1:]))
    with pytest.raises(ValueError, match='sample_ratio_factor'):
        start_epoch(combined(parts, steps, sample_ratio_factor=[1., 2.]))
    parts[0]['pipeline'] = [dict(type='LoadCheckedImage')]
    with pytest.raises(ValueError, match='CheckedCocoDataset begins with Lo'):
        start_epoch(combined(parts, steps))


def test_a_flip_of_other_keypoints_is_refused(parts):
    """Whether the sample would be flipped or not."""
    steps = steps_of(Config.fromfile(TINY))
    alone = DATASETS.build(dict(
        parts[1], pipeline=[steps[0], CONVERT, *steps[1:]]))
    for _ in range(4):
        with pytest.raises(ValueError, match='3 flip_indices for 17 keypoints'
                           '.*CombinedDataset'):
            alone[0]
    before = DATASETS.build(dict(
        parts[1], pipeline=[*steps[:4], CONVERT, *steps[4:]]))
    fields = before[0]['data_samples'].gt_fields
    assert fields.heatmaps.shape == (17, 16, 16)
    assert fields.heatmap_mask.any(-1).any(-1).nonzero().ravel().tolist() == [
        5, 11, 13]

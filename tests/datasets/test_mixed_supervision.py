"""People with masks, with keypoints alone, and crowds in one batch.

Each loss takes whom it can, end to end from the annotation file. For the
losses themselves see ``models/test_losses.py``.
"""
import numpy as np
import pytest
import torch
from factories import TINY, person, without, write_annotations, write_images
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.registry import DATASETS, MODELS

from mmpose_ssa.engine.config import refit

pytestmark = pytest.mark.usefixtures('mmpose')

LEFT, RIGHT = (4, 8, 28, 56), (36, 8, 60, 56)  # x0, y0, x1, y1


def standing(box, kinds=17):
    """Points of all types down the middle of a box."""
    x = (box[0] + box[2]) / 2
    return [(x, y) for y in np.linspace(box[1] + 4, box[3] - 4, kinds)]


def masked(number, image, box=LEFT):
    return person(standing(box), number, image, box)


def unmasked(number, image, box=RIGHT):
    return without(masked(number, image, box), 'segmentation')


def crowd(number, image):
    return person({}, number, image, RIGHT, iscrowd=1)


def labelled_crowd(number, image):
    """One point of each type says nothing about who is who."""
    return dict(unmasked(number, image), iscrowd=1)


def nobody(number, image, box=RIGHT):
    """Neither a mask nor keypoints."""
    return without(person({}, number, image, box), 'segmentation')


@pytest.fixture
def cfg():
    cfg = Config.fromfile(TINY)
    refit(cfg, codec=dict(pair_targets=True),
          steps=dict(GeneratePersonMasks=dict(missing='empty')))
    cfg.model.head.mask_loss.loss_weight = 1.
    cfg.model.head.pair_loss = dict(type='AttentionPairLoss', loss_weight=1.)
    return cfg


def batch_of(cfg, folder, *people):
    """All images through the training pipeline."""
    folder.mkdir()
    sizes = {one['image_id']: (64, 64) for one in people}
    write_images(folder, sizes)
    write_annotations(folder, people, sizes)
    data = DATASETS.build(dict(
        cfg.train_dataloader.dataset, data_root=str(folder),
        ann_file='persons.json', data_prefix=dict(img='')))
    return pseudo_collate([data[i] for i in range(len(data))])


def build(cfg):
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval()  # norms keep images apart


def losses_of(model, batch):
    return model(**model.data_preprocessor(batch, True), mode='loss')


def test_each_loss_takes_whom_it_can(cfg, tmp_path):
    """A mask, keypoints alone beside a crowd, both beside nobody."""
    model = build(cfg)
    losses = losses_of(model, batch_of(
        cfg, tmp_path / 'all', masked(1, 1), unmasked(2, 2, LEFT),
        crowd(3, 2), masked(4, 3), nobody(5, 3), crowd(6, 4),
        nobody(7, 5)))
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
    by_masks = losses_of(model, batch_of(
        cfg, tmp_path / 'masks', masked(1, 1), masked(4, 3)))
    by_pairs = losses_of(model, batch_of(
        cfg, tmp_path / 'pairs', unmasked(2, 2, LEFT), crowd(3, 2)))
    assert losses['loss_mask'] > 0 and losses['loss_pair'] > 0
    for name, part in (('loss_mask', by_masks), ('loss_pair', by_pairs)):
        torch.testing.assert_close(losses[name], part[name])
    assert by_masks['loss_pair'] == by_pairs['loss_mask'] == 0


@pytest.mark.parametrize('people', [
    [nobody(2, 2)], [crowd(2, 2)], [labelled_crowd(2, 2)],
    [nobody(2, 2), crowd(3, 2)]])
def test_nobody_for_either_loss(cfg, tmp_path, people):
    """Both are 0, and every parameter keeps a gradient."""
    model = build(cfg)
    # a data set without anybody to learn from is refused
    batch = batch_of(cfg, tmp_path / 'data', masked(1, 1), *people)
    losses = losses_of(model, {name: values[1:]
                               for name, values in batch.items()})
    assert losses['loss_mask'] == losses['loss_pair'] == 0
    assert losses['loss_kpt'] > 0 and 'mask_error' not in losses
    model.parse_losses(losses)[0].backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_lone_person_of_one_keypoint_avoids_what_is_far(cfg, tmp_path):
    """By hand: its own token against those outside its padded box."""
    point = person([(16, 32)], box=LEFT)
    batch = batch_of(cfg, tmp_path / 'data', without(point, 'segmentation'))
    target, = batch['data_samples'][0].gt_instance_labels.pair_targets
    # the box from x 4 to 28 padded to 1 to 31, from y 8 to 56 to 2 to 62;
    # centres of tokens at 3.5, 11.5, ...
    expected = torch.full((8, 8), -1, dtype=torch.int8)
    expected[:, 4:] = 0
    expected[4, 2] = 1
    assert torch.equal(target, expected)
    assert losses_of(build(cfg), batch)['loss_pair'] > 0


@pytest.mark.parametrize('has_mask', [True, False])
def test_one_type_of_keypoints(cfg, tmp_path, has_mask):
    """K = 1: no limbs and no graph; trained and tested."""
    cfg.train_dataloader.dataset.metainfo = dict(
        dataset_name='one', joint_weights=[1.], sigmas=[.05],
        skeleton_info={}, keypoint_info={
            0: dict(name='top', id=0, color=[0, 0, 0], type='', swap='')})
    refit(cfg, codec=dict(num_keypoints=1))
    cfg.model.head.out_channels = 1
    one = person([(16, 16)], box=LEFT, kinds=1)
    batch = batch_of(cfg, tmp_path / 'data',
                     one if has_mask else without(one, 'segmentation'))
    model = build(cfg)
    losses = losses_of(model, batch)
    assert (losses['loss_mask'] > 0) == has_mask
    assert (losses['loss_pair'] > 0) != has_mask
    model.parse_losses(losses)[0].backward()
    heatmaps = torch.zeros(1, 16, 16)
    heatmaps[0, 4, 4] = heatmaps[0, 12, 12] = 1
    feats = model.extract_feat(torch.zeros(1, 3, 64, 64))
    found = model.head.decoder.decode(heatmaps, feats[0])
    assert found.keypoints.shape == (len(found.scores), 1, 2)
    assert [16, 16] in found.keypoints.reshape(-1, 2).round().tolist()

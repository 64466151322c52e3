"""Bad input end to end: from the annotation file to losses and predictions.

For faulty files and images see ``test_coco.py`` and ``test_loading.py``, for
faulty segmentations ``test_transforms.py``.
"""

import factories
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from factories import TINY, write_annotations, write_images
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS, TRANSFORMS

from mmpose_ssa.evaluation.mask_metric import PersonMaskMetric

SIDE = 64
BOX = (16, 8, 48, 56)  # x0, y0, x1, y1 on edges of 4x4 cells


@pytest.fixture
def cfg():
    init_default_scope('mmpose')
    return Config.fromfile(TINY)


def build(cfg, **neck):
    torch.manual_seed(0)
    cfg.model.neck.update(neck)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def person(number=1, image_id=1, points=((0, (32, 32, 2)), ), box=BOX,
           **extra):
    """Keypoints by type, and a rectangular mask."""
    return factories.person(dict(points), number, image_id, box, **extra)


def write(folder, annotations, images=1):
    """A data set of black images of the input's size."""
    sizes = {i: (SIDE, SIDE) for i in range(1, images + 1)}
    write_images(folder, sizes)
    write_annotations(folder, annotations, sizes)


def dataset(cfg, folder, loader='train_dataloader'):
    options = dict(cfg[loader].dataset, data_root=str(folder),
                   ann_file='persons.json', data_prefix=dict(img=''))
    return DATASETS.build(options)


def batch_of(cfg, folder, annotations, images=1):
    """All images of a data set through the training pipeline."""
    write(folder, annotations, images)
    samples = dataset(cfg, folder)
    return pseudo_collate([samples[i] for i in range(len(samples))])


def losses_of(model, batch):
    data = model.data_preprocessor(batch, training=True)
    return model(**data, mode='loss')


# --- annotations ------------------------------------------------------------


def as_rle(compressed):
    x0, y0, x1, y1 = BOX
    mask = np.zeros((SIDE, SIDE), np.uint8, order='F')
    mask[y0:y1, x0:x1] = 1
    if compressed:
        rle = coco_mask.encode(mask)
        return dict(size=[SIDE, SIDE], counts=rle['counts'].decode())
    runs = np.flatnonzero(np.diff(mask.ravel(order='F'), prepend=0))
    return dict(size=[SIDE, SIDE],
                counts=np.diff([0, *runs, SIDE**2]).tolist())


def test_polygons_and_both_kinds_of_rle_train_alike(cfg, tmp_path):
    model, losses, masks = build(cfg).eval(), [], []
    forms = dict(polygon=person()['segmentation'], compressed=as_rle(True),
                 uncompressed=as_rle(False))
    for form, segmentation in forms.items():
        (tmp_path / form).mkdir()
        batch = batch_of(cfg, tmp_path / form,
                         [person(segmentation=segmentation)])
        masks.append(batch['data_samples'][0].gt_fields.instance_masks)
        losses.append(losses_of(model, batch)['loss_mask'].item())
    expected = torch.zeros(1, 16, 16, dtype=torch.uint8)
    expected[:, 2:14, 4:12] = 1
    for mask in masks:
        assert torch.equal(mask, expected)
    assert losses[0] > 0 and losses == [losses[0]] * 3


def test_keypoints_outside_the_image_count_for_nothing(cfg, tmp_path):
    inside = {0: (32, 32, 2), 1: (63, 63, 1)}
    outside = {5: (-40, 30, 2), 6: (30, 200, 1), 7: (64, 10, 2)}
    model, losses = build(cfg).eval(), []
    for name, points in dict(clean=inside, bad=inside | outside).items():
        (tmp_path / name).mkdir()
        batch = batch_of(cfg, tmp_path / name, [person(points=points)])
        losses.append(losses_of(model, batch)['loss_mask'])
    sample = batch['data_samples'][0]
    weights = sample.gt_instance_labels.keypoint_weights[0]
    assert weights.nonzero().ravel().tolist() == [0, 1]
    tokens = sample.gt_instance_labels.keypoint_tokens[0]
    assert tokens[:2].tolist() == [4 * 8 + 4, 7 * 8 + 7]
    heatmaps = sample.gt_fields.heatmaps
    # (63, 63) rounds to cell (16, 16), diagonally off the last, at sigma 2
    assert heatmaps[[0, 1]].amax((1, 2)).tolist() == pytest.approx(
        [1, np.exp(-2 / (2 * 2**2))])
    assert not heatmaps[[5, 6]].any()  # farther away than a Gaussian reaches
    assert torch.equal(*losses)


def test_a_codec_without_persons_draws_nothing(cfg):
    targets = KEYPOINT_CODECS.build(cfg.codec).encode(
        np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32),
        np.zeros((0, 16, 16), np.uint8))
    assert targets['heatmaps'].shape == (17, 16, 16)
    assert not targets['heatmaps'].any()
    assert targets['keypoint_tokens'].shape == (0, 17)
    assert targets['instance_masks'].shape == (0, 16, 16)


UNSUPERVISED = [
    person(2, 2, iscrowd=1, segmentation=as_rle(False)),
    person(3, 3, points={}),
    person(4, 4, points={0: (-9, 20, 2)}),
    person(5, 5, points={0: (32, 32, 2)}, box=(70, 70, 90, 90)),
]


@pytest.mark.parametrize('association, beta', [
    ('supervised', .01), ('independent', .01), ('naive', .01), ('naive', 0.)])
def test_a_batch_without_a_supervised_person(cfg, tmp_path, association, beta):
    cfg.model.head.mask_loss.loss_weight = beta
    model = build(cfg, association=association)
    batch = batch_of(cfg, tmp_path, [person(), *UNSUPERVISED], images=6)
    assert len(batch['inputs']) == 5  # MMPose leaves out images of nobody
    others = {name: values[1:] for name, values in batch.items()}
    losses = losses_of(model, others)
    assert set(losses) == {'loss_kpt', *(['loss_mask'] if beta else [])}
    assert not beta or losses['loss_mask'].item() == 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # Beside one who can supervise, those who cannot do not count
    model.eval()
    first = {name: values[:1] for name, values in batch.items()}
    with_others = losses_of(model, batch)['mask_error'].item()
    assert with_others > 0
    assert with_others == pytest.approx(
        losses_of(model, first)['mask_error'].item(), rel=1e-5)


# --- predictions ------------------------------------------------------------


def test_an_image_without_persons_is_tested_and_scored(cfg, tmp_path):
    write(tmp_path, [person()], images=2)
    model = build(cfg).eval()
    torch.nn.init.zeros_(model.head.final_layer.weight)
    samples = dataset(cfg, tmp_path, 'val_dataloader')
    assert [samples.get_data_info(i)['id'] for i in range(2)] == [[1], []]
    results = [model.test_step(pseudo_collate([samples[i]]))[0]
               for i in range(2)]
    for result in results:
        found = result.pred_instances
        assert found.keypoints.shape == (0, 17, 2)
        assert found.keypoint_scores.shape == (0, 17)
        assert found.bboxes.shape == (0, 4) and found.masks == []
    for metric, name in ((CocoMetric(score_mode='bbox', nms_mode='none'),
                          'coco/AP'), (PersonMaskMetric(), 'mask/AP')):
        metric.dataset_meta = samples.metainfo
        metric.process({}, [result.to_dict() for result in results])
        assert metric.evaluate(2)[name] == 0


# --- configs ----------------------------------------------------------------


@pytest.mark.parametrize('options, words', [
    (dict(input_size=(68, 64), heatmap_size=(17, 16)),
     r'input_size \(68, 64\) must be a multiple of the token stride 8'),
    (dict(heatmap_size=(20, 16)), r'heatmap_size \(20, 16\) must be one w'),
    (dict(order=[0, 1, 99]), r'order \[0, 1, 99\] must name each of the 17'),
    (dict(edges=[(0, 17)]), r'edge \(0, 17\) names a keypoint that does not'),
    (dict(edges=[(0, -1)]), r'edge \(0, -1\) names a keypoint that does not'),
    (dict(edges=[(0, 1)]), 'does not reach keypoints .* from 0'),
    (dict(num_keypoints=14), '14 keypoints need their own'),
])
def test_the_codec_refuses(cfg, options, words):
    with pytest.raises(ValueError, match=words):
        KEYPOINT_CODECS.build(dict(cfg.codec, **options))


@pytest.mark.parametrize('layer', [3, -1])
def test_the_neck_refuses_a_layer_that_does_not_exist(cfg, layer):
    with pytest.raises(ValueError, match=f'supervised_layer {layer} does not '
                       'exist: layers are numbered from 0 to 2'):
        build(cfg, supervised_layer=layer)


def test_a_test_size_that_is_no_multiple_of_the_stride(cfg):
    step = dict(cfg.val_pipeline[1], input_size=(60, 60))
    image = np.zeros((60, 90, 3), np.uint8)
    results = dict(img=image, img_shape=(60, 90), ori_shape=(60, 90))
    # 'expand' pads to the next multiple, 'fit' cannot
    out = TRANSFORMS.build(step)(dict(results))
    assert out['img'].shape == (64, 96, 3)
    with pytest.raises(ValueError, match=r'size_factor\(8\).* \(60, 60\)'):
        TRANSFORMS.build(dict(step, resize_mode='fit'))(dict(results))


def test_persons_with_another_number_of_keypoints(cfg, tmp_path):
    short = person(keypoints=[9, 9, 2] * 14)
    cfg.train_dataloader.dataset.metainfo = dict(
        from_file='configs/_base_/datasets/crowdpose.py')
    with pytest.raises(ValueError, match='14 keypoints per person, but the '
                       'codec has num_keypoints=17'):
        batch_of(cfg, tmp_path, [short])

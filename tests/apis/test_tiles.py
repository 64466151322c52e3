"""People of a large image, found in tiles."""
import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import tiles as command
import torch
from factories import CONFIGS, ROOT, refusal, save_weights
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.registry import MODELS

from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.apis.tiles import joined

pytestmark = pytest.mark.usefixtures('mmpose')


def instances(shift, scores, filled=(False, False), hidden=(-1, -1),
              columns=(0, 4)):
    """One person on a tile of 6 x 4 pixels, with two keypoints."""
    mask = np.zeros((4, 6), np.uint8, order='F')
    mask[:, columns[0]:columns[1]] = 1
    rle = coco_mask.encode(mask)
    return InstanceData(
        keypoints=np.array([[[3. + shift, 1], [4 + shift, 2]]]),
        keypoint_scores=np.array([scores], float),
        keypoints_filled=np.array([filled]),
        keypoints_hidden_by=np.array([hidden]), masks=[rle])


def test_a_joined_person_has_the_best_of_both():
    windows = [(0, 0, 6, 4), (4, 0, 10, 4)]
    one = instances(2, (.9, 0), columns=(2, 6))
    other = instances(-2, (.8, .5), columns=(0, 3))
    found = joined([one, other], windows, 10, 4)
    # the second tile begins 4 pixels to the right
    assert found.keypoints.tolist() == [[[5, 1], [6, 2]]]
    assert found.keypoint_scores.tolist() == [[.9, .5]]
    assert found.bbox_scores.tolist() == pytest.approx([.7])
    assert found.bboxes.tolist() == [[5, 1, 6, 2]]
    expected = np.zeros((4, 10), int)
    expected[:, 2:7] = 1
    assert coco_mask.decode(found.masks[0]).tolist() == expected.tolist()


def test_a_found_keypoint_goes_before_a_filled_one():
    windows = [(0, 0, 6, 4), (4, 0, 10, 4)]
    one = instances(2, (.9, .9), filled=(False, True), columns=(2, 6))
    other = instances(-2, (.8, .3), columns=(0, 3))
    found = joined([one, other], windows, 10, 4)
    assert found.keypoint_scores.tolist() == [[.9, .3]]
    assert found.keypoints_filled.tolist() == [[False, False]]


def test_who_hides_is_counted_among_all():
    windows = [(0, 0, 6, 4), (20, 0, 26, 4)]
    weak = instances(0, (.2, .2))
    strong = InstanceData.cat([
        instances(0, (.9, .9), hidden=(1, -1)),
        instances(0, (.5, .5), columns=(5, 6))])
    found = joined([weak, strong], windows, 30, 4)
    assert found.bbox_scores.tolist() == pytest.approx([.9, .5, .2])
    assert found.keypoints_hidden_by.tolist() == [[1, -1], [-1, -1], [-1, -1]]


def test_nobody_in_any_tile():
    nobody = instances(0, (.5, .5))[np.array([False])]
    found = joined([nobody, nobody], [(0, 0, 6, 4), (4, 0, 10, 4)], 10, 4)
    assert found.keypoints.shape == (0, 2, 2) and found.masks == []
    assert found.bboxes.shape == (0, 4) and len(found) == 0


def test_small_people_are_found_in_tiles_only():
    scene = cv2.imread(str(ROOT / 'docs/images/people.jpg'))
    small = cv2.resize(scene, None, fx=.5, fy=.5,
                       interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    image = np.full((4 * h, 4 * w, 3), 90, np.uint8)
    image[h + 30:2 * h + 30, w + 17:2 * w + 17] = small
    found = SSAInferencer('demo', device='cpu')
    whole, = found(image)
    tiled, = found(image, tiles=w, person_thr=.3)
    alone, = found(small, person_thr=.3)
    assert len(whole['predictions']) < len(alone['predictions']) == 3
    masks = [p['segmentation'] for p in tiled['predictions']]
    for person in alone['predictions']:
        x, y, width, height = person['bbox']
        box = [x + w + 17, y + h + 30, width, height]
        ious = coco_mask.iou(np.array([p['bbox'] for p in tiled[
            'predictions']]), np.array([box]), [0])
        assert ious.max() > .5
    assert all(mask['size'] == [4 * h, 4 * w] for mask in masks)
    assert len(masks) <= 5


def test_models_without_masks_have_no_tiles(tmp_path):
    cfg = Config.fromfile(CONFIGS / 'comparisons/ae_demo.py')
    torch.manual_seed(0)
    found = SSAInferencer(cfg, save_weights(
        MODELS.build(cfg.model), tmp_path / 'ae.pth'), 'cpu')
    with pytest.raises(ValueError, match='without tiles'):
        list(found(np.zeros((200, 200, 3), np.uint8), tiles=150))


def test_the_comparison_counts_people_of_the_mosaic(capsys):
    image, people = command.crowd(160, 80, 3)
    assert image.shape == (160, 160, 3)
    assert people and all(
        0 <= a['bbox'][0] and a['bbox'][0] + a['bbox'][2] <= 161
        for a in people)
    perfect = [dict(a, image_id=0, score=1.) for a in people]
    for person in perfect:
        person['segmentation'] = coco_mask.merge(
            coco_mask.frPyObjects(person['segmentation'], 160, 160))
    truth = [dict(a, image_id=0) for a in people]
    assert command.scores(truth, perfect, 160, 1) == pytest.approx([1, 1])
    assert 'multiple of --scene' in refusal(
        capsys, command.main, '--side', '100', '--scene', '30')

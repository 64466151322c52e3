"""Images, and an inferencer with random weights."""
import cv2
import factories
import numpy as np
import pycocotools.mask as coco_mask
import pytest
from factories import random_model, save_weights

from mmpose_ssa.apis.inferencer import SSAInferencer

TINY = str(factories.TINY)
SIZES = {'7.png': (50, 91), 'tall.png': (200, 40), 'dot.png': (3, 2)}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights that find keypoints of some types and miss others."""
    return save_weights(random_model(bias=-.05),
                        tmp_path_factory.mktemp('weights') / 'random.pth')


@pytest.fixture(scope='module')
def nobody(tmp_path_factory):
    """Weights whose heatmaps are 0."""
    return save_weights(random_model(std=0.),
                        tmp_path_factory.mktemp('weights') / 'zero.pth')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for name, (h, w) in SIZES.items():
        picture = np.full((h, w, 3), 90, np.uint8)
        cv2.circle(picture, (w // 2, h // 2), h // 3, (40, 90, 220), -1)
        cv2.imwrite(str(folder / name), picture)
    return [str(folder / name) for name in SIZES]


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return SSAInferencer(TINY, checkpoint, 'cpu')


def check_persons(persons, sample, size):
    """Results of one image are what the model says."""
    found = sample.pred_instances
    assert len(persons) == len(found.masks)
    for p, result in enumerate(persons):
        assert result['category_id'] == 1
        points = np.reshape(result['keypoints'], (17, 3))
        assert points[:, :2] == pytest.approx(found.keypoints[p])
        assert points[:, 2] == pytest.approx(found.keypoint_scores[p])
        assert result['keypoint_scores'] == pytest.approx(points[:, 2])
        assert result['score'] == pytest.approx(points[:, 2].mean())
        seen = points[points[:, 2] > 0, :2]
        assert result['bbox'] == pytest.approx(
            [*seen.min(axis=0), *np.ptp(seen, axis=0)], abs=1e-4)
        mask = coco_mask.decode(result['segmentation'])
        assert mask.shape == size
        assert np.array_equal(mask, coco_mask.decode(found.masks[p]))

"""Images, annotations, results, and weights of a small top-down model."""
from pathlib import Path

import factories
import numpy as np
import pytest
from factories import (COCO_NAMES, noise, person, random_model, save_weights,
                       write_annotations, write_images)

from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.models.refiner import Refiner

TINY, TOPDOWN = str(factories.TINY), str(factories.TOPDOWN)
SIZES = {1: (70, 110), 22: (64, 64)}  # height, width by image id
K = 17


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of the tiny SSA and of the tiny top-down model."""
    folder = tmp_path_factory.mktemp('weights')
    for config, options in ((TINY, dict(bias=-.05)),
                            (TOPDOWN, dict(std=.5, bias=5.))):
        save_weights(random_model(config, **options),
                     folder / f'{Path(config).stem}.pth')
    return folder


@pytest.fixture(scope='module')
def refiner(weights):
    return TOPDOWN, str(weights / 'topdown_tiny_256x192.pth')


@pytest.fixture(scope='module')
def data(tmp_path_factory, weights):
    """Images, annotations, and what the tiny SSA finds on them."""
    folder, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    write_images(folder, SIZES, lambda h, w: noise(rng, h, w))
    write_annotations(folder, [person(rng.uniform(10, 50, (K, 2)),
                                      box=(10, 10, 50, 50))],
                      SIZES, COCO_NAMES)
    inferencer = SSAInferencer(TINY, weights / 'ssa_tiny_64.pth', 'cpu')
    list(inferencer([folder / f'{i}.png' for i in SIZES], out_dir=folder))
    return folder


# --- where it looks ---------------------------------------------------------


class Recorder(Refiner):
    """Notes the boxes, and finds everyone's keypoints at (9, 8)."""

    def __init__(self, refiner):
        super().__init__(*refiner)
        self.boxes = []

    def predict(self, image, boxes, device='cpu'):
        self.boxes += boxes.tolist()
        return np.full((len(boxes), K, 2), [9, 8]), np.full((len(boxes), K),
                                                            .7)


def a_result(**extra):
    """A person at (20, 30) and (40, 60) of image 1."""
    points = np.zeros((K, 3))
    points[[0, 5]] = (20, 30, .5), (40, 60, .4)
    return dict(image_id=1, file_name='1.png', score=.3,
                keypoints=points.ravel().tolist()) | extra

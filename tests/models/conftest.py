"""Small models with random weights, and images for them."""
import numpy as np
import pytest
from factories import (noise, person, random_model, save_weights,
                       write_annotations, write_images)
from refining import TOPDOWN, K


@pytest.fixture(scope='module')
def topdown(tmp_path_factory):
    """Config and random weights of a small top-down model."""
    return dict(config=TOPDOWN, checkpoint=save_weights(
        random_model(TOPDOWN, std=.5, bias=5.),
        tmp_path_factory.mktemp('topdown') / 'topdown.pth'))


@pytest.fixture(scope='module')
def bottomup(tmp_path_factory):
    """Random weights of the tiny SSA, which miss some keypoints."""
    return save_weights(random_model(bias=-.05, attention_std=1.),
                        tmp_path_factory.mktemp('ssa') / 'ssa.pth')


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (70, 110, 3), dtype=np.uint8)


@pytest.fixture
def data(tmp_path, rng):
    """Two images of noise with a person each; the folder."""
    sizes = {1: (64, 64), 2: (64, 64)}
    write_images(tmp_path, sizes, lambda h, w: noise(rng, h, w))
    write_annotations(tmp_path, [
        person(rng.uniform(10, 54, (K, 2)), i, i) for i in sizes], sizes)
    return tmp_path

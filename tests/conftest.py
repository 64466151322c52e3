"""What several rooms' tests share."""
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
COCO_MINI = ROOT.parent / 'shared/data/coco_mini'

# The tensors are small: more threads would only wait for each other.
os.environ.setdefault('OMP_NUM_THREADS', '2')


def pytest_addoption(parser):
    parser.addoption(
        '--vectors', metavar='FILE',
        default=str(ROOT / 'tests/data/conformance_vectors.npz'),
        help='conformance vectors to meet, default: %(default)s')


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mmpose():
    """MMPose's registries are searched, and torch draws the same numbers."""
    import torch
    from mmengine.registry import init_default_scope

    import mmpose_ssa.register  # noqa: F401  registers
    torch.manual_seed(0)
    init_default_scope('mmpose')


@pytest.fixture
def coco_mini():
    if not COCO_MINI.is_dir():
        pytest.skip(f'needs COCO images and annotations in {COCO_MINI}')
    return COCO_MINI

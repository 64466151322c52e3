"""Fixtures and options of all tests; builders are in ``factories.py``."""
import gc
import logging
import os
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from factories import COCO_MINI, CROWDPOSE_MINI, DATA

# The tensors are small: more threads would only wait for each other.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# MMEngine's loggers keep the streams of earlier tests, which pytest closes:
# what they cannot write is no traceback of the tool that is tested.
logging.raiseExceptions = False


def pytest_addoption(parser):
    parser.addoption(
        '--vectors', metavar='FILE',
        default=str(DATA / 'conformance_vectors.npz'),
        help='conformance vectors to meet, default: %(default)s')


def pytest_collection_finish(session):
    # What has been imported is no garbage: Python need not search it again.
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope='module')
def outcomes():
    """Counts what becomes of damaged input; ``pytest -s`` prints it."""
    counts = Counter()
    yield counts
    for name, count in sorted(counts.items()):
        print(f'\n{count:6,} {name}', end='')


@pytest.fixture
def mmpose():
    """MMPose's registries are searched, and torch draws the same numbers."""
    import mmengine.config.config
    import mmengine.dataset.base_dataset
    import torch
    from mmengine.registry import init_default_scope

    import mmpose_ssa.register  # noqa: F401  registers

    # a Runner prints its config eight times; yapf takes half a second each
    mmengine.config.config.FormatCode = lambda text, **style: (text, True)
    # every data set collects garbage, which took a quarter of all tests' time
    mmengine.dataset.base_dataset.gc = SimpleNamespace(collect=lambda: 0)
    torch.manual_seed(0)
    init_default_scope('mmpose')


@pytest.fixture(autouse=True)
def no_annotation_file_is_remembered():
    """MMPose's data sets name their file to metrics built later."""
    yield
    if 'mmengine.logging' in sys.modules:
        from mmengine.logging import MessageHub
        MessageHub.get_current_instance().runtime_info.pop(
            'coco_ann_file', None)


@pytest.fixture
def coco_mini():
    if not COCO_MINI.is_dir():
        pytest.skip(f'needs COCO images and annotations in {COCO_MINI}')
    return COCO_MINI


@pytest.fixture
def crowdpose_mini():
    if not CROWDPOSE_MINI.is_dir():
        pytest.skip(f'needs CrowdPose annotations in {CROWDPOSE_MINI}')
    return CROWDPOSE_MINI

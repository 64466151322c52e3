"""Fixtures of the tests of the models compared with SSA."""
import copy

import pytest
from factories import read_once
from mmengine.logging import MessageHub


@pytest.fixture
def load():
    """Reads a config, to be built without the network."""

    def read(name):
        cfg = copy.deepcopy(read_once(f'configs/comparisons/{name}.py'))
        cfg.model.backbone.init_cfg = None
        return cfg

    yield read
    MessageHub.get_current_instance().runtime_info.pop('coco_ann_file', None)

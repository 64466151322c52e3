"""Checkpoints whose content would mislead or break a prediction."""
import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import copy
import math

import numpy as np
import pytest
import torch
from factories import CONFIGS, ROOT
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from mmpose_ssa.engine.loading import load_estimator, metainfo_fault
from mmpose_ssa.engine.unpickling import read

pytestmark = pytest.mark.usefixtures('mmpose')

COCO = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))


@pytest.mark.parametrize('data_set', ['coco', 'crowdpose', 'jhmdb', 'ap10k'])
def test_what_mmpose_tells_holds_together(data_set):
    assert metainfo_fault(parse_pose_metainfo(dict(
        from_file=f'configs/_base_/datasets/{data_set}.py'))) == ''


@pytest.mark.parametrize('key, value', [
    ('num_keypoints', 3), ('num_keypoints', '17'), ('num_keypoints', 10**9),
    ('num_keypoints', None), ('flip_indices', [99] * 17),
    ('flip_indices', [0]), ('flip_indices', [-1] * 17), ('flip_indices', 'a'),
    ('skeleton_links', [(0, 10**9)]), ('skeleton_links', 'ab'),
    ('skeleton_links', [(0, 1, 2)]), ('skeleton_links', [3]),
    ('skeleton_link_colors', np.zeros((2, 3))), ('keypoint_colors', 'red'),
    ('keypoint_colors', np.zeros((2, 2))), ('sigmas', np.ones(2)),
    ('sigmas', np.full(17, np.nan)), ('sigmas', [1.] * 17),
    ('keypoint_id2name', None), ('keypoint_id2name', {0: 'nose'}),
    ('keypoint_id2name', {k: k for k in range(17)})])
def test_what_does_not_hold_together_is_named(key, value):
    fault = metainfo_fault({**COCO, key: value})
    assert fault and (key in fault or key == 'num_keypoints')


def changed(tmp_path, change):
    """The demo's weights with a change, loaded."""
    content = copy.deepcopy(read(str(ROOT / 'weights/ssa_demo.pth')))
    change(content)
    torch.save(content, tmp_path / 'a.pth')
    cfg = Config.fromfile(CONFIGS / 'demo/ssa_demo.py')
    return load_estimator(cfg, str(tmp_path / 'a.pth'))


def without_meta(content):
    del content['meta']['dataset_meta']


def with_few_keypoints(content):
    content['meta']['dataset_meta']['num_keypoints'] = 3


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('name', ['backbone.conv1.weight',
                                  'backbone.bn1.running_var'])
def test_weights_that_are_not_finite_are_named(tmp_path, name, value):
    """fault_08: not "0 persons"."""
    def spoil(content):
        content['state_dict'][name][0] = value

    with pytest.raises(ValueError, match=f'a.pth.*not finite .{name}'):
        changed(tmp_path, spoil)


def test_metainfo_is_the_checkpoints_or_else_the_configs(tmp_path):
    assert changed(tmp_path, without_meta).dataset_meta['num_keypoints'] == 17
    with pytest.raises(ValueError, match='a.pth: dataset_meta.*[(]'):
        changed(tmp_path, with_few_keypoints)

"""Perfect heatmaps and tags through the decoder and the metric of testing."""
import json
import runpy
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmpose.registry import DATASETS, METRICS, MODELS

from mmpose_ssa.comparisons.ceiling import nearest_tags

pytestmark = pytest.mark.usefixtures('mmpose', 'no_file_is_remembered')

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_file_is_remembered():
    yield
    MessageHub.get_current_instance().runtime_info.pop('coco_ann_file', None)


def test_the_nearest_person_by_hand():
    """Of the second type only the second person has a keypoint."""
    indices = np.array([[[0, 1], [0, 0]], [[11, 1], [5, 1]]])
    assert nearest_tags(indices, (3, 4)).tolist() == [
        [[0, 0, 0, 2], [0, 0, 2, 2], [0, 2, 2, 2]], [[2] * 4] * 3]


def evaluate(config, ann_file, img_dir) -> dict:
    """What ``tools/oracle.py`` reports."""
    tool = runpy.run_path(str(ROOT / 'tools/oracle.py'))
    cfg = tool['ceiling_config'](Namespace(
        config=str(ROOT / 'configs' / config), ann_file=str(ann_file),
        img_dir=str(img_dir), work_dir='', ignore_unlabelled=False,
        cfg_options={}))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = MODELS.build(cfg.model)
    metric = METRICS.build(cfg.test_evaluator[0])
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        found = model.test_step(pseudo_collate([item]))
        metric.process({}, [sample.to_dict() for sample in found])
    return metric.evaluate(len(dataset))


def person(number, points):
    keypoints = np.column_stack([points, np.full(len(points), 2)])
    return dict(
        id=number, image_id=1, category_id=1, iscrowd=0,
        bbox=[30, 15, 240, 215], area=240. * 215, num_keypoints=17,
        keypoints=keypoints.ravel().tolist())


@pytest.mark.parametrize('name', ['ae_demo', 'higherhrnet_demo'])
def test_two_overlapping_persons_are_perfect(tmp_path, name):
    """Larger than the input, and not square: 300 x 240 into 200 x 160."""
    rows, columns = np.divmod(np.arange(17), 3)
    first = np.stack([45 + 40 * columns, 40 + 35 * rows], axis=-1)
    second = np.stack([170 + 40 * columns, 30 + 35 * rows[::-1]], axis=-1)
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((240, 300, 3), np.uint8))
    (tmp_path / 'persons.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='1.png', width=300, height=240)],
        categories=[dict(id=1, name='person')],
        annotations=[person(1, first), person(2, second)])))
    figures = evaluate(f'comparisons/{name}.py', tmp_path / 'persons.json',
                       tmp_path)
    assert figures['coco/AP'] == pytest.approx(1)
    assert figures['coco/AR'] == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize('name, keypoint_ap', [
    ('ae_overfit', .632), ('higherhrnet_overfit', .836),
    ('higherhrnet_w32_512', .963)])
def test_the_ceiling_on_coco(coco_mini, name, keypoint_ap):
    figures = evaluate(
        f'comparisons/{name}.py',
        coco_mini / 'annotations/person_keypoints_train2017.json',
        coco_mini / 'train2017')
    assert figures['coco/AP'] == pytest.approx(keypoint_ap, abs=.005)


def test_other_models_have_no_ceiling():
    tool = runpy.run_path(str(ROOT / 'tools/oracle.py'))
    other = str(ROOT / 'configs/comparisons/dekr_demo.py')
    with pytest.raises(ValueError, match='dekr_demo.py decodes by MaskedSPR'):
        tool['ceiling_config'](Namespace(
            config=other, cfg_options=None, work_dir=''))

"""MMPose's keypoint metric, whose annotations are checked first."""
import json

import numpy as np
import pytest
from factories import content, person, without
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, METRICS

from mmpose_ssa.evaluation.coco_metric import CheckedCocoMetric

POINTS = [(20 + 2 * k, 20 + k) for k in range(17)]
OPTIONS = dict(score_mode='bbox', nms_mode='none')
META = dict(from_file='configs/_base_/datasets/coco.py')


def write(folder, annotations, **more):
    path = folder / 'persons.json'
    path.write_text(json.dumps(content(annotations, **more)))
    return str(path)


def samples(persons, image_id=1, shift=0.):
    """Predictions of the persons' own keypoints, moved."""
    tables = np.array([p['keypoints'] for p in persons]).reshape(-1, 17, 3)
    boxes = np.array([p['bbox'] for p in persons], float)
    boxes[:, 2:] += boxes[:, :2]
    return [dict(
        id=[p['id'] for p in persons], img_id=image_id, gt_instances={},
        pred_instances=dict(
            keypoints=tables[..., :2] + shift, bboxes=boxes,
            keypoint_scores=np.ones(tables.shape[:2]),
            bbox_scores=np.linspace(1, .5, len(persons))))]


def meta(mmpose_meta=META):
    from mmpose.datasets.datasets.utils import parse_pose_metainfo
    return parse_pose_metainfo(dict(mmpose_meta))


def evaluated(metric, predictions, images=1):
    metric.dataset_meta = meta()
    metric.process({}, predictions)
    return metric.evaluate(images)


def test_good_annotations_give_mmposes_numbers(mmpose, coco_mini, rng):
    path = str(coco_mini / 'annotations/person_keypoints_val2017.json')
    annotations = json.loads(open(path, 'rb').read())
    found = []
    for image in annotations['images']:
        persons = [a for a in annotations['annotations']
                   if a['image_id'] == image['id']
                   and a['num_keypoints'] and not a['iscrowd']]
        if persons:
            noise = rng.normal(0, 6, (len(persons), 17, 2))
            found += samples(persons, image['id'], noise)
    ours, theirs = (
        evaluated(METRICS.build(dict(type=kind, ann_file=path, **OPTIONS)),
                  found, len(found))
        for kind in ('CheckedCocoMetric', 'CocoMetric'))
    assert ours == theirs and 0 < ours['coco/AP'] < 1


@pytest.mark.parametrize('fault', [
    dict(area=0), dict(area=None), dict(iscrowd=None), dict(num_keypoints=0),
    dict(id=0), dict(bbox=[0, 0, 0, 0], area=0, segmentation=None),
    dict(bbox=[60, 10, -50, 60]), dict(area=.4), dict(area=1e9)])
def test_what_is_estimated_is_found(tmp_path, fault):
    """Perfect predictions of two persons, in spite of the file's faults."""
    persons = [person(POINTS, 1), person(np.array(POINTS) + 20, 2)]
    path = write(tmp_path, [persons[0] | fault, persons[1]])
    metric = CheckedCocoMetric(path, **OPTIONS)
    assert evaluated(metric, samples(persons))['coco/AP'] == pytest.approx(1)


@pytest.mark.parametrize('chosen', [None, 'data set', 'metric'])
def test_persons_of_another_category(tmp_path, chosen):
    persons = [person(POINTS, category_id=7)]
    dog = person(POINTS, 2, category_id=1, box=(0, 0, 9, 9))
    name = 'person' if chosen is None else 'rider'
    path = write(tmp_path, [*persons, dog], categories=[
        dict(id=1, name='dog'), dict(id=7, name=name)])
    options = dict(person=name) if chosen == 'data set' else {}
    if chosen != 'metric':
        DATASETS.build(dict(
            type='CheckedCocoDataset', ann_file=path, data_mode='bottomup',
            test_mode=True, _scope_='mmpose', **options))
    else:
        options = dict(person='rider', ann_file=path)
    prefix = str(tmp_path / 'found')
    metric = CheckedCocoMetric(
        outfile_prefix=prefix, **OPTIONS,
        **(options if chosen == 'metric' else {}))
    assert evaluated(metric, samples(persons))['coco/AP'] == pytest.approx(1)
    with open(f'{prefix}.keypoints.json') as written:
        assert [r['category_id'] for r in json.load(written)] == [7]
    MessageHub.get_current_instance().runtime_info.pop('coco_person', None)


@pytest.mark.parametrize('fault, words', [
    (dict(keypoints=[1, 2]), r'51 numbers \(1: id 1; 1 has 2\)'),
    (dict(bbox=None), r'four numbers \(1: id 1\)'),
    (dict(image_id=3), r'does not list \(1: image 3\)'),
    (dict(category_id=2), r'categories that it does not list'),
    ('keypoints', r'without bbox or keypoints \(1: id 1\)'),
    ('bbox', r'without bbox or keypoints \(1: id 1\)'),
])
def test_a_fault_ends_the_run_before_it_begins(tmp_path, fault, words):
    ann = person(POINTS)
    ann = without(ann, fault) if isinstance(fault, str) else ann | fault
    path = write(tmp_path, [ann])
    with pytest.raises(ValueError, match=f'persons.json.*{words}'):
        Evaluator(CheckedCocoMetric(path)).dataset_meta = meta()
    hub = MessageHub.get_current_instance()
    hub.update_info('coco_ann_file', path)
    with pytest.raises(ValueError, match=f'persons.json.*{words}'):
        CheckedCocoMetric().dataset_meta = meta()


def test_images_left_out_of_the_test_are_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmpose_ssa.evaluation.ground_truth.print_log',
                        lambda message, **_: said.append(message))
    persons = [person(POINTS, i, i, iscrowd=int(i == 3)) for i in (1, 2, 3)]
    path = write(tmp_path, persons,
                 sizes={i: (100, 100) for i in (1, 2, 3, 4)})
    found = [*samples(persons[:1]), *samples(persons[1:2], 2)]
    for tested, expected in ((2, 1.), (1, .505)):
        metric = CheckedCocoMetric(ann_file=path, **OPTIONS)
        ap = evaluated(metric, found[:tested], tested)['coco/AP']
        assert ap == pytest.approx(expected, abs=.01)
    message, = said
    assert message.startswith('1 of 2 images with people were not tested')


def test_without_annotations_there_is_nothing_to_evaluate(tmp_path):
    path = tmp_path / 'info.json'
    path.write_text(json.dumps(without(content([]), 'annotations')))
    with pytest.raises(ValueError, match='info.json.*format_only=True'):
        CheckedCocoMetric(str(path)).dataset_meta = meta()
    prefix = str(tmp_path / 'found')
    metric = CheckedCocoMetric(str(path), format_only=True,
                               outfile_prefix=prefix, **OPTIONS)
    assert evaluated(metric, samples([person(POINTS)])) == {}
    with open(f'{prefix}.keypoints.json') as written:
        assert [r['category_id'] for r in json.load(written)] == [1]
    with pytest.raises(FileNotFoundError, match='none.json does not exist'):
        CheckedCocoMetric('none.json').dataset_meta = meta()


def test_crowdposes_metric_is_mmposes(mmpose, crowdpose_mini, rng):
    path = str(crowdpose_mini / 'test_crowdpose.json')
    annotations = json.loads(open(path, 'rb').read())['annotations']
    by_image = {}
    for ann in annotations:
        by_image.setdefault(ann['image_id'], []).append(ann)
    found = []
    for image, persons in by_image.items():
        tables = np.array([p['keypoints'] for p in persons], float)
        tables = tables.reshape(-1, 14, 3)
        found.append(dict(
            id=[p['id'] for p in persons], img_id=image, gt_instances={},
            pred_instances=dict(
                keypoints=tables[..., :2] + rng.normal(0, 3, (14, 2)),
                keypoint_scores=np.ones(tables.shape[:2]),
                bbox_scores=np.ones(len(persons)))))
    scores = []
    for cls in (CheckedCocoMetric, CocoMetric):
        metric = cls(ann_file=path, iou_type='keypoints_crowd',
                     use_area=False, **OPTIONS)
        metric.dataset_meta = meta(
            dict(from_file='configs/_base_/datasets/crowdpose.py'))
        metric.process({}, found)
        scores.append(metric.evaluate(len(found)))
    assert scores[0] == scores[1] and scores[0]['coco/AP'] > 0


NOBODY = dict(keypoints=[0] * 51, num_keypoints=0)


@pytest.mark.parametrize('people', [
    [], [person(POINTS) | NOBODY], [person(POINTS, iscrowd=1)],
    [person(POINTS) | NOBODY, person(POINTS, 2, iscrowd=1)]])
def test_nobody_to_find_is_said_before_training(tmp_path, people):
    path = write(tmp_path, people)
    with pytest.raises(ValueError, match=(
            rf'persons.json has nobody to find: of its {len(people)} .*'
            'every AP would be -1: give')):
        CheckedCocoMetric(path).dataset_meta = meta()
    CheckedCocoMetric(path, format_only=True,
                      outfile_prefix='a').dataset_meta = meta()


@pytest.mark.parametrize('index, allowed', [
    ('missing', False), (None, False), ('0.5', False), (True, False),
    (float('nan'), False), (1.01, False), (-1, False), (0, True), (1, True)])
def test_crowdpose_needs_its_crowd_index(tmp_path, index, allowed):
    """Missing, it was a KeyError after the last image."""
    path = write(tmp_path, [person(POINTS)])
    text = json.loads((tmp_path / 'persons.json').read_text())
    if index != 'missing':
        text['images'][0]['crowdIndex'] = index
    (tmp_path / 'persons.json').write_text(json.dumps(text))
    metric = CheckedCocoMetric(path, iou_type='keypoints_crowd')
    if allowed:
        metric.dataset_meta = meta()
    else:
        with pytest.raises(ValueError, match=(
                r'persons.json.*crowdIndex is no number from 0 to 1 \(1: '
                r'image 1\)')):
            metric.dataset_meta = meta()
    CheckedCocoMetric(path).dataset_meta = meta()


def test_a_zero_box_is_not_a_person_of_no_size(tmp_path):
    """CrowdPose's evaluation takes the area from the box."""
    good, bad = person(POINTS), person(POINTS, bbox=[0, 0, 0, 0])
    found = []
    for number, people in enumerate(([good], [bad])):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(folder, people)
        text = json.loads((folder / 'persons.json').read_text())
        text['images'][0]['crowdIndex'] = .5
        (folder / 'persons.json').write_text(json.dumps(text))
        metric = CheckedCocoMetric(path, iou_type='keypoints_crowd',
                                   use_area=False, **OPTIONS)
        found.append(evaluated(metric, samples([good], shift=.5))['coco/AP'])
    assert found[0] == pytest.approx(found[1]) == pytest.approx(.9)


@pytest.mark.parametrize('number', [0, -1])
def test_a_person_of_any_id_is_found(mmpose, tmp_path, number):
    """-1 means "no match" in xtcocotools, 0 in pycocotools."""
    people = [person(POINTS, number)]
    metric = METRICS.build(dict(type='CheckedCocoMetric',
                                ann_file=write(tmp_path, people)))
    assert evaluated(metric, samples(people))['coco/AP'] == pytest.approx(1)

"""Damaged annotations end in one of two ways: right, or refused by name.

The damage is drawn by hypothesis: entries of good files are replaced, left
out, doubled. `pytest -s` counts the outcomes by class, and
`--hypothesis-show-statistics` by error.
"""
import contextlib
import copy
import io
import json
import math

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from damage import FAST, SLOW, damaged
from factories import content, person, rectangle
from hypothesis import event, example, given
from hypothesis import strategies as st
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from mmpose_ssa.annotations.checks import Rules, check_annotations
from mmpose_ssa.annotations.reading import parse_json
from mmpose_ssa.annotations.survey import choose, survey
from mmpose_ssa.annotations.suspicions import suspect_persons
from mmpose_ssa.annotations.suspicious_files import suspect_file, suspect_names

SIDE = 40
RULES = {
    'training': Rules(2, needs=('bbox', 'keypoints', 'segmentation'),
                      masks=True, files=True),
    'keypoint AP': Rules(2, needs=('bbox', 'keypoints')),
    'mask AP': Rules(needs=('segmentation', )),
}


def good_file():
    """Two persons and a crowd, in polygons and both kinds of RLE."""
    mask = np.zeros((SIDE, SIDE), np.uint8, order='F')
    mask[3:20, 5:15] = 1
    compressed = coco_mask.encode(mask)['counts'].decode()
    plain = [SIDE * 30, 10, SIDE - 10, 10, SIDE * 9 - 10]
    persons = [
        person([(10, 10), (12, 15, 1)], 1, kinds=2, box=(5, 3, 15, 20),
               segmentation=dict(size=[SIDE, SIDE], counts=compressed)),
        person([(25, 25), (0, 0, 0)], 2, kinds=2, box=(20, 20, 36, 39),
               segmentation=[rectangle(20, 20, 30, 39),
                             [28, 22.5, 36, 30, 28, 38.5]]),
        person([(32, 3)], 3, kinds=2, box=(30, 0, 32, 10), iscrowd=1,
               segmentation=dict(size=[SIDE, SIDE], counts=plain)),
    ]
    return content(persons, {1: (SIDE, SIDE), 2: (30, SIDE)}, ['a', 'b'])


def outcome_of(file, name):
    """'right', or what is refused."""
    before = json.dumps(file, default=str)
    try:
        checked = check_annotations(file, 'a.json', RULES[name])
    except ValueError as error:
        message = str(error)
        assert message.startswith('a.json '), message
        assert ': ' in message and len(message) < 800, message
        words = message.removeprefix('a.json ')
        return 'refused: ' + ' '.join(words.split()[:6])
    finally:
        assert json.dumps(file, default=str) == before
    if 'annotations' not in checked.dataset:
        return 'right, without annotations'
    assert_evaluable(checked.dataset, name)
    return 'right, noted' if checked.notes else 'right'


def assert_evaluable(dataset, name):
    """COCO's own code finds each person where it is."""
    persons = dataset['annotations']
    for ann in persons:
        assert ann['iscrowd'] in (0, 1) and 0 < ann['area'] < math.inf
        assert type(ann['id']) is int
    if name == 'mask AP':
        score = perfect_ap(dataset, 'segm')
    else:
        for ann in persons:
            points = np.reshape(ann['keypoints'], (-1, 3))
            assert set(points[:, 2]) <= {0, 1, 2}
            assert ann['num_keypoints'] == np.count_nonzero(points[:, 2])
        score = perfect_ap(dataset, 'keypoints')
    assert score in (-1, pytest.approx(1)), score


def perfect_ap(dataset, kind):
    """AP of what is annotated, given as predicted."""
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = copy.deepcopy(dataset)
        for number, ann in enumerate(dataset['annotations'], 1):
            ann['id'] = number  # 0 is never found
        coco = COCO('a.json', ann_data=dataset)
        found = []
        for ann in coco.anns.values():
            result = dict(image_id=ann['image_id'], score=1.,
                          category_id=ann['category_id'])
            if ann['iscrowd'] or ann['area'] > 1e10:  # COCO's largest
                continue
            if kind == 'segm':
                result['segmentation'] = coco.annToRLE(ann)
                if not coco_mask.area(result['segmentation']):
                    return -1  # nobody can find an empty mask
            else:
                result.update(keypoints=ann['keypoints'], bbox=ann['bbox'])
            found.append(result)
        evaluation = COCOeval(coco, coco.loadRes(found), kind,
                              np.array([.1, .1]))
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    defined = precision[precision > -1]
    return defined.mean() if len(defined) else -1


def test_the_good_file_is_right():
    for name in RULES:
        assert outcome_of(good_file(), name) == 'right'
    assert perfect_ap(good_file(), 'segm') == pytest.approx(1)


def count(outcomes, file, name):
    outcome = outcome_of(file, name)
    event(f'{name}: {outcome}')
    outcomes[f"{name}: {outcome.partition(':')[0]}"] += 1


@FAST
@given(damaged(good_file()), st.sampled_from(list(RULES)))
def test_damaged_annotations(outcomes, file, name):
    count(outcomes, file, name)


@pytest.mark.slow
@SLOW
@given(damaged(good_file()), st.sampled_from(list(RULES)))
def test_damaged_annotations_at_length(outcomes, file, name):
    count(outcomes, file, name)


@FAST
@given(st.binary(max_size=40), st.integers(0, 400), st.binary(max_size=4))
@example(b'[' * 40, 0, b'')
def test_damaged_json(junk, place, bytes_):
    whole = json.dumps(good_file()).encode()
    for content_ in (junk, whole[:place] + bytes_ + whole[place + 2:],
                     whole[:place]):
        try:
            parse_json(content_, 'a.json')
        except ValueError as error:
            assert str(error).startswith('a.json is ')


@FAST
@given(damaged(good_file()))
def test_damaged_annotations_are_surveyed(file):
    """To the end; something is refused just where the check refuses."""
    survey_outcome(file)


@pytest.mark.slow
@SLOW
@given(damaged(good_file()))
def test_damaged_annotations_are_surveyed_at_length(file):
    survey_outcome(file)


def survey_outcome(file):
    rules = RULES['training']
    try:
        check_annotations(file, 'a.json', rules)
        refused = False
    except ValueError:
        refused = True
    checked, found = survey(file, 'a.json', rules)
    kinds = [f.kind for f in found if f.level == 'refused']
    assert bool(kinds) == refused or kinds == ['nobody']
    assert all(len(str(f)) < 800 and '\n' not in str(f) for f in found)
    choose(file)
    if checked is None:
        return event('nothing can be read')
    # what is left is right
    again = check_annotations(checked.dataset, 'a.json', rules)
    assert len(again.dataset['images']) == len(checked.dataset['images'])
    found = suspect_persons(checked.dataset)
    found += suspect_file(checked.dataset, ['a', 'b'])
    found += suspect_names(checked.person, 2, ['a', 'b'], [(0, 1)])
    for finding in found:
        assert len(str(finding)) < 800 and '\n' not in str(finding)
        event(f'{finding.level} {finding.kind}')

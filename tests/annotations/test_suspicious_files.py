"""What is suspected of an annotation file as a whole."""
import numpy as np
import pytest
from factories import COCO_NAMES, content, person

from mmpose_ssa.annotations.suspicious_files import (side_pairs, suspect_file,
                                                     suspect_names)


@pytest.mark.parametrize('names, pairs', [
    (COCO_NAMES, [(k, k + 1) for k in range(1, 17, 2)]),
    (['handL', 'handR', 'ball'], [(0, 1)]),
    (['RightEar', 'LeftEar'], [(1, 0)]),
    (['L_Hip', 'R_Hip', 'l-foot', 'r-foot'], [(0, 1), (2, 3)]),
    (['knee left', 'knee right', 'left'], [(0, 1)]),
    (['left_eye', 'right_ear', 'call', 'carr', 'lung'], []), ([], []),
    ([None, 3], [])])
def test_pairs_by_name(names, pairs):
    assert side_pairs(names) == pairs


# --- all persons ------------------------------------------------------------

NAMES = ['head', 'left_hand', 'right_hand']
FACING = np.array([(50, 10), (70, 30), (30, 30)])  # left is on the right


def many(points, number=20, **changes):
    """As many persons, each in an image of 100 x 100."""
    persons = [person(points, n, n, kinds=3, **changes)
               for n in range(1, number + 1)]
    return content(persons, {n: (100, 100) for n in range(1, number + 1)})


def kinds(given, names=NAMES, **options):
    return {f.kind: f for f in suspect_file(given, names, **options)}


def test_good_persons():
    assert kinds(many(FACING), min_area=0) == {}
    assert kinds(content([], sizes={})) == {}


def test_sides_exchanged():
    swapped = FACING[[0, 2, 1]]
    found = kinds(many(swapped))['sides']
    assert 'in 0 of 100 pairs' in found.text
    assert found.example == 'left_hand and right_hand of 20 persons'
    assert 'sides' not in kinds(many(swapped, 19))  # too few to tell
    assert 'sides' not in kinds(many(swapped), pairs=[])
    # six of 20 seen from behind are usual, 12 more are not
    mixed = many(FACING, 20)
    for ann in mixed['annotations'][:12]:
        ann['keypoints'][3], ann['keypoints'][6] = 30., 70.
    assert 'sides' not in kinds(mixed)  # 0.4
    mixed['annotations'][12]['keypoints'][3] = 20.
    assert 'in 35 of 100' in kinds(mixed)['sides'].text


def test_only_pairs_that_are_whole_tell_the_sides():
    points = [(50, 10, 2), (30, 30, 2), (70, 30, 2), (60, 90, 2), (0, 0, 0)]
    given = content([person(points, n, n, kinds=5) for n in range(1, 21)],
                    {n: (100, 100) for n in range(1, 21)})
    found = kinds(given, [*NAMES, 'left_foot', 'right_foot'])
    assert 'in 0 of 100 pairs' in found['sides'].text


def test_a_keypoint_that_nobody_has():
    found = kinds(many([FACING[0], FACING[1], (0, 0, 0)]))['never']
    assert found.example == 'right_hand' and found.text.startswith('1 of 3')


def test_annotations_of_smaller_images():
    found = kinds(many(FACING * .7))['corner']  # to 49 and 21
    assert found.example == 'within 49 % of the width and 21 % of the height'
    assert 'corner' not in kinds(many(FACING * .8))  # to 56
    assert 'corner' not in kinds(many(FACING * .7, 19))
    assert 'corner' not in kinds(many(FACING * .01))  # these are normalised


def test_small_persons():
    given = many(FACING, 20)
    for ann in given['annotations'][:10]:
        ann['area'] = 1023
    few = kinds(given)['small']
    assert (few.level, list(few.ids)) == ('note', list(range(1, 11)))
    assert '10 of 20 labelled persons are smaller than 1024' in few.text
    given['annotations'][10]['area'] = 1023
    assert kinds(given)['small'].level == 'suspect'
    assert 'small' not in kinds(given, min_area=1023)


def test_persons_without_keypoints_and_images_without_persons():
    given = many(FACING)
    given['annotations'][3].update(num_keypoints=0, keypoints=[0] * 9)
    given['annotations'][4].update(num_keypoints=0, iscrowd=1)
    del given['annotations'][5]
    found = kinds(given)
    assert (found['unlabelled'].level, found['unlabelled'].ids) == (
        'note', [4])
    assert '1 of 18 persons' in found['unlabelled'].text
    assert (found['image_empty'].level, found['image_empty'].ids) == (
        'note', [6])


def test_an_image_listed_twice():
    given = many(FACING)
    given['images'][7]['file_name'] = given['images'][2]['file_name']
    found = kinds(given)['image_twice']
    assert (found.level, found.ids) == ('suspect', [3, 8])


# --- names ------------------------------------------------------------------


def names_said(category, names=None, pairs=None, count=3):
    return {f.kind: f for f in suspect_names(category, count, names, pairs)}


def test_names_in_another_order():
    found = names_said(dict(keypoints=['head', 'right_hand', 'left_hand']),
                       NAMES)['names']
    assert found.text.startswith('2 of 3 keypoints have another name')
    assert found.example == "number 1: 'right_hand', 'left_hand'"
    assert names_said(dict(keypoints=NAMES), NAMES) == {}
    assert names_said({}, NAMES) == names_said(dict(keypoints=3)) == {}


def test_another_number_of_names():
    found = names_said(dict(name='cow', keypoints=NAMES[:2]), NAMES)['names']
    assert 'names 2 keypoints, the metainfo has 3' in found.text


@pytest.mark.parametrize('skeleton, wrong', [
    ([[0, 1], [1, 2]], '0'), ([[1, 4], [3, 'a']], "4, 'a'")])
def test_a_skeleton_counted_otherwise(skeleton, wrong):
    assert names_said(dict(skeleton=skeleton))['skeleton'].example == wrong
    assert names_said(dict(skeleton=[[1, 2], [2, 3]])) == {}
    assert names_said(dict(skeleton='none')) == {}


@pytest.mark.parametrize('pairs, missing', [
    ([], True), ([('left_hand', 'right_hand')], False), ([(2, 1)], False),
    ([(0, 1)], True)])
def test_pairs_that_are_not_exchanged(pairs, missing):
    found = names_said({}, NAMES, pairs)
    assert ('pairs' in found) == missing
    if missing:
        assert found['pairs'].example == 'left_hand, right_hand'

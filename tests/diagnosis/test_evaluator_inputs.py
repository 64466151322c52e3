"""What the diagnosis takes: other data sets; and what it refuses."""

import numpy as np
import pytest
from degraded_results import (FLIP, POSE, SIGMAS, annotation, dataset_of,
                              diagnosis, result)
from factories import COCO_NAMES

from mmpose_ssa.diagnosis.results import read_results, read_truth

# --- other data sets --------------------------------------------------------


CROWDPOSE = [*COCO_NAMES[5:], 'head', 'neck']


def test_fourteen_keypoints_as_crowdpose_has_them():
    points = np.vstack([POSE[5:], (50, 0), (50, 20)])
    found = points.copy()
    found[0], found[1] = points[1], points[0]
    found[12] = 0, 900
    # CrowdPose has no areas: 0.53 of the box, here 0.53 * 68 * 104 = 3748
    one = annotation(points)
    del one['area']
    got = diagnosis(dataset_of([one], names=CROWDPOSE), [result(found)])
    assert got.matched[0]['errors'] == dict(
        left_shoulder='inversion', right_shoulder='inversion', head='miss')
    assert got.counts.sum(axis=0).tolist() == [11, 0, 2, 0, 1]
    truth = read_truth(dataset_of([one], names=CROWDPOSE))
    assert truth.coco.anns[1]['area'] == pytest.approx(.53 * 68 * 104)
    assert truth.sigmas[[0, 11, 13]].tolist() == [.079, .089, .079]


def test_three_keypoints_with_their_own_sigmas():
    names = ['tail', 'left_paw', 'right_paw']
    points = np.array([(10, 10), (100, 10), (100, 90)], float)
    dataset = dataset_of([annotation(points)], names=names)
    found = points + [(20, 0), (0, 80), (0, -80)]
    # KS of the tail: exp(-400 / (2e4 * 4 * sigma^2)), 0.607 at sigma 0.1
    got = diagnosis(dataset, [result(found)], sigmas=[.1, .05, .05])
    assert got.matched[0]['errors'] == dict(
        tail='jitter', left_paw='inversion', right_paw='inversion')
    got = diagnosis(dataset, [result(found)], sigmas=[.2, .05, .05])
    assert 'tail' not in got.matched[0]['errors']  # 0.882


def test_coco_sigmas_and_sides_by_name():
    truth = read_truth(dataset_of([annotation(POSE)]))
    assert truth.sigmas.tolist() == SIGMAS.tolist()
    assert truth.flip.tolist() == FLIP.tolist()
    # a side without the other one is its own
    names = ['left_eye', 'nose', 'right_ear']
    truth = read_truth(dataset_of([annotation(POSE[:3])], names=names))
    assert truth.flip.tolist() == [0, 1, 2]


def test_an_annotation_of_number_zero_can_be_found():
    got = diagnosis(dataset_of([annotation(POSE, 0)]), [result(POSE)])
    assert got.ap == pytest.approx(1) and got.overlooked == []
    assert got.matched[0]['annotation_id'] == 0


def test_only_the_twenty_best_of_an_image_count():
    results = [result(POSE + 500, .5 + i / 100) for i in range(20)]
    got = diagnosis(dataset_of([annotation(POSE)]),
                    [*results, result(POSE, .1)])
    assert got.matched == [] and got.background == list(range(20))
    got = diagnosis(dataset_of([annotation(POSE)]),
                    [*results[1:], result(POSE, .1)])
    assert len(got.matched) == 1


def test_the_area_of_results_is_cocos():
    """Of a bbox; else the extent of the keypoints, (0, 0) included."""
    truth = read_truth(dataset_of([annotation(POSE)]))
    points = np.zeros((17, 3))
    points[:2] = (90, 40, .5), (100, 60, .5)
    for more, area in ({}, 6000), (dict(bbox=[90, 40, 10, 20]), 200):
        person, = read_results([dict(result(points), **more)], truth)
        assert person['area'] == area


# --- bad input --------------------------------------------------------------


def changed(entry, **more):
    """A copy with other values; None takes one away."""
    entry = dict(entry, **more)
    return {key: value for key, value in entry.items() if value is not None}


ANN, RES = annotation(POSE), result(POSE)


@pytest.mark.parametrize('dataset, message', [
    ([RES], 'list: .*interchanged'),
    (dict(images=[], categories=[]), "'annotations' .* list"),
    (dict(dataset_of([ANN]), images=[{}]), "'images' .* 'id'"),
    (dict(dataset_of([ANN]), categories=[dict(id=1, name='person')]),
     r"keypoints.*none of \['person'\]"),
    (dict(dataset_of([ANN]), images=[dict(id=[1])]), "'images' .* 'id'"),
    (dict(dataset_of([ANN]), categories=[
        dict(id=1, name='person', keypoints=7)]), 'list of texts, got 7'),
    (dict(dataset_of([ANN]), categories=[
        dict(id=1, name='person', keypoints=[1, 2])]), r'got \[1, 2\]'),
    (dict(dataset_of([ANN]), categories=[
        dict(id=1, name='person', keypoints=['a\x1b[0m', 'b'])]),
     r"got \['a\\x1b"),
    (dataset_of([annotation(POSE[:3])], names=['nose', 'neck', 'nose']),
     "2 keypoints named 'nose'"),
    (dataset_of([changed(ANN, image_id=[1])]),
     r'does not list \(1: image \[1\]\)'),
    (dict(dataset_of([ANN]), categories=dataset_of([])['categories'] * 2),
     'one category must name keypoints'),
    (dataset_of([]), 'no person .* labelled'),
    (dataset_of([changed(ANN, keypoints=[0] * 51)]), 'no person .* labelled'),
    (dataset_of([changed(ANN, keypoints=None)]), r'bbox or keypoints .* id 7'),
    (dataset_of([changed(ANN, bbox=[1, 2])]), 'bbox .* four numbers .* id 7'),
    (dataset_of([changed(ANN, keypoints=[1, 2, 2])]),
     '51 numbers .*; 7 has 3.* 17'),
    (dataset_of([annotation(POSE[:2])], names=['nose', 'left_paw']),
     r"sigma.*\['paw'\]"),
])
def test_annotations_that_cannot_be_evaluated_against(dataset, message):
    with pytest.raises(ValueError, match=message):
        read_truth(dataset)


@pytest.mark.parametrize('results, message', [
    (dataset_of([ANN]), 'list of persons, got dict'),
    ([], 'the results are empty'),
    ([RES, 5], 'result 1 is 5'),
    ([changed(RES, score=None)], "result 0 .* 'score'"),
    ([changed(RES, score='high')], r"result 0's score .*\['high'\]"),
    ([changed(RES, image_id=[1])], r"result 0's image_id .* \[1\]"),
    ([changed(RES, keypoints=7)], "result 0's keypoints .* list"),
    ([changed(RES, keypoints=['1'] * 51)], "result 0's keypoints .* 51"),
    ([changed(RES, category_id=3)], 'result 0 .* category 3, .* 1'),
    ([RES, changed(RES, image_id=44)], r'1 images .* \[44\]'),
    ([result(POSE[:14])],
     'result 0 .* 42 .* 17 .* 51'),
    ([changed(RES, keypoints=[float('nan')] * 51)], '51 finite numbers'),
    ([changed(RES, keypoints=['x'] * 51)], "result 0's keypoints .* 51"),
    ([RES, changed(RES, bbox=[0, 0, 9, 9])], "some .* 'bbox'"),
    ([changed(RES, bbox=[0, 0, 9])], "result 0's bbox .* 4"),
    ([changed(RES, bbox=[0, 0, 9, -1])], "result 0's bbox .* pixels"),
    ([changed(RES, bbox=[1e300, 0, 9, 9])], "result 0's bbox .* pixels"),
    ([changed(RES, keypoints=[-1e300] * 51)],
     "result 0's keypoints .* up to 1,000,000, got 1e\\+300"),
    ([changed(RES, image_id=True)], "result 0's image_id .* True"),
])
def test_results_that_cannot_be_diagnosed(results, message):
    truth = read_truth(dataset_of([ANN]))
    with pytest.raises(ValueError, match=message):
        read_results(results, truth)


@pytest.mark.parametrize('sigmas', [[.1] * 14, [.1] * 16 + [0],
                                    [.1] * 16 + [np.inf],
                                    [.1] * 16 + [np.nan]])
def test_sigmas_that_do_not_fit(sigmas):
    with pytest.raises(ValueError, match='17 .* positive sigmas'):
        read_truth(dataset_of([ANN]), sigmas)


@pytest.mark.parametrize('areas', [(2., 1.), (np.nan, 9.), (0., np.nan),
                                   (-1., 5.)])
def test_areas_that_are_no_range(areas):
    with pytest.raises(ValueError, match='area_range is .*least'):
        diagnosis(dataset_of([ANN]), [RES], areas)


def test_areas_in_which_nobody_is():
    with pytest.raises(ValueError, match=r'area in \[1.0, 2.0\]'):
        diagnosis(dataset_of([ANN]), [RES], (1., 2.))

"""Planted errors, hand arithmetic, and the numbers of the published tool.

``data/diagnosis_published.json`` holds what the published tool (coco-analyze)
says of the people and results made here by rule, and of coco_mini's with the
same rule. Of its code only ``numpy.float`` and the lengths that it gives to
``numpy.linspace`` were changed, to run on Python 3. Without zero-filled
keypoints all numbers agree; with them, all but those after fixing the scores.
"""
import copy
import json
from functools import lru_cache

import numpy as np
import pytest
from degraded_results import (FLIP, POSE, SIGMAS, annotation, dataset_of,
                              degraded, diagnosis, people, result)
from factories import COCO_MINI, COCO_NAMES, DATA
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmpose_ssa.decoding.keypoints import keypoint_similarity
from mmpose_ssa.diagnosis import diagnose, evaluator
from mmpose_ssa.diagnosis.evaluator import (GOOD, INVERSION, JITTER, KINDS,
                                            MISS, SWAP, UNLABELLED, Evaluator,
                                            classify, fix_scores,
                                            suppress_duplicates)
from mmpose_ssa.diagnosis.oks import OksEvaluation
from mmpose_ssa.diagnosis.results import read_results, read_truth

PUBLISHED = DATA / 'diagnosis_published.json'
COCO_RANGE = (0, 1e10)


# --- the published tool -----------------------------------------------------


@lru_cache(maxsize=None)
def published_case(name):
    """The published numbers, annotations, results, and our diagnosis."""
    case = json.loads(PUBLISHED.read_text())[name]
    if name.startswith('coco_mini'):
        split = name.split()[1]
        path = COCO_MINI / f'annotations/person_keypoints_{split}2017.json'
        if not path.is_file():
            pytest.skip(f'needs the COCO annotations {path}')
        dataset = json.loads(path.read_text())
    else:
        dataset = people(0)
    results = degraded(dataset, case['seed'], case['missing'])
    return case, dataset, results, diagnosis(dataset, results)


CASES = ('synthetic', 'synthetic zero-filled', 'coco_mini val',
         'coco_mini train')


@pytest.mark.parametrize('name', CASES)
def test_all_numbers_are_those_of_the_published_tool(name):
    case, dataset, _, got = published_case(name)
    # each keypoint of each matched person
    annotations = {ann['id']: ann for ann in dataset['annotations']}
    kinds = {}
    for match in got.matched:
        visible = annotations[match['annotation_id']]['keypoints'][2::3]
        kinds[str(match['result'])] = [match['annotation_id'], ''.join(
            match['errors'].get(name, 'good')[0] if v else '-'
            for name, v in zip(COCO_NAMES, visible))]
    assert kinds == case['persons']
    assert got.counts.tolist() == case['counts']
    assert (got.counts.sum(axis=0) > 5).all()  # every kind occurs
    # what each is worth; with zero-filled keypoints the scores differ
    gains, cumulative = dict(case['gains']), dict(case['cumulative'])
    # -1 instead of 1 at the thresholds where nothing is matched
    gains['false negative'] += .2 * case['thresholds_without_match']
    if case['missing']:
        del gains['score'], cumulative['score'], cumulative['false positive']
    assert got.ap == pytest.approx(case['ap'], abs=1e-12)
    assert {error: got.gains[error] for error in gains} == pytest.approx(
        gains, abs=1e-12)
    assert {error: got.cumulative[error] for error in cumulative
            } == pytest.approx(cumulative, abs=1e-12)


@pytest.mark.parametrize('name', CASES)
def test_unmatched_persons_are_the_published_ones_that_count(name):
    case, dataset, results, got = published_case(name)
    truth = read_truth(dataset)
    large = {person['index'] for person in read_results(results, truth)
             if person['area'] >= 32**2}
    wanted = {ann['id'] for ann in dataset['annotations']
              if ann['num_keypoints'] and not ann['iscrowd']
              and ann['area'] >= 32**2}
    extra = [set(ids) & large for ids in case['false_positives']]
    unseen = [set(ids) & wanted for ids in case['false_negatives']]
    assert got.false_positives.tolist() == [len(ids) for ids in extra]
    assert got.false_negatives.tolist() == [len(ids) for ids in unseen]
    assert got.background == sorted(set.intersection(*extra))
    assert got.overlooked == sorted(set.intersection(*unseen))
    # the cases are worth something: both kinds, and some that do not count
    assert got.background and got.overlooked
    assert len(case['false_negatives'][0]) > len(unseen[0])


@pytest.mark.parametrize('area_range', [(32**2, 1e10), COCO_RANGE,
                                        (32**2, 96**2)])
def test_ap_before_fixing_is_that_of_cocoeval(area_range):
    dataset, results = people(3), degraded(people(3), 4, .1)
    coco = COCO()
    coco.dataset = copy.deepcopy(dataset)
    coco.createIndex()
    coco_eval = COCOeval(coco, coco.loadRes(copy.deepcopy(results)),
                         'keypoints')
    if area_range != COCO_RANGE:  # that one is COCO's own
        coco_eval.params.areaRng[0] = list(area_range)
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    assert .05 < coco_eval.stats[0] < .95
    assert diagnosis(dataset, results, area_range).ap == pytest.approx(
        coco_eval.stats[0], abs=1e-12)


# --- thresholds by hand -----------------------------------------------------


def judged(points, *truths, areas=None):
    """Kinds and fixed points of a person; full visibility, area 10000."""
    truths = np.array([np.column_stack([t, np.full(17, 2)]) for t in truths])
    points = np.column_stack([points, np.ones(17)])
    areas = np.array(areas or [1e4] * len(truths))
    return classify(points, truths, areas, SIGMAS, FLIP)


@pytest.mark.parametrize('distance, kind', [
    (0, GOOD), (2.96, GOOD), (2.97, JITTER), (6.12, JITTER), (6.13, MISS)])
def test_the_thresholds_of_the_nose_in_pixels(distance, kind):
    # KS = exp(-d^2 / (2 * 10000 * 0.052^2)): 0.85 at 2.9646, 0.5 at 6.1226
    points = POSE.copy()
    points[0, 1] -= distance
    kinds, fixed = judged(points, POSE)
    assert kinds.tolist() == [kind] + [GOOD] * 16
    # the distances above, halved as in the published tool, to the right
    moved = {GOOD: points[0] - POSE[0], JITTER: (1.4823, 0),
             MISS: (3.0613, 0)}[kind]
    assert fixed[0] == pytest.approx(POSE[0] + moved, abs=1e-4)
    assert (fixed[1:] == POSE[1:]).all()


def test_a_similarity_of_the_threshold_itself_is_good(monkeypatch):
    points = POSE.copy()
    points[0] += 2, 1
    exact = keypoint_similarity(points, POSE, 1e4, SIGMAS)[0]
    monkeypatch.setattr(evaluator, 'GOOD_KS', exact)
    assert judged(points, POSE)[0][0] == GOOD
    monkeypatch.setattr(evaluator, 'GOOD_KS', exact + 1e-9)
    assert judged(points, POSE)[0][0] == JITTER


def test_each_planted_error_is_found_and_nothing_else():
    other = POSE + (200, 0)
    points = POSE.copy()
    points[13] += 10, 0          # left knee: KS exp(-100 / 605.5) = 0.848
    points[9] = POSE[10]       # left wrist on the right one
    points[7] = other[7]         # left elbow on the other's
    points[16] = other[15]       # right ankle on the other's left one
    points[5] += 0, 90           # left shoulder nowhere
    kinds, fixed = judged(points, POSE, other)
    expected = np.full(17, GOOD)
    expected[[13, 9, 7, 16, 5]] = JITTER, INVERSION, SWAP, SWAP, MISS
    assert kinds.tolist() == expected.tolist()
    # inversions and swaps keep their KS, here 1: onto the point itself
    assert fixed[[9, 7, 16]] == pytest.approx(POSE[[9, 7, 16]])


def test_the_closest_decides_even_above_the_good_threshold():
    other = POSE.copy()
    other[11] += 8, 0
    points = POSE.copy()
    points[11] += 5, 0  # KS of its own 0.973, of the other's 0.990
    assert judged(points, POSE, other)[0][11] == SWAP
    # a small other person's tolerance is small
    assert judged(points, POSE, other, areas=[1e4, 1e3])[0][11] == GOOD
    # nose: its opposite side is itself, hence never inverted
    assert judged(POSE, POSE)[0][0] == GOOD


def test_fixed_inversions_keep_their_similarity():
    points = POSE.copy()
    points[9] = POSE[10] + (8, 0)
    # 8 px from the wrong wrist; published halving: to 4 px from the right one
    kinds, fixed = judged(points, POSE)
    assert kinds[9] == INVERSION
    assert fixed[9] == pytest.approx(POSE[9] + (4, 0))


def test_unlabelled_points_are_of_no_kind():
    truth = np.column_stack([POSE, np.full(17, 2)])[None]
    truth[0, [3, 10]] = 0
    points = np.column_stack([POSE, np.ones(17)])
    points[9, :2] = POSE[10]  # on the right wrist, which is not labelled
    kinds, fixed = classify(points, truth, np.array([1e4]), SIGMAS, FLIP)
    assert kinds[[3, 10]].tolist() == [UNLABELLED] * 2
    assert kinds[9] == MISS
    assert (fixed[[3, 10]] == POSE[[3, 10]]).all()


def test_zero_filled_points_are_missed_even_at_the_corner():
    pose = POSE - POSE[0] + (1, 1)  # the nose beside the origin
    truth = np.column_stack([pose, np.full(17, 2)])[None]
    points = np.column_stack([pose, np.full(17, .5)])
    points[0] = 0
    areas = np.array([1e4])
    kinds, fixed = classify(points, truth, areas, SIGMAS, FLIP)
    assert kinds.tolist() == [MISS] + [GOOD] * 16
    assert fixed[0] == pytest.approx((1 + 3.0613, 1), abs=1e-4)
    points[0, 2] = .1  # found there indeed
    assert classify(points, truth, areas, SIGMAS, FLIP)[0][0] == GOOD


# --- whole diagnoses --------------------------------------------------------


def test_perfect_results_leave_nothing_to_fix():
    dataset = people(5)
    results = [
        result(np.reshape(ann['keypoints'], (-1, 3)), .5, ann['image_id'])
        for ann in dataset['annotations'] if ann['num_keypoints']
        and not ann['iscrowd']
    ]
    got = diagnosis(dataset, results)
    assert got.shares == dict(zip(KINDS, (1, 0, 0, 0, 0)))
    assert got.ap == pytest.approx(1)
    assert list(got.gains.values()) == pytest.approx([0] * 7)
    assert list(got.cumulative.values()) == pytest.approx([1] * 7)
    assert not got.false_positives.any() and not got.false_negatives.any()
    assert got.background == got.overlooked == []
    assert len(got.matched) == len(results)
    assert not any(match['errors'] for match in got.matched)


def test_errors_are_told_of_the_right_person_once():
    first, second = POSE + 20, POSE + (220, 20)
    points = second.copy()
    points[10], points[9] = second[9], second[10]
    points[0] = 0, 0
    points = np.column_stack([points, np.full(17, .5)])
    points[0, 2] = 0
    got = diagnosis(
        dataset_of([annotation(first, 31), annotation(second, 32)]),
        [result(points, .8), result(first, .7)])
    assert sorted(got.matched, key=lambda match: match['result']) == [
        dict(result=0, annotation_id=32, errors=dict(
            nose='miss', left_wrist='inversion', right_wrist='inversion')),
        dict(result=1, annotation_id=31, errors={})
    ]
    assert got.counts.sum(axis=0).tolist() == [31, 0, 2, 0, 1]
    assert got.counts[0].tolist() == [1, 0, 0, 0, 1]
    assert got.shares['inversion'] == pytest.approx(2 / 34)


def test_one_overlooked_person_of_two():
    got = diagnosis(
        dataset_of([annotation(POSE, 31), annotation(POSE, 32, image=2)]),
        [result(POSE, image=2)])
    assert got.overlooked == [31] and got.background == []
    assert got.false_negatives.tolist() == [1] * 10
    # precision 1 up to recall 0.5: 51 of the 101 points of the curve
    assert got.ap == pytest.approx(51 / 101)
    assert got.gains['false negative'] == pytest.approx(50 / 101)
    assert sum(got.gains.values()) == pytest.approx(50 / 101)


def test_one_person_found_where_none_is():
    got = diagnosis(
        dataset_of([annotation(POSE)]),
        [result(POSE, .6), result(POSE, .7, image=2)])
    assert got.background == [1] and got.overlooked == []
    assert got.false_positives.tolist() == [1] * 10
    # the first of two is wrong: precision 1/2 at any recall
    assert got.ap == pytest.approx(.5)
    assert got.gains['false positive'] == pytest.approx(.5)
    assert got.gains['score'] == pytest.approx(.5)  # last in order, harmless
    assert got.gains['false negative'] == pytest.approx(0)
    assert got.gains['miss'] == 0


def test_a_fixed_keypoint_reaches_the_fourth_root():
    def lowered(similarity):
        """All keypoints too low by what gives this KS."""
        lower = np.sqrt(-np.log(similarity) * 8 * 1e4) * SIGMAS
        return result(POSE + np.outer(lower, (0, 1)))

    truth = dataset_of([annotation(POSE)])
    got = diagnosis(truth, [lowered(.25)])
    assert got.shares['miss'] == 1 and got.ap == 0
    # 0.5 ** (1/4) = 0.841: 7 of the 10 thresholds
    assert got.gains['miss'] == pytest.approx(.7)
    got = diagnosis(truth, [lowered(.63)])
    assert got.shares['jitter'] == 1
    assert got.ap == pytest.approx(.3)  # 0.5, 0.55 and 0.6
    # 0.85 ** (1/4) = 0.960, above all thresholds
    assert got.cumulative['jitter'] == pytest.approx(1)
    assert got.gains['jitter'] == pytest.approx(.7)


@pytest.mark.parametrize('seed', [1, 2])
def test_shares_add_up_and_everything_fixed_is_perfect(seed):
    got = diagnosis(people(seed), degraded(people(seed), seed, .1))
    assert sum(got.shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in got.shares.values())
    after = list(got.cumulative.values())
    assert after[-1] == 1
    assert got.ap < after[0] and after == sorted(after)
    assert got.ap + got.gains['false positive'] + got.gains[
        'false negative'] == pytest.approx(1)


def test_nobody_matched():
    got = diagnosis(dataset_of([annotation(POSE)]),
                    [result(POSE + 500)])
    assert got.matched == [] and not got.counts.any()
    assert list(got.shares.values()) == [0] * 5
    assert got.ap == 0 and got.gains['false negative'] == 1
    assert got.background == [0] and got.overlooked == [7]


def test_the_order_of_the_files_does_not_matter(rng):
    dataset, results = people(6), degraded(people(6), 7, .1)
    for number, entry in enumerate(results):  # no ties
        entry['score'] += number * 1e-7
    order = rng.permutation(len(results))
    mixed = copy.deepcopy(dataset)
    for key in ('images', 'annotations'):
        mixed[key] = [mixed[key][i] for i in rng.permutation(len(mixed[key]))]
    one = diagnosis(dataset, results)
    two = diagnosis(mixed, [results[i] for i in order])
    assert (one.counts == two.counts).all()
    assert one.gains == pytest.approx(two.gains, abs=1e-12)
    assert one.cumulative == pytest.approx(two.cumulative, abs=1e-12)
    assert one.overlooked == two.overlooked
    assert one.background == sorted(order[two.background])
    assert {m['annotation_id']: m['errors'] for m in one.matched} == {
        m['annotation_id']: m['errors'] for m in two.matched}


def test_nothing_given_is_changed():
    dataset, results = people(1), degraded(people(1), 1)
    before = copy.deepcopy((dataset, results))
    truth = read_truth(dataset)
    persons = read_results(results, truth)
    read = copy.deepcopy(persons)
    diagnose(dataset, results)
    Evaluator(truth, persons).diagnosis()
    assert (dataset, results) == before and persons == read


# --- scores -----------------------------------------------------------------


def test_duplicates_lose_their_score_by_their_similarity():
    one = np.column_stack([POSE, np.ones(17)])
    far = np.column_stack([POSE + 900, np.ones(17)])
    scores = suppress_duplicates(
        np.array([one, one, far]), np.array([.5, .9, .4]), SIGMAS)
    # equal to the better one: exp(-1^2 / 0.5)
    assert scores == pytest.approx([.5 * np.exp(-2), .9, .4])


def test_missing_keypoints_are_no_evidence_of_a_duplicate():
    full = np.column_stack([POSE, np.ones(17)])
    upper, lower, part = full.copy(), full.copy(), full.copy()
    upper[8:], lower[:8], part[4:] = 0, 0, 0
    scores = np.array([.9, .8])
    assert suppress_duplicates(
        np.array([upper, lower]), scores, SIGMAS).tolist() == [.9, .8]
    assert suppress_duplicates(np.array([upper, upper]), scores, SIGMAS
                               ) == pytest.approx([.9, .8 * np.exp(-2)])
    # of 8 points of either, 4 are of both: OKS 1/2
    assert suppress_duplicates(np.array([upper, part]), scores, SIGMAS
                               ) == pytest.approx([.9, .8 * np.exp(-.5)])
    nothing = np.zeros((2, 17, 3))
    assert suppress_duplicates(nothing, scores, SIGMAS).tolist() == [.9, .8]


def test_the_best_scores_are_what_each_person_reaches():
    dataset = dataset_of([
        annotation(POSE), annotation(POSE + 300, 8, iscrowd=1)])
    truth = read_truth(dataset)
    half = POSE.copy()
    half[:, 0] += np.sqrt(-np.log(.6) * 8e4) * SIGMAS
    persons = read_results([
        result(POSE + 300, .9), result(half, .2),
        result(POSE, .5, image=2)], truth)
    better = fix_scores(OksEvaluation(truth, persons, COCO_RANGE), {})
    scores = {person['index']: person['score'] for person in better.persons}
    # a crowd is not to be found; nobody is in the second image
    assert scores == pytest.approx({0: 0, 1: .6, 2: 0}, abs=1e-6)

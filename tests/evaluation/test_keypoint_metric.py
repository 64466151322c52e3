"""AP and AR of keypoint results: by hand, and as MMPose's evaluation."""
import copy
import json

import numpy as np
import pytest
from degraded_results import SIGMAS, degraded, people
from factories import content, person, result, without
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from mmpose_ssa.decoding.keypoints import keypoint_extents
from mmpose_ssa.diagnosis.results import read_truth
from mmpose_ssa.evaluation.keypoint_metric import METRICS, keypoint_metrics

K = 17


def one_person(rng):
    """Annotations of one medium person."""
    points = rng.uniform(10, 50, (K, 2))
    names = [f'point_{k}' for k in range(K)]
    return content([person(points, box=(10, 10, 50, 50))], names=names)


def test_metrics_of_perfect_results_and_of_none(rng):
    annotations = one_person(rng)
    before = copy.deepcopy(annotations)
    truth = read_truth(annotations, np.full(K, .05))
    perfect = dict(image_id=1, score=1.,
                   keypoints=annotations['annotations'][0]['keypoints'])
    given = copy.deepcopy(perfect)
    assert keypoint_metrics(truth, [perfect]) == pytest.approx({
        'AP': 1, 'AP .5': 1, 'AP .75': 1, 'AP (M)': 1, 'AP (L)': -1, 'AR': 1})
    assert keypoint_metrics(truth, [])['AP'] == 0
    assert (annotations, perfect) == (before, given)


def test_the_size_of_results_without_bbox_is_that_of_what_is_found(rng):
    """A false positive is small, and not wrong among medium persons, if the
    (0, 0) of missing keypoints does not count."""
    annotations = one_person(rng)
    truth = read_truth(annotations, np.full(K, .05))
    perfect = dict(image_id=1, score=.5,
                   keypoints=annotations['annotations'][0]['keypoints'])
    wrong = result([(60, 60), (70, 70)])  # 10^2 pixels, not 70^2
    alone = keypoint_metrics(truth, [wrong, perfect])
    assert alone['AP (M)'] == pytest.approx(1)
    assert alone['AP'] == pytest.approx(.5)
    # of either order, with and without bbox
    for results in ([dict(wrong, bbox=[60, 60, 10, 10]), perfect],
                    [perfect, dict(wrong, bbox=[60, 60, 10, 10])]):
        assert keypoint_metrics(truth, results) == alone
    # a bbox counts where there is one, here of a medium person
    large = dict(wrong, bbox=[0, 0, 70, 70])
    medium = keypoint_metrics(truth, [large, perfect])['AP (M)']
    assert medium == pytest.approx(.5)


@pytest.mark.parametrize('missing', [0., .2])
@pytest.mark.parametrize('with_area', [True, False])
@pytest.mark.parametrize('split', ['people', 'train', 'val'])
def test_it_is_what_mmpose_reports(request, split, with_area, missing):
    """xtcocotools, which MMPose evaluates by, has an implementation of its
    own; of annotations without area it takes 0.53 of the box."""
    if split == 'people':
        annotations = people(2)
    else:
        folder = request.getfixturevalue('coco_mini') / 'annotations'
        annotations = json.loads(
            (folder / f'person_keypoints_{split}2017.json').read_text())
    results = degraded(annotations, 3, missing)
    if not with_area:
        # and without masks, whose areas would be taken first
        annotations['annotations'] = [without(ann, 'area', 'segmentation')
                                      for ann in annotations['annotations']]
    got = keypoint_metrics(read_truth(annotations, SIGMAS), results)
    coco = COCO()
    coco.dataset = annotations
    coco.createIndex()
    for found in results:
        points = np.reshape(found['keypoints'], (1, -1, 3))
        (x0, y0, x1, y1), = keypoint_extents(points[..., :2], points[..., 2])
        found['bbox'] = [x0, y0, x1 - x0, y1 - y0]
    evaluation = COCOeval(coco, coco.loadRes(results), 'keypoints', SIGMAS,
                          use_area=with_area)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert .01 < got['AP'] < .9
    assert got == pytest.approx(
        dict(zip(METRICS, evaluation.stats)), abs=1e-12)

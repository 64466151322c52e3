"""COCO results in, refined COCO results out."""
import copy
import json

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS
from numpy.testing import assert_allclose
from refined import SIZES, TINY, K, Recorder, a_result, data, refiner, weights

from mmpose_ssa import cli
from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.apis.refined_results import (of_category, refine_results,
                                             scorer, with_masks)
from mmpose_ssa.decoding.masks import encode_rle
from mmpose_ssa.models.refiner import Refiner

__all__ = ['data', 'refiner', 'weights']
pytestmark = pytest.mark.usefixtures('mmpose')


def command(*arguments):
    cli.main(['refine', *map(str, arguments)])


def keypoints(results):
    return np.array([result['keypoints'] for result in results])


# --- the command ------------------------------------------------------------


def refined_by_the_estimator(data, weights, refiner, fill):
    cfg = Config.fromfile(TINY)
    cfg.model.refiner = dict(config=refiner[0], checkpoint=refiner[1])
    cfg.model.test_cfg.fill_missing = fill
    cfg.test_dataloader.dataset.pipeline[0].keep_original = True
    inferencer = SSAInferencer(cfg, weights / 'ssa_tiny_64.pth', 'cpu')
    return [person for i in SIZES for result in inferencer(data / f'{i}.png')
            for person in result['predictions']]


@pytest.mark.parametrize('fill', [True, False])
def test_it_gives_what_the_estimator_gives(tmp_path, capsys,
                                           data, weights, refiner, fill):
    command(data / 'predictions.json', '--topdown', *refiner,
            '--img-dir', data, '--out', tmp_path / 'new/refined.json',
            *([] if fill else ['--no-fill']))
    results = json.loads((tmp_path / 'new/refined.json').read_text())
    expected = refined_by_the_estimator(data, weights, refiner, fill)
    assert len(results) == len(expected) > 2
    for result, wanted in zip(results, expected):
        assert result.keys() == wanted.keys()
        for key in ('keypoints', 'keypoint_scores', 'score', 'bbox'):
            assert_allclose(result[key], wanted[key], atol=1e-3)
        for key in ('image_id', 'file_name', 'category_id', 'segmentation'):
            assert result[key] == wanted[key]
    before = json.loads((data / 'predictions.json').read_text())
    filled = (keypoints(results) != 0) & (keypoints(before) == 0)
    assert filled.any() == fill
    said = capsys.readouterr().out
    assert f'{len(results)} persons in 2 images' in said
    assert 'before' not in said  # nothing to compare with


def test_results_and_masks_of_a_test(tmp_path, data, refiner):
    """Keypoints as CocoMetric writes them, masks as PersonMaskMetric does;
    both are given the same samples."""
    both = json.loads((data / 'predictions.json').read_text())
    samples = [sample_of([r for r in both if r['image_id'] == number],
                         number, *SIZES[number]) for number in (22, 1)]
    for kind, more in (('PersonMaskMetric', {}),
                       ('CocoMetric', dict(score_mode='bbox',
                                           nms_mode='none'))):
        metric = METRICS.build(dict(
            type=kind, format_only=True, outfile_prefix=str(tmp_path / 'a'),
            ann_file=str(data / 'persons.json'), **more))
        metric.dataset_meta = parse_pose_metainfo(
            dict(from_file='configs/_base_/datasets/coco.py'))
        metric.process({}, copy.deepcopy(samples))
        metric.evaluate(2)
    points = json.loads((tmp_path / 'a.keypoints.json').read_text())
    assert len(points) == len(both) and 'segmentation' not in points[0]
    for name, given in (('both', data / 'predictions.json'),
                        ('apart', tmp_path / 'a.keypoints.json')):
        command(given, '--topdown', *refiner, '--img-dir', data,
                '--ann-file', data / 'persons.json',
                '--out', tmp_path / f'{name}.json', *(
                    ['--masks', tmp_path / 'a.masks.json']
                    if name == 'apart' else []))
    first, second = (json.loads((tmp_path / f'{name}.json').read_text())
                     for name in ('both', 'apart'))
    for results in (first, second):
        results.sort(key=lambda result: (result['image_id'], result['score']))
    assert_allclose(keypoints(second), keypoints(first), atol=1e-3)
    for one, other in zip(first, second):
        assert one['segmentation'] == other['segmentation']


def sample_of(results, number, h, w):
    """What a test hands its metrics for an image's results."""
    points = keypoints(results).reshape(-1, K, 3)
    return dict(
        id=[number], img_id=number, ori_shape=(h, w), category_id=1,
        gt_instances={},
        pred_instances=dict(
            keypoints=points[..., :2], keypoint_scores=points[..., 2],
            bbox_scores=np.array([r['score'] for r in results]),
            masks=[r['segmentation'] for r in results]))


def test_ap_before_and_after(monkeypatch, tmp_path, capsys, data, refiner):
    """Eleven of 17 keypoints are found and exact, OKS 11/17: a match at the
    thresholds 0.5, 0.55 and 0.6 of ten. The refiner knows the others."""
    truth, = json.loads((data / 'persons.json').read_text())['annotations']
    exact = np.reshape(truth['keypoints'], (K, 3))
    points = exact.copy()
    points[11:] = 0
    (tmp_path / 'in.json').write_text(json.dumps([dict(
        image_id=1, score=.9, keypoints=points.ravel().tolist())]))
    monkeypatch.setattr(Refiner, 'predict', lambda self, image, boxes, device:
                        (exact[None, :, :2], np.ones((1, K))))
    command(tmp_path / 'in.json', '--topdown', *refiner,
            '--img-dir', data, '--ann-file', data / 'persons.json', '--out',
            tmp_path / 'out.json')
    said = capsys.readouterr().out.splitlines()
    start, = (i for i, line in enumerate(said) if line.split() == [
        'before', 'after'])
    assert [line.rsplit(maxsplit=2) for line in said[start + 2:-1]] == [
        ['AP', '0.300', '1.000'], ['AP .5', '1.000', '1.000'],
        ['AP .75', '0.000', '1.000'], ['AP (M)', '0.300', '1.000'],
        ['AP (L)', '-1.000', '-1.000'], ['AR', '0.300', '1.000']]
    assert said[-1] == (f'of all {len(SIZES)} images of '
                        f'{data / "persons.json"}, of which the results have '
                        '1')


def test_annotations_need_no_names_of_keypoints(data, refiner):
    """Those of the refiner stand in, as MMPose's metainfo does."""
    content = json.loads((data / 'persons.json').read_text())
    results = [dict(image_id=1, score=1.,
                    keypoints=content['annotations'][0]['keypoints'])]
    del content['categories'][0]['keypoints']
    score = scorer(Refiner(*refiner), content)
    assert score(results)['AP'] == pytest.approx(1)
    for nothing in (None, dict(images=[]), dict(annotations=[dict(id=1)])):
        assert scorer(Refiner(*refiner), nothing)(results) == {}


def test_annotations_of_the_results_category_among_others(data, refiner):
    content = json.loads((data / 'persons.json').read_text())
    cow, = content['annotations']
    results = [dict(image_id=1, score=1., category_id=7,
                    keypoints=cow['keypoints'])]
    person, = content['categories']
    content['categories'] = [person, dict(person, id=7, name='cow')]
    content['annotations'] = [dict(cow, id=1, category_id=7),
                              dict(cow, id=2, image_id=2)]
    with pytest.raises(ValueError, match='one category must name keypoints'):
        scorer(Refiner(*refiner), content)
    own = of_category(content, results)
    assert [ann['id'] for ann in own['annotations']] == [1]
    assert scorer(Refiner(*refiner), own)(results)['AP'] == pytest.approx(1)
    assert of_category(content, []) is content
    assert of_category(content, [dict(category_id=9)]) is content


def test_rescoring(tmp_path, data, refiner):
    command(data / 'predictions.json', '--topdown', *refiner,
            '--img-dir', data, '--out', tmp_path / 'out.json', '--rescore')
    for result in json.loads((tmp_path / 'out.json').read_text()):
        scores = np.reshape(result['keypoints'], (K, 3))[:, 2]
        assert result['score'] == pytest.approx(scores.mean())


def test_results_of_nobody(tmp_path, data, refiner):
    (tmp_path / 'in.json').write_text('[]')
    command(tmp_path / 'in.json', '--topdown', *refiner,
            '--img-dir', data, '--out', tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text()) == []


def test_boxes_of_masks_of_results_and_of_keypoints(data, refiner):
    mask = np.zeros((70, 110, 2), np.uint8)
    mask[7:50, 10:33, 0] = 1
    full, empty = encode_rle(mask)
    recorder = Recorder(refiner)
    refined = refine_results(recorder, [
        a_result(segmentation=full, bbox=[1, 2, 30, 40]),
        a_result(segmentation=empty, bbox=[1, 2, 30, 40]),
        a_result(bbox=[1, 2, 30, 40]),
        a_result(),
    ], {1: data / '1.png'})
    assert recorder.boxes == [[10, 7, 33, 50], [1, 2, 31, 42], [1, 2, 31, 42],
                              [20, 30, 40, 60]]
    for one in refined:
        points = np.reshape(one['keypoints'], (K, 3))
        # far from the first look: it stays, and the others are filled
        assert points[[0, 5]].tolist() == [[20, 30, .5], [40, 60, .4]]
        assert (np.delete(points, [0, 5], axis=0) == [9, 8, .7]).all()
        assert one['bbox'] == [9, 8, 31, 52] and one['score'] == .3


def test_masks_find_their_keypoints():
    masks = [dict(image_id=i, score=s, segmentation=f'{i} {s}')
             for i, s in ((1, .2), (2, .5), (1, .1))]
    points = [dict(image_id=i, score=s, keypoints=[])
              for i, s in ((2, .5), (1, .2), (1, .1))]
    assert [r['segmentation'] for r in with_masks(points, masks)] == [
        '2 0.5', '1 0.2', '1 0.1']
    assert 'segmentation' not in points[0]
    with pytest.raises(ValueError, match='image 1: 1 masks .* 2 images'):
        with_masks(points[1:2], masks)
    for wrong in (masks[:2], masks[::-1], []):
        with pytest.raises(ValueError, match='masks.*same test'):
            with_masks(points, wrong)

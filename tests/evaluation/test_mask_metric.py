"""Mask AP against hand arithmetic and against COCO's own evaluation."""
import contextlib
import io
import json
from pathlib import Path

import factories
import numpy as np
import pycocotools.mask as coco_mask
import pytest
from factories import COCO_MINI
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmpose.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmpose_ssa.evaluation.mask_metric import TABLE_3, PersonMaskMetric

SHAPE = (120, 200)


def box_mask(x, y, w, h):
    mask = np.zeros(SHAPE, np.uint8, order='F')
    mask[y:y + h, x:x + w] = 1
    return mask


def rle(mask):
    return coco_mask.encode(np.asfortranarray(mask))


def person(ann_id, image_id, x, y, w, h, v=2, **extra):
    """A rectangular person with one keypoint of visibility ``v``."""
    return factories.person([(x + 1, y + 1, v)], ann_id, image_id,
                            box=(x, y, x + w, y + h), **extra)


def write(folder, annotations, images=(1, ), **more):
    return str(factories.write_annotations(
        folder, annotations, {i: SHAPE for i in images}, **more))


def sample(image_id, masks, scores, shape=SHAPE):
    return dict(img_id=image_id, ori_shape=shape, pred_instances=dict(
        masks=masks, bbox_scores=np.float32(scores)))


def evaluate(ann_file, *samples, **options):
    metric = PersonMaskMetric(ann_file, **options)
    metric.process({}, samples)
    metrics = metric.evaluate(len(samples))
    return {name.removeprefix('mask/'): v for name, v in metrics.items()}


def test_truth_as_prediction_is_perfect(tmp_path):
    people = [person(1, 1, 10, 10, 100, 100),  # large
              person(2, 2, 10, 10, 50, 50)]  # medium
    metrics = evaluate(
        write(tmp_path, people, (1, 2)),
        sample(1, [rle(box_mask(10, 10, 100, 100))], [.5]),
        sample(2, [rle(box_mask(10, 10, 50, 50))], [.4]))
    nobody_is_small = ('AP (S)', 'AR (S)')
    assert list(metrics) == list(TABLE_3) and len(metrics) == 12
    for name, value in metrics.items():
        expected = -1 if name in nobody_is_small else 1
        assert value == pytest.approx(expected), name


def test_precision_and_recall_by_hand(tmp_path):
    # Right, wrong, right: precision is 1 up to recall 0.5 (51 of COCO's 101
    # points), then 2 of 3
    people = [person(1, 1, 0, 0, 50, 100), person(2, 1, 60, 0, 50, 100)]
    masks = [box_mask(0, 0, 50, 100), box_mask(150, 0, 50, 100),
             box_mask(60, 0, 50, 100)]
    metrics = evaluate(write(tmp_path, people),
                       sample(1, [rle(m) for m in masks], [.9, .8, .7]))
    for name in ('AP', 'AP .5', 'AP .75', 'AP (M)'):
        assert metrics[name] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert metrics['AR1'] == .5  # one proposal finds one of two
    assert metrics['AR10'] == metrics['AR20'] == metrics['AR (M)'] == 1


def test_intersection_over_union_by_hand(tmp_path):
    # 62 of 100 rows: an IoU of 0.62 passes at .50, .55 and .60 of the ten
    metrics = evaluate(
        write(tmp_path, [person(1, 1, 0, 0, 50, 100)]),
        sample(1, [rle(box_mask(0, 0, 50, 62))], [.9]))
    assert metrics['AP'] == pytest.approx(.3)
    assert metrics['AP .5'] == pytest.approx(1)
    assert metrics['AP .75'] == 0
    assert metrics['AR20'] == pytest.approx(.3)


@pytest.mark.parametrize('wrong, found', [(19, 1), (20, 0)])
def test_twenty_proposals_count(tmp_path, wrong, found):
    masks = [box_mask(100, 0, 50, 50)] * wrong + [box_mask(0, 0, 50, 100)]
    scores = np.linspace(1, .5, len(masks))
    metrics = evaluate(write(tmp_path, [person(1, 1, 0, 0, 50, 100)]),
                       sample(1, [rle(m) for m in masks], scores))
    assert metrics['AR20'] == found
    assert metrics['AP'] == pytest.approx(found / 20)  # precision 1 of 20


def test_no_prediction_at_all(tmp_path):
    metrics = evaluate(write(tmp_path, [person(1, 1, 0, 0, 50, 100)]),
                       sample(1, [], []))
    assert metrics['AP'] == metrics['AP .5'] == metrics['AR20'] == 0
    assert metrics['AP (L)'] == -1


def test_an_image_not_predicted_counts_as_missed(tmp_path):
    people = [person(1, 1, 0, 0, 50, 100), person(2, 2, 0, 0, 50, 100)]
    metrics = evaluate(write(tmp_path, people, (1, 2)),
                       sample(1, [rle(box_mask(0, 0, 50, 100))], [.9]))
    assert metrics['AP'] == pytest.approx(51 / 101)
    assert metrics['AR20'] == .5


@pytest.mark.parametrize('v', [1, 2, .45])
def test_persons_without_keypoints(tmp_path, v):
    """Hidden keypoints are labelled, and so are confidences."""
    people = [person(1, 1, 0, 0, 50, 100, v=v),
              person(2, 1, 60, 0, 50, 100, v=0)]
    path = write(tmp_path, people)
    labelled = sample(1, [rle(box_mask(0, 0, 50, 100))], [.5])
    both = sample(1, [rle(box_mask(60, 0, 50, 100)),
                      rle(box_mask(0, 0, 50, 100))], [.9, .5])
    assert evaluate(path, labelled)['AP'] == pytest.approx(51 / 101)
    assert evaluate(path, both)['AP'] == pytest.approx(1)
    for found in (labelled, both):  # neither to be found nor wrong to find
        metrics = evaluate(path, found, ignore_unlabelled=True)
        assert metrics['AP'] == pytest.approx(1)


def test_crowds_are_ignored(tmp_path):
    runs = dict(size=list(SHAPE), counts=[120 * 60, 120 * 50, 120 * 90])
    people = [person(1, 1, 0, 0, 50, 100),
              person(2, 1, 60, 0, 50, 120, iscrowd=1, segmentation=runs)]
    masks = [box_mask(60, 0, 20, 100), box_mask(80, 0, 20, 100),
             box_mask(0, 0, 50, 100)]
    metrics = evaluate(write(tmp_path, people),
                       sample(1, [rle(m) for m in masks], [.9, .8, .7]))
    assert metrics['AP'] == pytest.approx(1)


def shaken(mask, rng):
    """A mask that overlaps the given one more or less."""
    dy, dx = rng.integers(-12, 13, 2)
    return np.roll(np.roll(mask, dy, 0), dx, 1)


def reference(ann_file, detections):
    """COCO's own evaluation; AP is right there with 100 proposals."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(ann_file)
        result = COCOeval(coco, coco.loadRes(detections), 'segm')
        result.params.maxDets = [1, 10, 100]
        result.evaluate()
        result.accumulate()
        result.summarize()
    return result.stats


def assert_equals_coco(ann_file, images, seed=0):
    """Fewer than 20 predictions per image: 20 and 100 are the same."""
    rng, samples, detections = np.random.default_rng(seed), [], []
    for image_id, truth in images.items():
        masks = [shaken(m, rng) for m in truth for _ in range(2)][:19]
        masks = [m for m in masks if rng.random() < .8]
        scores = rng.random(len(masks)).astype(np.float32)
        shape = truth[0].shape
        samples.append(sample(image_id, [rle(m) for m in masks], scores,
                              shape))
        detections += [
            dict(image_id=image_id, category_id=1, segmentation=rle(m),
                 score=float(s)) for m, s in zip(masks, scores)]
    metrics = evaluate(ann_file, *samples)
    stats = reference(ann_file, detections)
    assert 0 < metrics['AP'] < 1
    assert list(metrics.values()) == pytest.approx(stats, abs=1e-9)


def test_equals_cocos_own_evaluation(tmp_path):
    rng, people, images = np.random.default_rng(5), [], {}
    for image_id in range(1, 13):
        for _ in range(rng.integers(1, 5)):
            w, h = rng.integers(15, 110, 2)
            x, y = rng.integers(0, [SHAPE[1] - w, SHAPE[0] - h])
            box = [int(v) for v in (x, y, w, h)]
            people.append(person(len(people) + 1, image_id, *box))
            images.setdefault(image_id, []).append(box_mask(*box))
    assert_equals_coco(write(tmp_path, people, list(images)), images)


@pytest.mark.skipif(not COCO_MINI.is_dir(), reason=f'{COCO_MINI} is absent')
def test_equals_cocos_own_evaluation_on_real_persons():
    path = COCO_MINI / 'annotations/person_keypoints_val2017.json'
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    images = {}
    for ann in coco.loadAnns(coco.getAnnIds(iscrowd=0)):
        images.setdefault(ann['image_id'], []).append(coco.annToMask(ann))
    assert len(images) > 10
    assert_equals_coco(str(path), images)


def test_results_file_of_a_test_server(tmp_path):
    prefix = str(tmp_path / 'result')
    metric = METRICS.build(dict(
        type='PersonMaskMetric', format_only=True, outfile_prefix=prefix))
    encoded = rle(box_mask(3, 4, 50, 60))
    metric.process({}, [sample(7, [encoded], [.25])])
    assert metric.evaluate(1) == {}
    assert json.loads(Path(f'{prefix}.masks.json').read_text()) == [dict(
        image_id=7, category_id=1, score=.25, segmentation=dict(
            size=list(SHAPE), counts=encoded['counts'].decode()))]


def test_file_written_beside_the_metrics_holds_coco_results_only(tmp_path):
    path = write(tmp_path, [person(1, 1, 0, 0, 50, 100)])
    evaluate(path, sample(1, [rle(box_mask(0, 0, 50, 100))], [.9]),
             outfile_prefix=str(tmp_path / 'r'))
    (found, ) = json.loads((tmp_path / 'r.masks.json').read_text())
    assert set(found) == {'image_id', 'category_id', 'segmentation', 'score'}


def test_annotation_file_of_the_test_dataset(tmp_path):
    path = write(tmp_path, [person(1, 1, 0, 0, 50, 100)])
    metric = PersonMaskMetric(prefix='people')
    metric.dataset_meta = dict(dataset_name='masks_of_rectangles')
    right = sample(1, [rle(box_mask(0, 0, 50, 100))], [.9])
    metric.process({}, [right])
    with pytest.raises(ValueError, match='masks_of_rectangles.*ann_file='):
        metric.evaluate(1)
    hub = MessageHub.get_current_instance()
    hub.update_info('masks_of_rectangles_ann_file', path)
    try:
        for _ in range(2):  # as in validation, epoch after epoch
            metric.process({}, [right])
            assert metric.evaluate(1)['people/AP'] == pytest.approx(1)
    finally:
        hub.runtime_info.pop('masks_of_rectangles_ann_file')


@pytest.fixture
def announced(tmp_path):
    """The meta of a dataset whose file has a person without a mask."""
    bare = person(6, 1, 0, 0, 9, 9)
    del bare['segmentation']
    hub = MessageHub.get_current_instance()
    hub.update_info('bare_ann_file', write(tmp_path, [bare]))
    yield dict(dataset_name='bare')
    hub.runtime_info.pop('bare_ann_file')


def test_annotations_are_checked_as_soon_as_they_are_announced(
        tmp_path, announced):
    words = r'persons\.json .*id 6.* leave PersonMaskMetric out of'
    evaluator = Evaluator(PersonMaskMetric())
    with pytest.raises(ValueError, match=words):
        evaluator.dataset_meta = announced
    # a file of its own comes first, and a test server needs none
    (tmp_path / 'own').mkdir()
    own = write(tmp_path / 'own', [person(1, 1, 0, 0, 50, 100)])
    for options in (dict(ann_file=own),
                    dict(format_only=True, outfile_prefix='results')):
        metric = PersonMaskMetric(**options)
        metric.dataset_meta = announced
        assert metric.dataset_meta is announced


@pytest.mark.parametrize('prediction, words', [
    (dict(bbox_scores=np.ones(1)), "image 1.*'masks'.*bbox_scores"),
    (dict(masks=[rle(box_mask(0, 0, 9, 9))]), "image 1.*'bbox_scores'"),
    (dict(masks=[], bbox_scores=np.ones(2)), '0 masks but 2 bbox_scores'),
    (dict(masks=[dict(size=[30, 50], counts=b'')], bbox_scores=np.ones(1)),
     r'\[30, 50\].*\[120, 200\]'),
])
def test_predictions_that_cannot_be_evaluated(tmp_path, prediction, words):
    metric = PersonMaskMetric(write(tmp_path, [person(1, 1, 0, 0, 9, 9)]))
    with pytest.raises(ValueError, match=words):
        metric.process({}, [dict(img_id=1, ori_shape=SHAPE,
                                 pred_instances=prediction)])


@pytest.mark.parametrize('people, options', [
    ([], {}), ([person(1, 1, 0, 0, 9, 9, iscrowd=1)], {}),
    ([person(1, 1, 0, 0, 9, 9, v=0)], dict(ignore_unlabelled=True))])
def test_nobody_to_find(tmp_path, people, options):
    with pytest.raises(ValueError, match='nobody to find.* with a mask'):
        PersonMaskMetric(write(tmp_path, people), **options)
    PersonMaskMetric(write(tmp_path, [
        *people, person(2, 1, 20, 20, 9, 9)]), **options)


def test_annotations_that_cannot_be_evaluated(tmp_path):
    bare = person(6, 1, 0, 0, 9, 9)
    del bare['segmentation']
    with pytest.raises(ValueError, match=r'segmentation \(1: id 6\)'):
        PersonMaskMetric(write(tmp_path, [bare]))
    path = tmp_path / 'info.json'
    path.write_text(json.dumps(dict(images=[dict(id=1)], categories=[])))
    with pytest.raises(ValueError, match='info.json.*format_only=True'):
        PersonMaskMetric(str(path))
    with pytest.raises(ValueError, match='outfile_prefix'):
        PersonMaskMetric(format_only=True)
    metric = PersonMaskMetric(write(tmp_path, [person(1, 1, 0, 0, 9, 9)]))
    metric.process({}, [sample(5, [rle(box_mask(0, 0, 9, 9))], [1])])
    with pytest.raises(ValueError, match=r'\[5\].*not in the annotation'):
        metric.evaluate(1)


def test_persons_of_any_category(tmp_path):
    mask = rle(box_mask(0, 0, 50, 100))
    people = [person(1, 1, 0, 0, 50, 100, category_id=7),
              person(2, 1, 60, 0, 50, 100, category_id=1)]
    path = write(tmp_path, people, categories=[
        dict(id=1, name='dog'), dict(id=7, name='person')])
    metrics = evaluate(path, sample(1, [mask], [.9]),
                       outfile_prefix=str(tmp_path / 'r'))
    assert metrics['AP'] == pytest.approx(1)
    (found, ) = json.loads((tmp_path / 'r.masks.json').read_text())
    assert found['category_id'] == 7
    dog = rle(box_mask(60, 0, 50, 100))
    assert evaluate(path, sample(1, [dog], [.9]), person='dog')[
        'AP'] == pytest.approx(1)
    with pytest.raises(ValueError, match="no category 'cat'"):
        PersonMaskMetric(path, person='cat')


def test_an_area_of_0_is_the_masks(tmp_path):
    """100 x 100 pixels are a large person."""
    path = write(tmp_path, [person(1, 1, 10, 10, 100, 100, area=0)])
    metrics = evaluate(path, sample(1, [rle(box_mask(10, 10, 100, 100))], [1]))
    assert metrics['AP (L)'] == pytest.approx(1) and metrics['AP (S)'] == -1


def test_images_of_another_size_than_annotated(tmp_path):
    metric = PersonMaskMetric(write(tmp_path, [person(1, 1, 0, 0, 9, 9)]))
    mask = rle(np.zeros((60, 100), np.uint8))
    with pytest.raises(ValueError, match=r'image 1 is of size \[60, 100\] .*'
                       r'says \[120, 200\]'):
        metric.process({}, [sample(1, [mask], [.9], shape=(60, 100))])
    turned = rle(np.zeros(SHAPE[::-1], np.uint8))
    with pytest.raises(ValueError, match=r'is of size \[200, 120\]'):
        metric.process({}, [sample(1, [turned], [.9], shape=SHAPE[::-1])])


@pytest.mark.parametrize('number', [0, -1])
def test_a_person_of_any_id_is_found(tmp_path, number):
    """-1 means "no match" in xtcocotools, 0 in pycocotools."""
    metrics = evaluate(write(tmp_path, [person(number, 1, 10, 10, 100, 100)]),
                       sample(1, [rle(box_mask(10, 10, 100, 100))], [.5]))
    assert metrics['AP'] == pytest.approx(1)


@pytest.mark.parametrize('segmentation', [
    [[1, 2, 3, 4]], [[]], [1, 2, 3, 4, 5, 6], [[[1, 2], [3, 4], [5, 9]]],
    [[1, 1, 30, 1, 30, None]], [[1, 1, 30, 1, 30, 1e10]],
    dict(size=list(SHAPE), counts='P'), dict(size=[9, 9], counts=[81]),
    dict(size=list(SHAPE), counts=[24001])])
def test_damaged_masks_end_the_run_before_it_begins(tmp_path, segmentation):
    people = [person(1, 1, 0, 0, 50, 100),
              person(8, 1, 0, 0, 50, 100, segmentation=segmentation)]
    with pytest.raises(ValueError, match=r'persons\.json .*\(1: id 8; 8 of '
                       'image 1: .*: write .*in pixels, or an RLE'):
        PersonMaskMetric(write(tmp_path, people))

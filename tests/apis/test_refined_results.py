"""COCO results in, refined COCO results out, and what is refused."""
import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import (COCO_NAMES, TINY, TOPDOWN, noise, person, random_model,
                       refusal, save_weights, write_annotations, write_images)
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa import cli
from mmpose_ssa.annotations.segmentations import run_lengths
from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.apis.refined_results import (check_places, image_files,
                                             of_category, refine_results,
                                             scorer, with_masks)
from mmpose_ssa.decoding.masks import encode_rle
from mmpose_ssa.models.refiner import Refiner

pytestmark = pytest.mark.usefixtures('mmpose')

TINY, TOPDOWN = str(TINY), str(TOPDOWN)
SIZES = {1: (70, 110), 22: (64, 64)}  # height, width by image id
K = 17


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of the tiny SSA and of the tiny top-down model."""
    folder = tmp_path_factory.mktemp('weights')
    for config, options in ((TINY, dict(bias=-.05)),
                            (TOPDOWN, dict(std=.5, bias=5.))):
        save_weights(random_model(config, **options),
                     folder / f'{Path(config).stem}.pth')
    return folder


@pytest.fixture(scope='module')
def refiner(weights):
    return TOPDOWN, str(weights / 'topdown_tiny_256x192.pth')


@pytest.fixture(scope='module')
def data(tmp_path_factory, weights):
    """Images, annotations, and what the tiny SSA finds on them."""
    folder, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    write_images(folder, SIZES, lambda h, w: noise(rng, h, w))
    write_annotations(folder, [person(rng.uniform(10, 50, (K, 2)),
                                      box=(10, 10, 50, 50))],
                      SIZES, COCO_NAMES)
    inferencer = SSAInferencer(TINY, weights / 'ssa_tiny_64.pth', 'cpu')
    list(inferencer([folder / f'{i}.png' for i in SIZES], out_dir=folder))
    return folder


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


# --- where it looks ---------------------------------------------------------


class Recorder(Refiner):
    """Notes the boxes, and finds everyone's keypoints at (9, 8)."""

    def __init__(self, refiner):
        super().__init__(*refiner)
        self.boxes = []

    def predict(self, image, boxes, device='cpu'):
        self.boxes += boxes.tolist()
        return np.full((len(boxes), K, 2), [9, 8]), np.full((len(boxes), K),
                                                            .7)


def result(**extra):
    """A person at (20, 30) and (40, 60) of image 1."""
    points = np.zeros((K, 3))
    points[[0, 5]] = (20, 30, .5), (40, 60, .4)
    return dict(image_id=1, file_name='1.png', score=.3,
                keypoints=points.ravel().tolist()) | extra


def test_boxes_of_masks_of_results_and_of_keypoints(data, refiner):
    mask = np.zeros((70, 110, 2), np.uint8)
    mask[7:50, 10:33, 0] = 1
    full, empty = encode_rle(mask)
    recorder = Recorder(refiner)
    refined = refine_results(recorder, [
        result(segmentation=full, bbox=[1, 2, 30, 40]),
        result(segmentation=empty, bbox=[1, 2, 30, 40]),
        result(bbox=[1, 2, 30, 40]),
        result(),
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


# --- what is refused --------------------------------------------------------


def rle(h, w):
    return encode_rle(np.ones((h, w, 1), np.uint8))[0]


OUTSIDE = dict(bbox=[300, 10, 20, 20])
REFUSED = {
    'no results': (None, r'in\.json .*exist'),
    'damaged': ('[{', r'in\.json .* JSON .* damaged'),
    'annotations': (dict(images=[]), r'in\.json .* dict, not a list'),
    'numbers': ([1], r'result 0 .* is 1, not a person'),
    'masks alone': ([dict(image_id=1, score=1, segmentation=rle(9, 9))],
                    r"result 0 .* no 'keypoints'"),
    'no score': ([{k: v for k, v in result().items() if k != 'score'}],
                 "result 0 .* no 'score'"),
    'no triples': ([result(keypoints=[1, 2])], '2 numbers.*x, y and score'),
    'two skeletons': ([result(), result(keypoints=[1, 2, 3])],
                      r'\[3, 51\] numbers'),
    'not finite': ([result(score=float('nan'))],
                   'result 0 .* score .* finite'),
    'no score there': ([result(score=None)], r'finite .* \[None\]'),
    'no keypoints there': ([result(keypoints=None)],
                           'keypoints .*list.* None'),
    'keypoints of nothing': ([result(keypoints=[])], '0 numbers of keyp'),
    'text': ([result(keypoints=['1'] * 51)], '51 finite numbers'),
    'nested': ([result(keypoints=[[1, 2, 3]] * 18)], '18 finite numbers'),
    'no box there': ([result(bbox=None)], 'bbox .* 4 .* None'),
    'box of three': ([result(bbox=[1, 2, 3])], 'bbox .* 4 finite'),
    'image of a list': ([result(image_id=[1])], r'image_id .* \[1\]'),
    'file of a number': ([result(file_name=5)], 'file_name 5'),
    'polygons': ([result(segmentation=[[1, 2, 3, 4, 5, 6]])],
                 'compressed RLE'),
    'damaged mask': ([result(segmentation=dict(size=[70, 110], counts='??'))],
                     'damaged mask: RLE counts .* 70 x 110'),
    'cut mask': ([result(segmentation=dict(size=[70, 110], counts='0P'))],
                 'counts end in the middle'),
    'endless mask': ([result(segmentation=dict(
        size=[10**6, 10**6], counts='P`j_n41'))], '1000000 x 1000000 pixels'),
    'empty runs': ([result(segmentation=dict(size=[2, 3], counts='3030'))],
                   'damaged mask: it has empty runs'),
    'other text': ([result(segmentation=dict(size=[70, 110], counts='0é'))],
                   "counts hold 'é'"),
    'mask size': ([result(segmentation=dict(size=7, counts='0'))],
                  'size .* 2 finite .* 7'),
    'another data set': ([result(), result(image_id=7)],
                         r'1 images .*\(7\): .*another data set'),
    'box outside': ([result(**OUTSIDE)],
                    r'result 0 of image 1 \(110 x 70 .*'
                    r'\[300.0, 10.0, 320.0, 30.0\].* outside'),
    'negative box': ([result(bbox=[30, 10, -20, 20])], 'outside the image'),
    'another size': ([result(segmentation=rle(50, 60))],
                     'mask of 60 x 50.*folder'),
    'nothing': ([result(keypoints=[0] * 51)],
                'neither a keypoint .*mask.*bbox'),
    'another skeleton': ([result(keypoints=[9, 9, 1] * 14)],
                         'num_keypoints 14, .* 17'),
}


@pytest.mark.parametrize('fault', REFUSED)
def test_faulty_results_are_named(tmp_path, capsys, data, refiner, fault):
    content, words = REFUSED[fault]
    if content is not None:
        (tmp_path / 'in.json').write_text(
            content if isinstance(content, str) else json.dumps(content))
    refuse(capsys, words, tmp_path / 'in.json', '--topdown',
           *refiner, '--img-dir', data, '--ann-file', data / 'persons.json',
           '--out', tmp_path / 'out.json')
    assert not (tmp_path / 'out.json').exists()


def test_places_are_checked_before_anything_is_refined(data):
    """The seventeenth result is of the last image."""
    listed = json.loads((data / 'persons.json').read_text())
    results = [result() for _ in range(16)] + [
        result(image_id=22, segmentation=rle(64, 63))]
    with pytest.raises(ValueError, match=r'result 16 of image 22 .*63 x 64'):
        check_places(results, listed)
    check_places(results[:16], listed)
    for entry in listed['images']:  # nothing is known of sizes
        entry.pop('width')
    check_places(results, listed)
    check_places(results)


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (40, 60)])
def test_runs_of_a_mask(rng, size):
    for mask in (np.zeros(size), np.ones(size), rng.uniform(size=size) > .9,
                 np.indices(size).sum(axis=0) > 5):
        runs = run_lengths(encode_rle(
            mask.astype(np.uint8)[..., None])[0]['counts'])
        value = np.arange(len(runs)) % 2  # zeros first, down the columns
        assert_array_equal(np.repeat(value, runs), mask.ravel(order='F'))


def test_an_image_of_two_names_is_refused(tmp_path):
    for name in ('1.png', '01.png'):
        (tmp_path / name).touch()
    results = [result(file_name=name) for name in ('1.png', '01.png')]
    for given in ((results, str(tmp_path)),
                  (results[:1], str(tmp_path), dict(images=[
                      dict(id=1, file_name=name)
                      for name in ('1.png', '01.png')]))):
        with pytest.raises(ValueError, match="image 1 has two file names, "
                           "'1.png' and '01.png'"):
            image_files(*given)
    assert image_files(results[:1] * 2, str(tmp_path)) == {
        1: tmp_path / '1.png'}


ANNOTATIONS = {
    'results': ([result()], r'ann\.json: .* list: .*interchanged'),
    'no id': (dict(images=[dict(file_name='1.png')]),
              "'images' .*'id' and 'file_"),
    'no names': (dict(images=[dict(id=1)]), "'images' .*'id' and 'file_"),
    'no list': (dict(images=[], annotations=5),
                "ann.json: 'annotations' .* list"),
    'names of a text': (
        dict(categories=[dict(name='person', keypoints='nose')]),
        "'person' .* list of texts, got 'nose'"),
    'no box': (dict(annotations=[dict(id=3, image_id=1, category_id=1,
                                      iscrowd=0, num_keypoints=1,
                                      keypoints=[0] * 51)]),
               r'without bbox or keypoints \(1: id 3\)'),
    'other keypoints': (dict(annotations=[dict(
        id=3, image_id=1, category_id=1, iscrowd=0, num_keypoints=1,
        keypoints=[0] * 42, bbox=[1, 2, 3, 4])]), '51 numbers .*; 3 has 42'),
}


@pytest.mark.parametrize('fault', ANNOTATIONS)
def test_faulty_annotations_are_named(tmp_path, capsys, data, refiner,
                                      fault):
    content, words = ANNOTATIONS[fault]
    if isinstance(content, dict):
        whole = json.loads((data / 'persons.json').read_text())
        content = {**whole, **content}
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    refuse(capsys, words, data / 'predictions.json', '--topdown',
           *refiner, '--img-dir', data, '--ann-file', tmp_path / 'ann.json',
           '--out', tmp_path / 'out.json')
    assert not (tmp_path / 'out.json').exists()


def test_arguments_are_checked_before_the_work(tmp_path, capsys, data,
                                               refiner):
    (tmp_path / 'file').touch()
    for words, more in (
            ('device .foo.*cpu', ['--device', 'foo']),
            ('--out .* is a folder', ['--out', tmp_path]),
            (r'--out .*out\.json: .*file is not a folder',
             ['--out', tmp_path / 'file/out.json'])):
        # the results do not exist either, and come later
        refuse(capsys, words, 'no.json', '--topdown', *refiner,
               '--img-dir', data, '--out', tmp_path / 'out.json', *more)


def refuse(capsys, words, *arguments):
    message = refusal(capsys, cli.main, 'refine', *arguments)
    assert re.search(words, message.replace('\n', ' ')), message


def test_faulty_models_and_files_are_named(tmp_path, capsys, data, weights,
                                           refiner):
    config, checkpoint = refiner
    ssa = str(weights / 'ssa_tiny_64.pth')
    whole = Path(checkpoint).read_bytes()
    (tmp_path / 'cut.pth').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'text.pth').write_text('text')
    torch.save(dict(state_dict={}, code=Recorder), tmp_path / 'code.pth')
    (tmp_path / 'no_masks.json').write_text('[]')
    (tmp_path / 'typo.py').write_text('model = dict(\n')
    (tmp_path / 'name.py').write_text('model = dict(type=TopDown)\n')
    (tmp_path / 'untested.py').write_text(
        f'_base_ = [{str(TOPDOWN)!r}]\n'
        'test_dataloader = val_dataloader = None\n')
    given = json.loads((data / 'predictions.json').read_text())
    (tmp_path / 'masks.json').write_text(json.dumps(given + given[:1]))
    nameless = [{k: v for k, v in r.items() if k != 'file_name'}
                for r in json.loads((data / 'predictions.json').read_text())]
    (tmp_path / 'nameless.json').write_text(json.dumps(nameless))
    other = json.loads((data / 'persons.json').read_text())
    other['categories'][0]['keypoints'][0] = 'chin'
    (tmp_path / 'other.json').write_text(json.dumps(other))
    results = data / 'predictions.json'
    for words, given, topdown, images, more in (
            (r'no\.py .*exist', results, ('no.py', checkpoint), data,
             []),
            (r'no\.pth .*exist', results, (config, 'no.pth'), data,
             []),
            (r'tiny_256x192\.pth .*config.*\.py',
             results, (checkpoint, config), data, []),
            (r'typo\.py .*config', results,
             (tmp_path / 'typo.py', checkpoint), data, []),
            (r'name\.py .*config.*TopDown', results,
             (tmp_path / 'name.py', checkpoint), data, []),
            ('1 masks .*keypoints', results, refiner, data,
             ['--masks', tmp_path / 'masks.json']),
            (r'ssa_tiny_64\.pth .*topdown_tiny.*neck\.projection',
             results, (config, ssa), data, []),
            (r'ssa_tiny_64\.py .*top-down model', results,
             (TINY, ssa), data, []),
            (r'untested\.py .*test_dataloader\.dataset\.pipeline',
             results, (tmp_path / 'untested.py', checkpoint), data, []),
            (r'cut\.pth .*damaged',
             results, (config, tmp_path / 'cut.pth'), data, []),
            (r'text\.pth .*checkpoint', results,
             (config, tmp_path / 'text.pth'), data, []),
            (r'code\.pth .*more than weights', results,
             (config, tmp_path / 'code.pth'), data, []),
            (r'1\.png .*exist.*folder', results,
             refiner, tmp_path, []),
            ('file_name.*--ann-file',
             tmp_path / 'nameless.json', refiner, data, []),
            (r'names \[.chin.*same keypoints', results, refiner, data,
             ['--ann-file', tmp_path / 'other.json']),
            ('masks.*same test', results, refiner,
             data, ['--masks', tmp_path / 'no_masks.json']),
            ('batch_size .* 0', results, refiner, data,
             ['--batch-size', 0])):
        refuse(capsys, words, given, '--topdown', *topdown,
               '--img-dir', images, '--out', tmp_path / 'out.json', *more)

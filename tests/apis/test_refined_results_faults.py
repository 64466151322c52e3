"""What `mmpose-ssa refine` refuses, by name and before the work."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import refusal
from numpy.testing import assert_array_equal
from refined import TINY, TOPDOWN, Recorder, a_result, data, refiner, weights

from mmpose_ssa import cli
from mmpose_ssa.annotations.segmentations import run_lengths
from mmpose_ssa.apis.refined_results import check_places, image_files
from mmpose_ssa.decoding.masks import encode_rle

__all__ = ['data', 'refiner', 'weights']
pytestmark = pytest.mark.usefixtures('mmpose')


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
    'no score': ([{k: v for k, v in a_result().items() if k != 'score'}],
                 "result 0 .* no 'score'"),
    'no triples': ([a_result(keypoints=[1, 2])], '2 numbers.*x, y and score'),
    'two skeletons': ([a_result(), a_result(keypoints=[1, 2, 3])],
                      r'\[3, 51\] numbers'),
    'not finite': ([a_result(score=float('nan'))],
                   'result 0 .* score .* finite'),
    'no score there': ([a_result(score=None)], r'finite .* \[None\]'),
    'no keypoints there': ([a_result(keypoints=None)],
                           'keypoints .*list.* None'),
    'keypoints of nothing': ([a_result(keypoints=[])], '0 numbers of keyp'),
    'text': ([a_result(keypoints=['1'] * 51)], '51 finite numbers'),
    'nested': ([a_result(keypoints=[[1, 2, 3]] * 18)], '18 finite numbers'),
    'no box there': ([a_result(bbox=None)], 'bbox .* 4 .* None'),
    'box of three': ([a_result(bbox=[1, 2, 3])], 'bbox .* 4 finite'),
    'image of a list': ([a_result(image_id=[1])], r'image_id .* \[1\]'),
    'file of a number': ([a_result(file_name=5)], 'file_name 5'),
    'polygons': ([a_result(segmentation=[[1, 2, 3, 4, 5, 6]])],
                 'compressed RLE'),
    'damaged mask': ([a_result(segmentation=dict(
        size=[70, 110], counts='??'))],
                     'damaged mask: RLE counts .* 70 x 110'),
    'cut mask': ([a_result(segmentation=dict(size=[70, 110], counts='0P'))],
                 'counts end in the middle'),
    'endless mask': ([a_result(segmentation=dict(
        size=[10**6, 10**6], counts='P`j_n41'))], '1000000 x 1000000 pixels'),
    'empty runs': ([a_result(segmentation=dict(size=[2, 3], counts='3030'))],
                   'damaged mask: it has empty runs'),
    'other text': ([a_result(segmentation=dict(size=[70, 110], counts='0é'))],
                   "counts hold 'é'"),
    'mask size': ([a_result(segmentation=dict(size=7, counts='0'))],
                  'size .* 2 finite .* 7'),
    'another data set': ([a_result(), a_result(image_id=7)],
                         r'1 images .*\(7\): .*another data set'),
    'box outside': ([a_result(**OUTSIDE)],
                    r'result 0 of image 1 \(110 x 70 .*'
                    r'\[300.0, 10.0, 320.0, 30.0\].* outside'),
    'negative box': ([a_result(bbox=[30, 10, -20, 20])],
                     'bbox must be x, y, width and height'),
    'another size': ([a_result(segmentation=rle(50, 60))],
                     'mask of 60 x 50.*folder'),
    'nothing': ([a_result(keypoints=[0] * 51)],
                'neither a keypoint .*mask.*bbox'),
    'another skeleton': ([a_result(keypoints=[9, 9, 1] * 14)],
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
    results = [a_result() for _ in range(16)] + [
        a_result(image_id=22, segmentation=rle(64, 63))]
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
    results = [a_result(file_name=name) for name in ('1.png', '01.png')]
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
    'results': ([a_result()], r'ann\.json: .* list: .*interchanged'),
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

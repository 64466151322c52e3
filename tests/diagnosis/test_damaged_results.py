"""Damaged results are read as they are, or refused by name."""
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from damage import FAST, SLOW, damaged
from factories import COCO_NAMES, content, person, result
from hypothesis import given

from mmpose_ssa.apis.refined_results import read_result_file
from mmpose_ssa.diagnosis.evaluator import diagnose
from mmpose_ssa.diagnosis.result_format import (check_dataset, check_image_id,
                                                check_numbers)

POINTS = [(20 + 2 * k, 20 + k) for k in range(17)]
TRUTH = content([person(POINTS)], names=COCO_NAMES)


def good_results():
    """Two persons in one image, with masks."""
    mask = np.zeros((64, 64), np.uint8, order='F')
    mask[18:40, 18:60] = 1
    counts = coco_mask.encode(mask)['counts'].decode()
    return [result(POINTS, bbox=[18, 18, 40, 20],
                   segmentation=dict(size=[64, 64], counts=counts)),
            result(POINTS[:5], .5, bbox=[18, 18, 40, 20],
                   segmentation=dict(size=[64, 64], counts=counts))]


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return tmp_path_factory.mktemp('results') / 'found.json'


def check(outcomes, path, results):
    """Diagnosis and refining read them, or name what is wrong."""
    try:
        found = diagnose(TRUTH, results, (0, 1e10))
    except ValueError as error:
        assert 'result' in str(error) and len(str(error)) < 600
        outcomes['diagnosis: refused'] += 1
    else:
        assert -1 <= found.ap <= 1 and np.isfinite(found.ap)
        outcomes['diagnosis: right'] += 1
    path.write_text(json.dumps(results))
    try:
        for one in read_result_file(path):
            mask = one.get('segmentation')
            if mask is not None:
                assert coco_mask.decode(mask).shape == tuple(mask['size'])
    except ValueError as error:
        assert str(path) in str(error) and len(str(error)) < 600
        outcomes['refining: refused'] += 1
    else:
        outcomes['refining: right'] += 1


def test_good_results_are_right(path):
    found = diagnose(TRUTH, good_results(), (0, 1e10))
    assert found.ap == pytest.approx(1)
    path.write_text(json.dumps(good_results()))
    assert read_result_file(path) == good_results()


@pytest.mark.parametrize('values', [
    ['x' * 10**6, *[0] * 10**6], ['1', 2, 3, 4], [True, 2, 3, 4],
    [.5, 2, 3, 10**400], [[1], 2, 3, 4], [1, 2, 3], None, 5, '1234'])
def test_only_numbers_are_numbers(values):
    """Numpy would make each as long as the longest text."""
    with pytest.raises(ValueError, match='bbox must be 4 finite numbers'):
        check_numbers(values, 4, 'bbox')
    good = [1, 2.5, np.float32(3), np.int64(4)]
    for kind in (list, tuple, np.array):
        assert check_numbers(kind(good), 4, 'bbox').tolist() == good


@pytest.mark.parametrize('number', [
    2**53, -2**53, 3 * (2**61 - 1) + 7, 1.5, None, [1]])
def test_ids_of_images_are_small_numbers_or_texts(number):
    with pytest.raises(ValueError, match='image_id must be a whole number be'):
        check_image_id(dict(image_id=number), 'it')
    with pytest.raises(ValueError, match="'images' must be a list"):
        check_dataset(dict(images=[dict(id=number)]), dict(images=['id']))
    for good in (0, -5, 2**53 - 1, '', '7'):
        check_image_id(dict(image_id=good), 'it')
        check_dataset(dict(images=[dict(id=good)]), dict(images=['id']))


@FAST
@given(damaged(good_results()))
def test_damaged_results(outcomes, path, results):
    check(outcomes, path, results)


@pytest.mark.slow
@SLOW
@given(damaged(good_results()))
def test_damaged_results_at_length(outcomes, path, results):
    check(outcomes, path, results)

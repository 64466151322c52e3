"""Detected boxes: taken, left out or refused by name."""
import pytest

from mmpose_ssa.annotations.detections import check_detections

BOX = dict(image_id=7, category_id=1, bbox=[5, 6, 70, 80.5], score=.9)


def check(*boxes, category=1):
    return check_detections(list(boxes), 'boxes.json', {7, 8}, category)


def test_the_boxes_of_persons_are_taken():
    cat = dict(BOX, category_id=3)
    assert check(BOX, cat, dict(BOX, image_id=8)) == (
        [BOX, dict(BOX, image_id=8)], 0)
    assert check(BOX, cat, category=3) == ([cat], 0)
    longer = dict(BOX, bbox=[1, 2, 3, 4, .5])  # some add the score
    assert check(longer) == ([longer], 0)


@pytest.mark.parametrize('bbox', [[1, 2, 0, 4], [1, 2, 3, 0], [1, 2, -3, 4]])
def test_boxes_without_an_area_are_counted(bbox):
    empty = dict(BOX, bbox=bbox)
    assert check(BOX, empty) == ([BOX], 1)
    assert check(empty, BOX, empty) == ([BOX], 2)


def test_a_box_may_be_smaller_than_a_pixel():
    small = dict(BOX, bbox=[1, 2, .5, .5])
    assert check(small) == ([small], 0)
    # a score of 0 after the four numbers is no side
    assert check(dict(BOX, bbox=[1, 2, 3, 4, 0.]))[1] == 0


@pytest.mark.parametrize('box, words', [
    (5, 'box 1 is 5'), (dict(BOX, image_id=9), 'box 1 is of image 9, which'),
    (dict(BOX, image_id='7'), "of image '7'"),
    (dict(BOX, image_id=[7]), r'of image \[7\]'),
    (dict(BOX, bbox=[1, 2, 3]), r'has bbox \[1, 2, 3\]'),
    (dict(BOX, bbox=['1', '2', '3', '4']), "has bbox \\['1'"),
    (dict(BOX, bbox=[1, 2, 3, float('nan')]), 'has bbox .*nan'),
    (dict(BOX, bbox=[1, 2, 3, 10**400]), 'has bbox'),
    (dict(BOX, score=None), 'has score None'),
    (dict(BOX, score=float('inf')), 'has score inf'),
    *((({k: v for k, v in BOX.items() if k != key}), f'has no {key}')
      for key in BOX)])
def test_faulty_boxes_are_named(box, words):
    with pytest.raises(ValueError, match=f'boxes.json: .*{words}'):
        check(BOX, box)


def test_files_without_persons_are_named():
    with pytest.raises(ValueError, match='boxes.json holds a dict'):
        check_detections({}, 'boxes.json', {7}, 1)
    with pytest.raises(ValueError, match='no box of category 2, .* 1 boxes'):
        check(BOX, category=2)
    with pytest.raises(ValueError, match='no box .* 0 boxes'):
        check()

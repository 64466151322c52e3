"""Boxes and areas that cannot be a person's are estimated, and noted."""
import numpy as np
import pytest
from factories import content, person, rectangle, without

from mmpose_ssa.annotations.checks import Rules, check_annotations
from mmpose_ssa.annotations.extents import in_image, span

LABELLED = [(20, 20), (30, 40, 1)]
KEYPOINTS = Rules(17, needs=('bbox', 'keypoints'))
MASKS = Rules(needs=('segmentation', ))
TESTING = Rules(17, files=True)

EMPTY_BOXES = [[0, 0, 0, 0], [50, 10, -40, 40], [50, 50, -40, -40],
               [5, 5, 0, 9], [5, 5, 9, 0], [-50, 10, 50, 9], [64, 0, 9, 9],
               [0, 64, 9, 9]]


def one(number=1, **more):
    return person(LABELLED, number, box=(10, 10, 50, 50), **more)


def check(annotations, rules):
    return check_annotations(content(annotations), 'a.json', rules)


@pytest.mark.parametrize('box, size, inside', [
    ([0, 0, 1, 1], (64, 48), True), ([46.5, 62.5, 9, 9], (64, 48), True),
    ([47, 0, 9, 9], (64, 48), False), ([0, 63, 9, 9], (64, 48), False),
    ([48, 0, 9, 9], (64, 48), False), ([0, 64, 9, 9], (64, 48), False),
    ([-9, 0, 9, 9], (64, 48), False), ([-9, 0, 9.5, 9], (64, 48), True),
    ([0, -9, 9, 9], (64, 48), False), ([50, 0, 9, 9], (None, None), True),
    ([0, 0, 0, 9], (None, None), False), ([9, 9, 3, -2], (None, None), False)])
def test_boxes_in_an_image(box, size, inside):
    assert in_image(box, size) == inside


def test_what_keypoints_span():
    assert span([]) == span([4, 5, 0]) == []
    assert span([4, 5, 2]) == [[4, 5, 1, 1]]
    assert span([4, 5, 1, 9, 3, 2, 90, 90, 0]) == [[4, 3, 5, 2]]


@pytest.mark.parametrize('box', EMPTY_BOXES)
@pytest.mark.parametrize('rules', [KEYPOINTS, MASKS, TESTING])
def test_a_box_without_a_pixel_is_estimated(box, rules):
    """Of the mask from 10 to 40, or of keypoints from (20, 20) to (30, 40)."""
    masked = one(1, bbox=box, segmentation=[rectangle(10, 10, 40, 30)])
    bare = without(one(2, bbox=box), 'segmentation')
    persons = [masked] if rules is MASKS else [masked, bare]
    found = check(persons, rules)
    boxes = [ann['bbox'] for ann in found.dataset['annotations']]
    assert boxes == [[10, 10, 30, 20], [20, 20, 10, 20]][:len(persons)]
    assert masked['bbox'] == box
    note, = found.notes  # the area is given
    assert 'bbox without a pixel' in note and '(id 1' in note
    assert f'{len(persons)} of {len(persons)} annotations' in note


def test_the_area_of_a_box_that_was_estimated():
    bare = without(one(bbox=[0, 0, 0, 0], area=0), 'segmentation')
    ann, = check([bare], TESTING).dataset['annotations']
    assert ann['area'] == pytest.approx(.53 * 10 * 20)
    ann, = check([without(bare, 'bbox')], TESTING).dataset['annotations']
    assert ann['area'] == pytest.approx(.53 * 10 * 20) and 'bbox' not in ann
    one_point = person(LABELLED[:1], box=(0, 0, 0, 0), area=None,
                       segmentation=None)
    ann, = check([one_point], TESTING).dataset['annotations']
    assert ann['area'] == 1 and ann['bbox'] == [20, 20, 1, 1]


@pytest.mark.parametrize('point', [(-20, -20), (500, 20), (63, 63)])
def test_who_is_nowhere_in_the_image_is_said(point):
    """And keeps the box: keypoints outside give none that is better."""
    lost = person([point], box=(0, 0, 0, 0), area=9., segmentation=None)
    found = check([lost], TESTING)
    assert found.dataset['annotations'][0]['bbox'] == [0, 0, 0, 0]
    note, = found.notes
    assert 'neither box, mask nor labelled keypoints' in note


def test_the_area_is_judged_by_the_box_that_is_taken():
    beside = one(bbox=[500, 10, 100, 100], area=.4, segmentation=None)
    ann, = check([beside], TESTING).dataset['annotations']
    assert ann['bbox'] == [20, 20, 10, 20]
    assert ann['area'] == pytest.approx(.53 * 200)


def test_no_estimated_area_is_more_than_the_image():
    around = one(bbox=[-200, -200, 1000, 1000], area=5000, segmentation=None)
    ann, = check([around], TESTING).dataset['annotations']
    assert ann['area'] == 64 * 64


def test_nobody_knows_where_a_person_without_labels_is():
    nothing = one(bbox=[0, 0, 0, 0], keypoints=[0] * 51, num_keypoints=0,
                  segmentation=None)
    found = check([nothing], TESTING)
    assert found.dataset['annotations'][0]['bbox'] == [0, 0, 0, 0]
    assert found.notes == []


@pytest.mark.parametrize('area, kept', [
    (64 * 64, True), (64 * 64 + 1, False), (1e9, False), (1, True),
    (.99, False), (.4, False)])
def test_an_area_that_cannot_be(area, kept):
    """Of more than the image, or of less than a pixel in a large box."""
    found = check([one(area=area, segmentation=None)], TESTING)
    ann, = found.dataset['annotations']
    assert ann['area'] == (area if kept else pytest.approx(.53 * 1600))
    assert len(found.notes) == (not kept)


@pytest.mark.parametrize('sides, kept', [((10, 10), False), ((9, 11), True)])
def test_a_small_person_may_have_less_than_a_pixel(sides, kept):
    small = one(area=.4, bbox=[10, 10, *sides], segmentation=None)
    ann, = check([small], TESTING).dataset['annotations']
    assert (ann['area'] == .4) == kept


@pytest.mark.parametrize('mask', [
    dict(size=[64, 64], counts=[64 * 64]),
    [[5, 5, 15, 15, 25, 25]],  # on a line
    [rectangle(-30, -30, -5, -5)], [rectangle(.1, .1, .4, .4)]])
def test_masks_without_a_pixel_are_noted(mask):
    found = check([one(segmentation=mask)], MASKS)
    note, = found.notes
    assert 'a segmentation without a pixel' in note and '(id 1)' in note
    assert check([one(segmentation=mask)], KEYPOINTS).notes == []
    # they give no area, either
    ann, = check([one(segmentation=mask, area=0)], MASKS).dataset[
        'annotations']
    assert ann['area'] == pytest.approx(.53 * 1600)


@pytest.mark.parametrize('keypoints', [
    [20., 20, 2, 5], 'x', None, [None] * 51])
@pytest.mark.parametrize('rules', [KEYPOINTS, MASKS, TESTING])
def test_damaged_keypoints_span_nothing(keypoints, rules):
    damaged = one(bbox=[0, 0, 0, 0], area=0, keypoints=keypoints)
    with pytest.raises(ValueError, match=r'a.json has .*keypoints .*id 1'):
        check([damaged], rules)


def test_booleans_are_no_ids():
    with pytest.raises(ValueError, match='does not list .*True'):
        check([one(image_id=True)], TESTING)


@pytest.mark.parametrize('count', [None, 'x', .5, True])
def test_a_count_that_is_no_number_is_counted(count):
    rules = KEYPOINTS._replace(count_keypoints=False)
    found = check([one(num_keypoints=count)], rules)
    assert found.dataset['annotations'][0]['num_keypoints'] == 2
    note, = found.notes
    assert 'num_keypoints' in note
    kept = check([one(num_keypoints=0)], rules).dataset['annotations'][0]
    assert kept['num_keypoints'] == 0


def test_boxes_are_checked_as_numbers():
    boxes = np.random.default_rng(0).uniform(-9, 70, (500, 4)).tolist()
    for box in boxes:  # an independent count: sample points of the box
        x, y = (start + side * np.linspace(.001, .999, 999)
                for start, side in zip(box, box[2:]))
        expected = box[2] > 0 < box[3] and bool(
            ((x > 0) & (x < 63)).any() and ((y > 0) & (y < 63)).any())
        assert in_image(box, (64, 64)) == expected

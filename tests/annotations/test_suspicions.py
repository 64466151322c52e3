"""What is allowed in annotations, and hardly ever meant."""
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from factories import content, keypoint_table, person, rectangle

from mmpose_ssa.annotations.suspicions import suspect_persons

POINTS = [(20, 20), (30, 20), (25, 40)]  # in a box from 18, 18 to 32, 42
FAR = [rectangle(50, 50, 62, 62)]


def kinds(*annotations, sizes=None, **options):
    """Which kinds are found, and whose they are."""
    found = suspect_persons(content(annotations, sizes or {1: (64, 100)}),
                            **options)
    assert all(f.level == 'suspect' for f in found)
    return {f.kind: list(f.ids) for f in found}


def test_a_good_person():
    assert kinds(person(POINTS)) == {}
    # a crowd is annotated roughly
    assert kinds(person(POINTS, iscrowd=1, segmentation=FAR, area=9.)) == {}
    assert kinds() == {}


def rle(x0, y0, x1, y1, h=64, w=100):
    mask = np.zeros((h, w), np.uint8, order='F')
    mask[y0:y1, x0:x1] = 1
    encoded = coco_mask.encode(mask)
    return dict(size=[h, w], counts=encoded['counts'].decode())


@pytest.mark.parametrize('kind, changes', [
    ('normalised', dict(keypoints=keypoint_table(
        [(.2, .3), (.5, 1), (0, .4)]).ravel().tolist())),
    ('normalised', dict(bbox=[.1, .1, .5, .8])),
    ('normalised', dict(segmentation=[rectangle(.1, .1, .5, 1)])),
    ('zero', dict(keypoints=keypoint_table(
        [(20, 20), (30, 20), (25, 40), (0, 0)]).ravel().tolist())),
    ('unmarked', dict(keypoints=keypoint_table(
        [(20, 20)], value=0).ravel().tolist())),
    ('one_place', dict(keypoints=keypoint_table(
        [(20, 20)] * 3).ravel().tolist())),
    ('outside', dict(keypoints=keypoint_table(
        [(20, 20), (30, 20), (101.5, 40)]).ravel().tolist())),
    ('outside', dict(keypoints=keypoint_table(
        [(20, 20), (30, 20), (20, -1.5)]).ravel().tolist())),
    ('corners', dict(bbox=[18, 18, 90, 42])),  # 18 + 90 > 100
    ('box_outside', dict(bbox=[60, 18, 90, 42])),  # keypoints beside it
    ('box_outside', dict(bbox=[18, 18, 14, 60])),  # to y = 78
    ('box_empty', dict(bbox=[18, 18, 0, 24])),
    ('beside_box', dict(bbox=[60, 30, 14, 24])),
    ('mask_empty', dict(segmentation=[rectangle(150, 18, 170, 42)])),
    ('beside_mask', dict(segmentation=FAR)),
    ('beside_mask', dict(segmentation=rle(50, 50, 62, 62))),
    ('mask_not_in_box', dict(segmentation=[rectangle(18, 18, 25, 29)])),
    ('mask_not_in_box', dict(segmentation=rle(18, 18, 25, 29))),
    ('area', dict(area=800)),  # of 336 pixels, 722 at most
    ('area', dict(area=100)),
    ('area', dict(area=500, segmentation=None)),  # of a box of 336
])
def test_each_kind(kind, changes):
    assert kinds(person(POINTS, 7, **changes)).get(kind) == [7]
    assert kind not in kinds(person(POINTS, 7))


@pytest.mark.parametrize('changes', [
    dict(keypoints=keypoint_table(  # just outside: rounded
        [(20, 20), (30, 20), (100.5, 40)]).ravel().tolist(),
        bbox=[18, 18, 82.5, 24], segmentation=[rectangle(18, 18, 101, 42)],
        area=1900),
    dict(bbox=[18, 18, 14, 46.5], segmentation=None),
    dict(area=700), dict(area=130),
])
def test_what_is_near_enough(changes):
    assert kinds(person(POINTS, **changes)) == {}


def test_hidden_keypoints_need_not_lie_on_the_mask():
    """Unless a file has no others: some tools write v = 1 for all."""
    points = [(20, 20), (30, 20), (25, 40), (24, 41), (26, 41)]
    mask = [rectangle(18, 18, 32, 24)]
    for values, expected in (([2] * 5, True), ([2, 2, 1, 1, 1], False),
                             ([1] * 5, True), ([2, 1, 1, 1, 1], False)):
        table = keypoint_table([(*p, v) for p, v in zip(points, values)])
        found = kinds(person(points, keypoints=table.ravel().tolist(),
                             segmentation=mask))
        assert ('beside_mask' in found) == expected
    # the last of these, in a file that has v = 2
    hidden = person(points, 1, keypoints=keypoint_table(
        points, value=1).ravel().tolist(), segmentation=mask)
    assert 'beside_mask' in kinds(hidden)
    assert 'beside_mask' not in kinds(hidden, person(np.add(POINTS, 9), 2))


def test_a_normalised_person_is_said_to_be_that_alone():
    small = person([(.2, .3), (.5, .9)], 3, box=(.2, .3, .5, .9))
    assert kinds(small) == {'normalised': [3]}
    # in an image of four pixels they may be pixels
    assert 'normalised' not in kinds(small, sizes={1: (4, 4)})


def test_zeros_are_not_said_to_be_normalised():
    flat = keypoint_table([(0, 0), (0, 0)]).ravel().tolist()
    assert set(kinds(person(POINTS, keypoints=flat))) >= {'zero'}
    assert 'normalised' not in kinds(person(POINTS, keypoints=flat))


@pytest.mark.parametrize('size, x, expected', [
    (1, 33, False), (1, 35, True),  # 1.5 and 3.5 pixels beside; 2 of 24
    (4, 132, False), (4, 134, True)])  # 4.5 and 6.5; a twentieth of 96
def test_how_far_beside_a_mask_a_keypoint_may_lie(size, x, expected):
    box = [side * size for side in (18, 18, 32, 42)]
    points = [(x, y * size) for y in (20, 30, 40)]
    found = kinds(person(points, box=box), sizes={1: (400, 400)})
    assert ('beside_mask' in found) == expected


def test_annotations_that_repeat_others():
    first, again = person(POINTS, 1), person(np.add(POINTS, .2), 2)
    assert kinds(first, again) == {'repeated': [2]}
    moved = person(np.add(POINTS, 3), 2)
    assert kinds(first, moved) == {}
    elsewhere = person(POINTS, 2, image_id=2)
    assert kinds(first, elsewhere, sizes={1: (64, 100), 2: (64, 100)}) == {}
    shared = person(np.add(POINTS, 1), 2, segmentation=first['segmentation'])
    assert kinds(first, shared) == {'shared_mask': [2]}
    bare = [person(POINTS, n, keypoints=[0] * 51, num_keypoints=0)
            for n in (1, 2)]
    assert kinds(*bare) == {'repeated': [2]}


def test_masks_that_were_not_checked_are_not_read():
    bad = person(POINTS, segmentation=[[float('nan')] * 6], area=150.)
    assert kinds(bad, masks=False) == {}


def test_a_line_has_count_example_and_remedy():
    bad = [person(np.add(POINTS, n), n, area=9e3) for n in range(1, 8)]
    line, = suspect_persons(content([*bad, person(POINTS, 9)],
                                    {1: (64, 100)}))
    assert str(line) == (
        'suspect: 7 of 8 persons have an area that is not that of their mask '
        'or box (id 1, 2, 3, 4, 5, ...): write the area of the mask in '
        'pixels: COCO sorts people by it')


def test_cocos_own_annotations_raise_no_suspicion(coco_mini):
    files = [*coco_mini.glob('annotations/person*.json'),
             *coco_mini.parent.glob('coco_photos/annotations/'
                                    'person_keypoints_val.json')]
    for path in files:
        given = json.loads(path.read_bytes())
        assert len(given['annotations']) > 40
        assert suspect_persons(given) == []

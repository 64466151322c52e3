"""Annotation files with one fault each: refused by name, or noted."""
import copy
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from factories import content, person, rectangle, without

from mmpose_ssa.annotations.checks import Rules, check_annotations
from mmpose_ssa.annotations.segmentations import MAX_SIDE

LABELLED = [(20, 20), (30, 40, 1)]
TRAINING = Rules(17, needs=('bbox', 'keypoints', 'segmentation'), masks=True,
                 files=True, without_masks='train without')
KEYPOINTS = Rules(17, needs=('bbox', 'keypoints'))
MASKS = Rules(needs=('segmentation', ))
TESTING = Rules(17, files=True)
ALL = dict(training=TRAINING, keypoints=KEYPOINTS, masks=MASKS,
           testing=TESTING)


def one(number=1, **more):
    return person(LABELLED, number, box=(10, 10, 50, 50), **more)


def check(annotations, rules=TRAINING, **more):
    return check_annotations(content(annotations, **more), 'a.json', rules)


def refusal(annotations, rules=TRAINING, **more):
    with pytest.raises(ValueError) as raised:
        check(annotations, rules, **more)
    message = str(raised.value)
    assert message.startswith('a.json has ') and ': ' in message, message
    return message


# --- good files -------------------------------------------------------------


@pytest.mark.parametrize('rules', ALL.values(), ids=ALL)
def test_good_annotations_stay_as_they_are(rules, coco_mini, crowdpose_mini):
    good = [content([one(), one(2, iscrowd=1)])]
    for path in (*coco_mini.glob('annotations/person_keypoints*.json'),
                 *crowdpose_mini.parent.glob('coco_photos/annotations/'
                                             'person_keypoints_val.json')):
        good.append(json.loads(path.read_bytes()))
    assert len(good) > 2
    for given in good:
        before = copy.deepcopy(given)
        checked = check_annotations(given, 'a.json', rules)
        assert checked.notes == [] and given == before
        assert checked.dataset['images'] == given['images']
        assert checked.dataset['annotations'] == given['annotations']
        assert checked.dataset['categories'] == [checked.person]


def test_crowdposes_own_count_is_left_where_its_evaluation_reads_it(
        crowdpose_mini):
    given = json.loads((crowdpose_mini / 'test_crowdpose.json').read_bytes())
    counts = [ann['num_keypoints'] for ann in given['annotations']]
    labelled = [sum(v > 0 for v in ann['keypoints'][2::3])
                for ann in given['annotations']]
    assert counts != labelled
    for count, expected in ((False, counts), (True, labelled)):
        found, _, notes, _ = check_annotations(
            given, 'a.json', KEYPOINTS._replace(num_keypoints=14,
                                                count_keypoints=count))
        assert [a['num_keypoints'] for a in found['annotations']] == expected
        assert any('num_keypoints' in note for note in notes) == count
        # CrowdPose has no areas: 0.53 of the box, as its evaluation has it
        for ann in found['annotations']:
            _, _, w, h = ann['bbox']
            assert ann['area'] == pytest.approx(.53 * w * h)


def test_a_file_without_annotations():
    listed = without(content([]), 'annotations', 'categories')
    checked = check_annotations(listed, 'a.json', TESTING)
    assert checked == (dict(listed), {}, [], [])
    assert check([], MASKS, categories=[]).dataset['annotations'] == []


# --- what is estimated or left out ------------------------------------------


@pytest.mark.parametrize('area', [
    'missing', None, 0, -3., float('nan'), float('inf'), '400', True, 1e300])
@pytest.mark.parametrize('rules', ALL.values(), ids=ALL)
def test_an_area_is_estimated(area, rules):
    persons = [one(1, area=area), one(2, area=area, segmentation=None),
               one(3, area=area, segmentation=[rectangle(0, 0, 8, 4)])]
    if area == 'missing':
        persons = [without(ann, 'area') for ann in persons]
    persons.append(one(4, area=12.5))
    if 'segmentation' in rules.needs:
        del persons[1]
    found = check(persons, rules)
    areas = {ann['id']: ann['area'] for ann in found.dataset['annotations']}
    expected = {1: 40 * 40, 2: .53 * 40 * 40, 3: 8 * 4, 4: 12.5}
    assert areas == pytest.approx({i: expected[i] for i in areas})
    note, = found.notes
    total = len(persons)
    assert note.startswith(f'a.json: {total - 1} of {total} annotations')
    assert 'area' in note and '(id 1, ' in note


def test_a_damaged_mask_gives_no_area_where_masks_are_not_read():
    found = check([one(area=0, segmentation=[[1, 2, 3, 4]])], KEYPOINTS)
    ann, = found.dataset['annotations']
    assert ann['area'] == pytest.approx(.53 * 1600)


@pytest.mark.parametrize('given, expected, noted', [
    (0, 0, False), (1, 1, False), (True, 1, False), (1., 1, False),
    ('missing', 0, False), (None, 0, True)])
def test_iscrowd(given, expected, noted):
    ann = one(iscrowd=given)
    if given == 'missing':
        ann = without(ann, 'iscrowd')
    found = check([ann])
    assert found.dataset['annotations'][0]['iscrowd'] is expected
    assert [('iscrowd of null' in n) for n in found.notes] == [True] * noted


def test_a_confidence_is_a_label():
    """One rule: labelled is v > 0."""
    points = [(9, 9, .45), (9, 9, 1e-6), (9, 9, 3), (9, 9, -1), (9, 9, 0),
              (9, 9, 1), (9, 9, 2), (9, 9, 1.5)]
    found = check([person(points, box=(0, 0, 20, 20), num_keypoints=6)])
    ann, = found.dataset['annotations']
    assert ann['keypoints'][2:24:3] == [1, 1, 2, 0, 0, 1, 2, 2]
    assert ann['keypoints'][:2] == [9, 9] and ann['num_keypoints'] == 6
    note, = found.notes
    assert 'visibilities other than 0, 1 and 2' in note and '(id 1)' in note


@pytest.mark.parametrize('given', [0, 1, 17, None, '2', 'missing'])
def test_keypoints_are_counted(given):
    ann = one(num_keypoints=given)
    if given == 'missing':
        ann = without(ann, 'num_keypoints')
    found = check([ann])
    assert found.dataset['annotations'][0]['num_keypoints'] == 2
    assert [('num_keypoints' in n) for n in found.notes] == [True] * (
        given != 'missing')


def test_persons_of_any_category():
    others = [dict(id=1, name='dog'), dict(id=3, name='kite')]
    annotations = [one(1, category_id=7), one(2, category_id=1),
                   dict(id=3, image_id=1, category_id=3)]
    for name, wanted in (('person', 'person'), ('Person', 'person'),
                         ('pedestrian', 'pedestrian'), ('who', 7)):
        categories = [*others, dict(id=7, name=name, keypoints=['nose'])]
        found = check(annotations, TRAINING._replace(person=wanted),
                      categories=categories)
        assert found.person == categories[-1]
        assert found.dataset['categories'] == [categories[-1]]
        assert [a['id'] for a in found.dataset['annotations']] == [1]
        note, = found.notes
        assert note.startswith('a.json: 2 of 3 annotations are')
        assert '(id 2, 3)' in note
        assert f'other categories than {wanted!r}' in note


def test_whole_numbers_written_as_decimals():
    given = content([one(3., image_id=1., category_id=1.)])
    given['images'][0].update(id=1., width=64., height=64.)
    found = check_annotations(given, 'a.json', TRAINING).dataset
    values = [found['images'][0][key] for key in ('id', 'width', 'height')]
    values += [found['annotations'][0][key]
               for key in ('id', 'image_id', 'category_id')]
    assert values == [1, 64, 64, 3, 1, 1]
    assert {type(value) for value in values} == {int}


def test_empty_runs_are_noted():
    counts = [64, 0, 64, 64 * 62]
    found = check([one(segmentation=dict(size=[64, 64], counts=counts))])
    assert found.dataset['annotations'][0]['segmentation']['counts'] == [
        128, 64 * 62]
    assert 'empty runs' in found.notes[0]


# --- what is refused --------------------------------------------------------


@pytest.mark.parametrize('given, words', [
    ([], 'a list'), (None, 'a NoneType'), ('x', 'a str'),
    (dict(images={}), "'images' is no list"),
    (dict(images=[1]), "'images' is no list of dicts"),
    (content([]) | dict(annotations=None), "'annotations' is no list"),
    (content([], categories='person'), "'categories' is no list"),
    ({}, 'has no images'), (content([], sizes={}), 'has no images'),
])
def test_what_is_not_cocos_format(given, words):
    with pytest.raises(ValueError, match=words):
        check_annotations(given, 'a.json', TRAINING)


@pytest.mark.parametrize('image, words', [
    (dict(id='1'), "whole number (1: image '1'): number them"),
    (dict(id=None), 'whole number (1: image None): number them'),
    (dict(id=1.5), '(1: image 1.5)'), (dict(id=True), '(1: image True)'),
    (dict(id=2**60), '(1: image 1152921504606846976)'),
    (dict(file_name=None), 'without a file_name (1: image 1)'),
    (dict(file_name=7), 'without a file_name (1: image 1)'),
    (dict(width=0), 'width or height is no whole number'),
    (dict(height=-4), 'width or height'), (dict(width=None), 'width or h'),
    (dict(width='64'), 'width or height'), (dict(width=6.5), 'width or h'),
    (dict(width=32767), 'from 1 to 32766'),
    (dict(width=32000, height=32000), 'more than 134,217,728 pixels (1: im'),
    (dict(width=2**60, height=2**60), 'width or height'),
])
def test_images_are_refused(image, words):
    given = content([])
    given['images'][0].update(image)
    with pytest.raises(ValueError) as raised:
        check_annotations(given, 'a.json', TRAINING)
    assert words in str(raised.value)


def test_an_annotated_image_needs_its_size():
    for side in ('width', 'height'):
        given = content([one()])
        del given['images'][0][side]
        for rules in (TRAINING, TESTING, MASKS):
            with pytest.raises(ValueError, match=r'width and .*\(1: id 1\)'):
                check_annotations(given, 'a.json', rules)
        check_annotations(given, 'a.json', KEYPOINTS)
        check_annotations(dict(given, annotations=[]), 'a.json', TRAINING)


def test_texts_as_ids_of_images_where_they_may_be():
    given = content([one(image_id='a')])
    given['images'][0]['id'] = 'a'
    rules = KEYPOINTS._replace(text_ids=True)
    found = check_annotations(given, 'a.json', rules).dataset
    assert found['annotations'][0]['image_id'] == 'a'


@pytest.mark.parametrize('change, words', [
    (dict(id='7'), "no whole number (1: id '7'): number them"),
    (dict(id=None), '(1: id None)'), (dict(id=[7]), '(1: id [7])'),
    (dict(id=7.5), '(1: id 7.5)'), (dict(id=False), '(1: id False)'),
    (dict(image_id=2), 'does not list (1: image 2): add the images'),
    (dict(image_id='1'), "does not list (1: image '1')"),
    (dict(image_id=None), '(1: image None)'),
    (dict(image_id=[1]), '(1: image [1])'),
    (dict(category_id=2), 'categories that it does not list (1: id 7)'),
    (dict(category_id=None), 'categories that it does not list (1: id 7)'),
    (dict(category_id='1'), 'categories that it does not list (1: id 7)'),
    (dict(iscrowd='1'), "neither 0 nor 1 (1: id 7; 7 has '1')"),
    (dict(iscrowd=2), 'neither 0 nor 1 (1: id 7; 7 has 2): write 1 for'),
    (dict(iscrowd=[0]), 'neither 0 nor 1 (1: id 7'),
    (dict(bbox=None), 'bbox is not a list of four numbers (1: id 7): write'),
    (dict(bbox=[1, 2, 3]), 'four numbers'),
    (dict(bbox=[1, 2, 3, 1e9]), 'four numbers'),
    (dict(bbox=[1, 2, 3, 10**400]), 'four numbers'),
    (dict(keypoints=None), '51 numbers (1: id 7; 7 has None): write x'),
    (dict(keypoints=[9, 9, 2] * 14),
     'not a list of 51 numbers (1: id 7; 7 has 42)'),
    (dict(keypoints=[1e300, 9, 2] * 17), 'not a list of 51 numbers'),
    (dict(keypoints=[float('-inf'), 9, 2] * 17), 'not a list of 51 numbers'),
    (dict(segmentation=None), 'without segmentation (1: id 7): give polygons'
     ' or RLEs of all persons, or train without'),
    (dict(segmentation=[[1, 2, 3, 4]]), 'damaged segmentation (1: id 7; 7 of '
     'image 1: a polygon must be a flat list'),
])
def test_annotations_are_refused(change, words):
    assert words in refusal([one(2), one(7) | change])


def test_keys_that_are_missing():
    persons = [one(1), without(one(2), 'bbox'), without(one(3), 'keypoints')]
    assert ('persons without bbox or keypoints (2: id 2, 3): give COCO'
            in refusal(persons, KEYPOINTS))
    assert len(check(persons, TESTING).dataset['annotations']) == 3
    assert len(check(persons, MASKS).dataset['annotations']) == 3
    for key, words in (('id', 'id None'), ('image_id', 'image None'),
                       ('category_id', 'id 1')):
        assert words in refusal([without(one(), key)])


def test_ids_that_are_doubled():
    assert 'share an id (2: id 1, 2): number them anew' in refusal(
        [one(1), one(2), one(1), one(2), one(3)])
    given = content([])
    given['images'] *= 2
    with pytest.raises(ValueError, match=r'share an id \(1: image 1\)'):
        check_annotations(given, 'a.json', TRAINING)


def test_the_first_five_of_many_are_named():
    message = refusal([one(i, bbox=[]) for i in range(1, 9)])
    assert '(8: id 1, 2, 3, 4, 5, ...)' in message


@pytest.mark.parametrize('categories, words', [
    ([], "no category 'person' among {}: write categories="),
    ([dict(id=1, name='dog')], "among {1: 'dog'}: write .* person=NAME"),
    ([dict(id=1)], 'among {1: None}'),
    ([dict(id=1, name='person'), dict(id=2, name='Person')],
     "has 2 category 'person'"),
    ([dict(id='1', name='person')], 'without a number of their own'),
    ([dict(name='person')], 'without a number of their own'),
    ([dict(id=1, name='person'), dict(id=1, name='dog')],
     'without a number of their own'),
])
def test_categories_are_refused(categories, words):
    with pytest.raises(ValueError, match=words):
        check([one()], categories=categories)


def test_masks_are_whole_where_they_are_read():
    mask = np.zeros((64, 64), np.uint8, order='F')
    mask[10:50, 10:50] = 1
    counts = coco_mask.encode(mask)['counts'].decode()
    damaged = [one(3, segmentation=dict(size=[64, 64], counts=counts[:-2]))]
    for rules in (TRAINING, MASKS, Rules(17, masks=True)):
        assert 'damaged segmentation (1: id 3; 3 of image 1: RLE' in refusal(
            damaged, rules)
    for rules in (KEYPOINTS, TESTING):
        assert check(damaged, rules).notes == []


# --- limits -----------------------------------------------------------------


@pytest.mark.parametrize('size, allowed', [
    ((8192, 16384), True), ((8192, 16385), False),  # 2^27 pixels
    ((1, MAX_SIDE), True), ((1, MAX_SIDE + 1), False)])
def test_the_largest_images(size, allowed):
    people = [one()]
    if allowed:
        assert check(people, sizes={1: size}).dataset['images']
    else:
        assert 'width or height' in refusal(people, sizes={1: size})


@pytest.mark.parametrize('number, allowed', [
    (2**53 - 1, True), (2**53, False), (1 - 2**53, True), (-2**53, False)])
def test_the_largest_ids(number, allowed):
    people = [one(number)]
    if allowed:
        assert check(people).dataset['annotations'][0]['id'] == number
    else:
        assert 'annotations whose id is no whole number' in refusal(people)

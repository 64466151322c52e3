"""All faults of a file are found in one go, not the first alone."""
import copy

import pytest
from factories import content, keypoint_table, person, without

from mmpose_ssa.annotations.checks import Rules
from mmpose_ssa.annotations.findings import Finding
from mmpose_ssa.annotations.survey import choose, survey

RULES = Rules(17, 'person', ('bbox', 'keypoints', 'segmentation'),
              masks=True, files=True)
SIZES = {1: (64, 64), 2: (64, 64), 3: (64, 64)}


def said(given, rules=RULES):
    checked, findings = survey(given, 'a.json', rules)
    return checked, {f.kind: f for f in findings}


def test_a_good_file():
    given = content([person()])
    checked, found = said(given)
    assert found == {} and checked.dataset['annotations'] == [person()]


def test_empty_masks_are_for_others_to_find():
    """suspicions.py finds them, so that nothing is said twice."""
    empty = person(segmentation=[[-9, -9, -2, -9, -2, -2]])
    checked, found = said(content([empty]))
    assert found == {}
    assert [note.kind for note in checked.noted] == ['mask_empty']


def test_a_finding_without_example_has_no_brackets():
    finding = Finding('note', 'kind', 'a text', '', 'a remedy')
    assert str(finding) == 'note: a text: a remedy'
    assert str(finding._replace(example='id 3')) == (
        'note: a text (id 3): a remedy')


def test_faults_of_images_and_annotations_at_once():
    """``check_annotations`` itself would stop at the first of three stages."""
    given = content(
        [person(number=1), person(number=1), person(number=2, bbox=[1]),
         person(number=3, segmentation=[[1, 2]]),
         person(number=4, image_id=2), person(number=5, image_id=9),
         person(number=6, category_id=5), person(number=7, area=0)], SIZES)
    given['images'][1]['width'] = 'wide'
    given['images'].append(dict(given['images'][0]))
    before = copy.deepcopy(given)
    checked, found = said(given)
    assert given == before
    assert set(found) == {'image_size', 'image_double', 'double', 'image',
                          'category', 'bbox', 'segmentation', 'area'}
    assert [f.ids for f in found.values() if f.kind == 'image_size'] == [[2]]
    assert list(found['image'].ids) == [9]  # 2 is told already
    assert found['bbox'].ids == [2] and found['segmentation'].ids == [3]
    levels = {f.kind: f.level for f in found.values()}
    assert levels.pop('area') == 'note'
    assert set(levels.values()) == {'refused'}
    assert [a['id'] for a in checked.dataset['annotations']] == [1, 7]
    assert [i['id'] for i in checked.dataset['images']] == [1, 3]


def test_a_line_has_count_example_and_remedy():
    given = content([person(number=1), person(number=2, bbox=[1])])
    assert str(said(given)[1]['bbox']) == (
        'refused: 1 of 2 annotations whose bbox is not a list of four numbers '
        '(id 2): write x, y, width and height in pixels')


def test_a_line_is_one_line():
    line = Finding('note', 'x', 'a\nb', '\x1b[31m', 'ü')
    assert str(line) == 'note: a\\nb (\\x1b[31m): ü'


@pytest.mark.parametrize('given', [[], {}, None, 'x', dict(images=[]),
                                   dict(images=[3]), dict(images=3)])
def test_what_is_no_file_of_coco(given):
    checked, findings = survey(given, 'a.json', RULES)
    assert checked is None and [f.level for f in findings] == ['refused']


def test_nobody_is_left():
    """What remains of a file is not refused for being too little."""
    given = content([person(number='a')])
    assert set(said(given)[1]) == {'id'}
    given['images'][0]['id'] = 'a'
    assert set(said(given)[1]) == {'image_id'}


@pytest.mark.parametrize('changes', [
    dict(iscrowd=1), dict(keypoints=[0] * 51, num_keypoints=0)])
def test_nobody_to_learn_from(changes):
    assert set(said(content([person(**changes)]))[1]) == {'nobody'}


def test_the_category_that_is_meant():
    cow = person(category_id=7, keypoints=keypoint_table(
        [(9, 9)], 5).ravel().tolist())
    names = dict(keypoints=list('abcde'))
    for categories, expected in (
            ([dict(id=1, name='person')], (1, 17)),
            ([dict(id=7, name='cow')], (7, 5)),  # by the annotations
            ([dict(id=3, name='Person'), dict(id=7, name='cow')], (3, 17)),
            ([dict(id=2, name='dog'), dict(id=7, name='cow', **names)],
             (7, 5)),
            ([dict(id=2, name='dog'), dict(id=7, name='cow')],
             ('person', 17)),
            ([dict(id='x', name='cow')], ('person', 17)), ([], ('person', 17)),
            ([3, None], ('person', 17))):
        assert choose(content([cow], categories=categories)) == expected
    several = [dict(id=2, name='dog'), dict(id=7, name='cow', **names)]
    given = content([cow], categories=several)
    assert choose(given, 'dog') == (2, 17) and choose(given, 7) == (7, 5)
    assert choose(given, 'cat') == ('cat', 17)
    assert choose(without(given, 'annotations'), 'cow') == (7, 5)
    assert choose(None) == choose([]) == ('person', 17)

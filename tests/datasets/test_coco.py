"""Faulty data sets and images are named, with what to do about them."""
import json

import factories
import numpy as np
import pytest
from factories import COCO_MINI, without
from mmengine.logging import MessageHub
from mmpose.datasets import CocoDataset

from mmpose_ssa.datasets import coco
from mmpose_ssa.datasets.coco import CheckedCocoDataset


def image(number=1):
    return dict(id=number, file_name=f'{number}.png', width=40, height=30)


def person(number=1, image_id=1, **extra):
    made = factories.person([(9, 9)], number, image_id, box=(5, 5, 25, 25),
                            area=200.)
    return without(made, 'segmentation') | extra


def content(**extra):
    return factories.content([person()], {1: (30, 40)}) | extra


def read(folder, text, cls=CheckedCocoDataset, **options):
    if text is not None:
        text = text if isinstance(text, str) else json.dumps(text)
        (folder / 'persons.json').write_text(text)
    return cls(data_root=str(folder), ann_file='persons.json',
               data_mode='bottomup', **options)


@pytest.mark.parametrize('first, second', [
    ([[5, 5, 9, 5, 9, 9]], None), (None, [[5, 5, 9, 5, 9, 9]]),
    ([[5, 5, 9, 5, 9, 9]], [])])
def test_a_person_beside_one_without_segmentation(tmp_path, first, second):
    """Each keeps its own; whether it may be missing the transforms decide."""
    persons = [person(1, segmentation=first), person(2, segmentation=second)]
    info = read(tmp_path, content(annotations=persons)).get_data_info(0)
    assert info['keypoints'][:, 0].tolist() == [[9, 9], [9, 9]]
    assert [ann['segmentation'] for ann in info['raw_ann_info']] == [
        first, second]


NO_KEYPOINTS = ([], None, [[9, 9, 2]] * 17, [9, 9, None] * 17,
                [float('nan')] * 51)
NO_BOXES = ([5, 5, 20], [5, 5, 20, None], '5 5 20 20', ['5', '5', '20', '20'],
            [[5, 5], [20]])
FAULTS_ALWAYS = {
    'missing': (None, FileNotFoundError, 'does not exist: set data_root'),
    'empty': ('', ValueError, 'is empty: .* write it again'),
    'blank': (' \n', ValueError, 'is empty'),
    'cut off': (json.dumps(content())[:-9], ValueError,
                r'is not JSON \(.*damaged'),
    'a list': ([], ValueError, "COCO's format .*list.* must be one dict"),
    'no dict of COCO': ({}, ValueError, 'has no images: give a file'),
    'no images': (content(images=[]), ValueError, 'has no images'),
    'image without width': (content(images=[without(image(), 'width')]),
                            ValueError, r'without width .* \(1: id 1\)'),
    'image twice': (content(images=[image(), image()]), ValueError,
                    r'images that share an id \(1: image 1\): number them'),
    'person twice': (
        content(annotations=[person(7), person(7), person(8), person(8)]),
        ValueError, r'annotations that share an id \(2: id 7, 8\)'),
    'unknown images': (
        content(annotations=[person(i, i) for i in range(1, 9)]), ValueError,
        r'does not list \(7: image 2, 3, 4, 5, 6, \.\.\.\): add the images'),
    'keypoints cut short': (
        content(annotations=[person(1), person(2, keypoints=[9, 9, 2] * 14),
                             person(3, keypoints=[9, 9, 2, 9])]),
        ValueError,
        r'of 51 numbers \(2: id 2, 3; 2 has 42\): write x, y and v'),
    'keypoints of another kind': (
        content(annotations=[person(i, keypoints=keypoints) for i, keypoints
                             in enumerate(NO_KEYPOINTS, 2)]),
        ValueError,
        r'51 numbers \(5: id 2, 3, 4, 5, 6; 2 has \[\]\).* their metainfo'),
    'boxes': (
        content(annotations=[person(1)] + [person(i, bbox=box) for i, box
                                           in enumerate(NO_BOXES, 2)]),
        ValueError,
        r'not a list of four numbers \(5: id 2, 3, 4, 5, 6\): write x, y, w'),
    'no categories': (
        without(content(), 'categories'), ValueError,
        r"no category 'person' among \{\}: write .* person=NAME of the data"),
    'no person': (
        content(categories=[dict(id=1, name='dog')]), ValueError,
        r"no category 'person' among \{1: 'dog'\}: write"),
    'another id': (
        content(categories=[dict(id=2, name='person')]), ValueError,
        r'categories that it does not list \(1: id 1\): add'),
}
FAULTS_IN_TRAINING = {
    'no annotations': (without(content(), 'annotations'),
                       'no person with labelled keypoints and a box in the '
                       'image in its 0 annot'),
    'nobody labelled': (
        content(annotations=[person(num_keypoints=0, keypoints=[0] * 51)]),
        'no person with labelled keypoints and a box in the image in its 1 '
        'annotations: train on'),
    'crowd alone': (content(annotations=[person(iscrowd=1)]),
                    'no person with labelled keypoints'),
    'instances': (
        content(annotations=[
            person(1), without(person(2), 'keypoints'),
            without(person(3), 'bbox')]),
        'persons without bbox or keypoints (2: id 2, 3): give COCO'),
}


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('fault', FAULTS_ALWAYS)
def test_a_faulty_file_is_named(tmp_path, fault, test_mode):
    text, error, words = FAULTS_ALWAYS[fault]
    with pytest.raises(error, match=words) as raised:
        read(tmp_path, text, test_mode=test_mode)
    assert str(tmp_path / 'persons.json') in str(raised.value)


@pytest.mark.parametrize('fault', FAULTS_IN_TRAINING)
def test_what_only_training_needs(tmp_path, fault):
    text, words = FAULTS_IN_TRAINING[fault]
    with pytest.raises(ValueError) as raised:
        read(tmp_path, text)
    assert f"{tmp_path / 'persons.json'} has" in str(raised.value)
    assert words in str(raised.value)
    assert len(read(tmp_path, text, test_mode=True)) == 1


def test_a_test_server_file_has_no_annotations(tmp_path):
    text = without(content(images=[image(1), image(2)]), 'annotations')
    dataset = read(tmp_path, text, test_mode=True)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['img_id'] for info in infos] == [1, 2]
    assert [info['raw_ann_info'] for info in infos] == [None, None]


@pytest.mark.parametrize('test_mode', [False, True])
def test_other_keypoints_need_their_metainfo(tmp_path, test_mode):
    persons = [person(1, keypoints=[9, 9, 2] * 14)]
    metainfo = dict(from_file='configs/_base_/datasets/crowdpose.py')
    info = read(tmp_path, content(annotations=persons), metainfo=metainfo,
                test_mode=test_mode).get_data_info(0)
    assert info['keypoints'].shape == (1, 14, 2)
    hub = MessageHub.get_current_instance()
    hub.runtime_info.pop('crowdpose_ann_file', None)


def test_annotations_of_others_than_persons_are_left_out(tmp_path):
    dog = dict(id=2, image_id=1, category_id=18, bbox=[0, 0, 9, 9])
    categories = [dict(id=1, name='person'), dict(id=18, name='dog')]
    dataset = read(tmp_path, content(annotations=[person(), dog],
                                     categories=categories))
    assert dataset.get_data_info(0)['id'] == [1]


@pytest.mark.skipif(not COCO_MINI.is_dir(), reason=f'{COCO_MINI} is absent')
@pytest.mark.parametrize('test_mode', [False, True])
def test_good_data_are_read_as_mmpose_reads_them(test_mode):
    options = dict(
        ann_file=str(COCO_MINI / 'annotations/person_keypoints_val2017.json'),
        data_prefix=dict(img=str(COCO_MINI / 'val2017')),
        data_mode='bottomup', test_mode=test_mode)
    checked, plain = CheckedCocoDataset(**options), CocoDataset(**options)
    assert len(checked) == len(plain) > 15
    assert checked.metainfo['CLASSES'] == plain.metainfo['CLASSES']
    for i in range(len(plain)):
        ours, theirs = checked.get_data_info(i), plain.get_data_info(i)
        h, w = ours.pop('annotated_shape')
        assert ours['raw_ann_info'] is None or w >= max(
            a['bbox'][0] + a['bbox'][2] for a in ours['raw_ann_info']) - 1 > 0
        sigmas = ours.pop('sigmas')  # for a refiner
        np.testing.assert_equal(sigmas, plain.metainfo['sigmas'])
        np.testing.assert_equal(ours, theirs)


@pytest.mark.parametrize('test_mode', [False, True])
def test_every_nth_image_by_ascending_id(tmp_path, test_mode):
    text = content(
        images=[image(i) for i in (7, 3, 5, 1)],
        annotations=[person(10, 1), person(11, 3), person(12, 5)])
    dataset = read(tmp_path, text, test_mode=test_mode, every_nth_image=2)
    ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    assert sorted(ids) == [1, 5]


def test_every_nth_image_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match='every_nth_image .* got 0'):
        read(tmp_path, content(), every_nth_image=0)


# --- what is estimated and chosen -------------------------------------------


@pytest.fixture
def log(monkeypatch):
    """What is logged of files that nobody has spoken of yet."""
    said = []
    monkeypatch.setattr(coco, '_said', set())
    monkeypatch.setattr(coco, 'print_log',
                        lambda text, logger: said.append(text))
    return said


@pytest.mark.parametrize('test_mode', [False, True])
def test_faults_that_are_repaired_are_said_once(tmp_path, log, test_mode):
    faulty = person(area=None, iscrowd=None, num_keypoints=0,
                    keypoints=[9, 9, .45] + [0] * 48)
    for _ in range(2):
        dataset = read(tmp_path, content(annotations=[faulty]),
                       test_mode=test_mode)
        info = dataset.get_data_info(0)
        assert info['keypoints_visible'][0, :2].tolist() == [1, 0]
        assert info['num_keypoints'] == [1] and info['iscrowd'] == [0]
        assert info['area'].tolist() == pytest.approx([.53 * 20 * 20])
        assert info['raw_ann_info'][0]['area'] == pytest.approx(.53 * 400)
    assert len(log) == 4
    for text, word in zip(log, ('visibilities', 'num_keypoints', 'iscrowd',
                                'area')):
        assert word in text and '(id 1)' in text
        assert '1 of 1 annotations' in text
        assert str(tmp_path / 'persons.json') in text


@pytest.mark.parametrize('box', [[0, 0, 0, 0], [30, 5, -20, 20],
                                 [90, 5, 20, 20]])
def test_nobody_is_dropped_for_a_box_without_a_pixel(tmp_path, log, box):
    """MMPose leaves such persons out, top-down without a word."""
    text = content(annotations=[person(1, bbox=box), person(2)])
    (tmp_path / 'persons.json').write_text(json.dumps(text))
    dataset = CheckedCocoDataset(data_root=str(tmp_path),
                                 ann_file='persons.json', data_mode='topdown')
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['id'] for info in found] == [1, 2]
    # of the one keypoint, at least a pixel
    assert found[0]['bbox'].tolist() == [[9, 9, 10, 10]]
    assert 'a bbox without a pixel' in log[0] and '(id 1)' in log[0]


def test_images_of_one_file_are_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(coco, 'print_log',
                        lambda text, logger, level=20: said.append(text))
    images = [image(1), image(2) | dict(file_name='1.png'), image(3)]
    read(tmp_path, content(images=images, annotations=[
        person(i, i) for i in (1, 2, 3)]))
    line, = (text for text in said if 'file of another' in text)
    assert line.startswith('1 images of ') and 'background' in line
    said.clear()
    read(tmp_path, content(images=[image(1), image(3)]))
    assert not [text for text in said if 'file of another' in text]


@pytest.mark.parametrize('test_mode', [False, True])
def test_keypoints_in_another_order_are_refused(tmp_path, test_mode):
    names = list(factories.COCO_NAMES)
    category = dict(id=1, name='person', keypoints=names)
    read(tmp_path, content(categories=[category]), test_mode=test_mode)
    # other words for them are check-data's to compare
    category['keypoints'] = ['Nose', *names[1:]]
    read(tmp_path, content(categories=[category]), test_mode=test_mode)
    category['keypoints'] = [*names[:2], names[3], names[2], *names[4:]]
    with pytest.raises(ValueError, match=(
            f"another order: number 2 is '{names[3]}', not '{names[2]}'")):
        read(tmp_path, content(categories=[category]), test_mode=test_mode)


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('chosen', ['rider', 7])
def test_the_config_chooses_who_is_a_person(tmp_path, log, test_mode, chosen):
    text = content(
        annotations=[person(1, category_id=1), person(2, category_id=7)],
        categories=[dict(id=1, name='bike'), dict(id=7, name='rider')])
    with pytest.raises(ValueError, match="'person' among .*person=NAME"):
        read(tmp_path, text, test_mode=test_mode)
    dataset = read(tmp_path, text, test_mode=test_mode, person=chosen)
    assert dataset.get_data_info(0)['id'] == [2]
    assert dataset.metainfo['CLASSES'] == [dict(id=7, name='rider')]
    assert f'other categories than {chosen!r}' in log[0]
    MessageHub.get_current_instance().runtime_info.pop('coco_person', None)


@pytest.mark.parametrize('missing', ['error', 'empty', None])
def test_masks_are_needed_by_the_step_that_draws_them(tmp_path, mmpose,
                                                      missing):
    """Before training begins, and of all persons."""
    options = {}
    if missing:
        options['pipeline'] = [dict(type='GeneratePersonMasks',
                                    heatmap_size=(8, 8), missing=missing)]
    square = [[5, 5, 9, 5, 9, 9, 5, 9]]
    persons = [person(1, segmentation=square), person(2)]
    if missing == 'error':
        with pytest.raises(ValueError, match=r'\(1: id 2\): .*naive variant'):
            read(tmp_path, content(annotations=persons), **options)
    else:
        assert len(read(tmp_path, content(annotations=persons), **options))
    persons[1]['segmentation'] = [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match=r'id 2; 2 of image 1: a polygon'):
        read(tmp_path, content(annotations=persons), **options)
    options.pop('pipeline', None)
    assert len(read(tmp_path, content(annotations=persons), test_mode=True,
                    **options))

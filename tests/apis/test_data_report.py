"""One report of data: annotations, files and the config's pipeline."""
import json

import cv2
import numpy as np
import pytest
from factories import (TINY, content, noise, person, rectangle, without,
                       write_images, write_scenes)
from PIL import Image

from mmpose_ssa.apis.data_report import check_data, concerned

pytestmark = pytest.mark.usefixtures('mmpose')
SIZES = {1: (64, 64), 2: (64, 80)}


@pytest.fixture
def folder(tmp_path, rng):
    write_images(tmp_path, SIZES, lambda h, w: noise(rng, h, w))
    return tmp_path


def report(folder, annotations, *arguments, sizes=SIZES, **more):
    file = folder / 'a.json'
    file.write_text(json.dumps(content(annotations, sizes, **more)))
    made = check_data(file, folder, *arguments)
    return made, {f.kind: f for f in made.findings}


def config(folder, text=''):
    path = folder / 'config.py'
    path.write_text(f'_base_ = [{str(TINY)!r}]\n{text}')
    return path


PEOPLE = [person(), person(number=2, image_id=2)]


def test_good_data(folder):
    made, found = report(folder, PEOPLE)
    assert set(found) == {'never', 'small'}  # one keypoint, boxes of 4 x 4
    assert not made.is_refused and made.trial is None
    assert made.summary == ("2 images, 2 annotations of 'person' (2 with "
                            'keypoints, 0 crowds), 17 keypoints each')


def test_the_worst_comes_first(folder):
    (folder / '2.png').unlink()
    made, found = report(folder, [
        *PEOPLE, person(number=3, bbox=[1]), person(number=4, area=None)])
    levels = [f.level for f in made.findings]
    assert levels[:3] == ['refused', 'refused', 'suspect']
    assert levels == sorted(levels, key=['refused', 'suspect', 'note'].index)
    assert made.is_refused
    assert found['bbox'].ids == [3] and found['image_missing'].ids == [2]
    # notes are of what is left
    assert found['area'].text.startswith('1 of 3 annotations')


def test_images_whose_people_are_refused_are_not_called_empty(folder):
    assert report(folder, PEOPLE[:1])[1]['image_empty'].ids == [2]
    bad = [PEOPLE[0], dict(PEOPLE[1], bbox=[1])]
    assert 'image_empty' not in report(folder, bad)[1]


def test_findings_by_image(folder):
    made, _ = report(folder, [
        *PEOPLE, person(number=3, image_id=2, bbox=[0, 0, 90, 9])])
    by_image = {
        number: {(f.kind, which) for f, which in said}
        for number, said in concerned(made).items()}
    assert by_image[1] == {('small', 1)}
    assert {('small', 2), ('box_outside', 3)} <= by_image[2]
    cv2.imwrite(str(folder / '2.png'), np.zeros((9, 9, 3), np.uint8))
    made, _ = report(folder, PEOPLE)
    assert ('image_size', None) in {
        (f.kind, which) for f, which in concerned(made)[2]}


# --- with and without a config ----------------------------------------------


def test_the_config_says_what_is_needed(folder):
    bare = [without(ann, 'segmentation') for ann in PEOPLE]
    assert 'no_mask' in report(folder, bare)[1]
    assert 'no_mask' in report(folder, bare, config(folder))[1]
    naive = config(folder, (
        '_base_.train_dataloader.dataset.pipeline[2].missing = "empty"\n'
        'train_dataloader = _base_.train_dataloader\n'))
    made, found = report(folder, bare, naive)
    assert 'no_mask' not in found and not made.is_refused
    assert len(made.trial.dataset) == 2
    assert 'small' not in found  # its min_area is 0


def test_keypoints_of_the_metainfo(folder):
    few = [person([(9, 9), (20, 9)], kinds=2)]
    names = [dict(id=1, name='person', keypoints=['a', 'b'])]
    assert not report(folder, few, categories=names)[0].is_refused
    made, found = report(folder, few, config(folder), categories=names)
    assert 'keypoints' in found and made.trial is None
    assert 'of 51 numbers' in found['keypoints'].text


def test_names_of_the_metainfo(folder):
    names = [f'p{k}' for k in range(17)]
    found = report(folder, PEOPLE, config(folder), categories=[
        dict(id=1, name='person', keypoints=names)])[1]
    assert found['names'].example == "number 0: 'p0', 'nose'"


def test_masks_that_nothing_reads_are_not_read(folder):
    top_down = config(folder, (
        'train_dataloader = dict(dataset=dict(data_mode="topdown", '
        'pipeline=[dict(type="LoadCheckedImage")]))'))
    bad = [person(segmentation=[[1, 2]])]
    assert 'segmentation' not in report(folder, bad, top_down)[1]
    assert 'segmentation' in report(folder, bad)[1]


def test_the_data_set_of_the_same_file_is_meant(folder):
    both = config(folder, """
data = _base_.train_dataloader.dataset
train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset',
    datasets=[dict(data, ann_file='x/other.json', person=3),
              dict(data, ann_file='y/a.json', person='cow')]))
""")
    cow = [dict(id=7, name='cow')]
    made, found = report(folder, [person(category_id=7)], both,
                         categories=cow)
    assert not made.is_refused and "of 'cow'" in made.summary
    assert 'person' not in found  # the config has it


def test_a_config_of_another_data_set_is_refused(folder):
    plain = config(folder, (
        "train_dataloader = dict(dataset=dict(type='CocoDataset'))"))
    with pytest.raises(ValueError, match='CocoDataset: give a config'):
        report(folder, PEOPLE, plain)


def test_nobody_whom_mmpose_would_take(folder):
    """It takes nobody whose box is outside the image."""
    outside = [person([(90, 90)])]
    assert not report(folder, outside)[0].is_refused
    made, found = report(folder, outside, config(folder))
    assert made.is_refused and made.trial is None
    assert 'no person with labelled keypoints' in found['nobody'].remedy


def test_what_is_refused_is_not_refused_again(folder):
    double = dict(id=1, file_name='1.png', width=64, height=64)
    made, found = report(folder, PEOPLE, config(folder),
                         images=[double, double, dict(double, id=2)])
    assert {k for k, f in found.items() if f.level == 'refused'} == {
        'image_double'}


def test_the_pipeline_is_tried(folder):
    bad = config(folder, (
        '_base_.train_dataloader.dataset.pipeline.insert(0, dict('
        'type="FilterAnnotations", min_kpt_vis=99))\n'
        'train_dataloader = _base_.train_dataloader\n'))
    made, found = report(folder, PEOPLE, bad)
    assert found['image_pipeline'].text.endswith('refuses 2 of the images it '
                                                 'was tried on')
    (folder / '1.png').unlink()  # is told once
    made, found = report(folder, PEOPLE, config(folder))
    assert 'image_pipeline' not in found and found['image_missing'].ids == [1]


def test_images_are_loaded_as_the_config_loads_them(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (80, 64)).save(folder / '2.png', exif=exif)
    assert 'image_orientation' in report(folder, PEOPLE)[1]
    stored = config(folder, (
        '_base_.train_dataloader.dataset.pipeline[0].color_type = '
        '"color_ignore_orientation"\n'
        'train_dataloader = _base_.train_dataloader\n'))
    assert 'image_orientation' not in report(folder, PEOPLE, stored)[1]


# --- categories -------------------------------------------------------------

COWS = [person(category_id=7), person(number=2, image_id=2, category_id=8)]
HERD = [dict(id=7, name='cow'), dict(id=8, name='horse')]


def test_the_only_category_is_taken(folder):
    made, found = report(folder, COWS[:1], categories=HERD[:1])
    assert not made.is_refused
    assert found['person'].remedy == (
        "set person='cow' of the data sets in the config")


def test_of_several_categories_one_is_named(folder):
    made, found = report(folder, COWS, categories=HERD)
    assert made.is_refused and found['file'].text == (
        "the file has no category 'person' among {7: 'cow', 8: 'horse'}")
    for chosen in ('horse', 8):
        made, found = report(folder, COWS, None, chosen, categories=HERD)
        assert not made.is_refused
        assert [a['id'] for a in made.dataset['annotations']] == [2]
        assert found['category'].ids == [1]
    tiny = config(folder)
    assert report(folder, COWS, tiny, categories=HERD)[0].is_refused
    made, _ = report(folder, COWS, tiny, 'horse', categories=HERD)
    assert not made.is_refused and len(made.trial.dataset) == 1


def test_drawn_people_raise_no_suspicion(tmp_path):
    root = write_scenes(tmp_path / 'data', train=30)
    made = check_data(root / 'annotations/person_keypoints_train2017.json',
                      root / 'train2017', TINY)
    assert [f.kind for f in made.findings if f.level != 'note'] == []
    assert len(made.trial.dataset) > 20


def test_skeletons_are_drawn_by_side(folder):
    names = ['head', 'left_hand', 'right_hand']
    category = dict(id=1, name='person', keypoints=names,
                    skeleton=[[1, 2], [1, 3], [9, 1], 'x', [1, 'a']])
    made, _ = report(folder, [person(kinds=3)], categories=[category])
    assert list(made.skeleton.names) == names
    assert made.skeleton.links == [(0, 1), (0, 2)]
    assert made.skeleton.link_colors.tolist() == [[0, 255, 0], [255, 128, 0]]


@pytest.mark.parametrize('segmentation', [
    [[1., 1., 30., 1., 30., None]], [[1., 1., 30., 1., 30., 1e10]],
    dict(size=[64, 64], counts='PPY')])
def test_what_once_killed_or_hung_a_training(folder, segmentation):
    made, found = report(folder, [person(segmentation=segmentation)])
    assert found['segmentation'].level == 'refused'


def test_masks_elsewhere_are_suspected(folder):
    wide = person([(20, 20), (25, 25)], segmentation=[
        rectangle(50, 50, 60, 60)])
    assert report(folder, [wide])[1]['beside_mask'].ids == [1]

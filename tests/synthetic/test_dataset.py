"""The data set on disk: the same bytes, and nothing of others overwritten."""
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmpose_ssa.synthetic import KEYPOINT_NAMES, write_dataset


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Folder of the data set of `write`, and what it returned. Read only."""
    root = tmp_path_factory.mktemp('written')
    return root, write(root)


@pytest.fixture
def data(written, tmp_path):
    """A copy of that data set."""
    return Path(shutil.copytree(written[0], tmp_path / 'data'))


def write(root, **settings):
    return write_dataset(root, **{**dict(train=4, val=2, size=96, seed=5,
                                         workers=1), **settings})


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob('*')) if path.is_file()}


def test_same_bytes_whatever_the_number_of_workers(written, tmp_path):
    cv2.blur(np.zeros((2000, 2000)), (9, 9))  # OpenCV's threads are running
    write(tmp_path, workers=2)
    one, two = contents(written[0]), contents(tmp_path)
    assert len(one) == 4 + 2 + 2
    assert one == two


def test_more_images_leave_the_first_as_they_are(written, tmp_path):
    write(tmp_path, train=6)
    few, many = contents(written[0]), contents(tmp_path)
    images = [name for name in few if name.endswith('.jpg')]
    assert len(images) == 6
    assert all(many[name] == few[name] for name in images)


def test_no_two_images_are_equal(written, tmp_path):
    """Neither within a split, nor in both, nor from another seed."""
    write(tmp_path, seed=6)
    images = [data for root in (written[0], tmp_path)
              for name, data in contents(root).items()
              if name.endswith('.jpg')]
    assert len(set(images)) == len(images) == 12


def test_coco_reads_it(written):
    root, result = written
    persons = 0
    for split, number in (('train', 4), ('val', 2)):
        coco = COCO(root / f'annotations/person_keypoints_{split}2017.json')
        assert len(coco.imgs) == number
        for image in coco.imgs.values():
            pixels = cv2.imread(
                str(root / f'{split}2017' / image['file_name']))
            assert pixels.shape == (image['height'], image['width'], 3)
        for annotation in coco.anns.values():
            mask = coco.annToMask(annotation)
            assert mask.sum() == annotation['area']
            persons += not annotation['iscrowd']
        category, = coco.cats.values()
        assert tuple(category['keypoints']) == KEYPOINT_NAMES
    assert result['persons'] == persons > 0
    assert result['images'] == result['new'] == 6


def test_a_second_call_makes_only_what_is_missing(written, data):
    before = contents(data)
    assert write(data) == {**written[1], 'new': 0}
    next((data / 'val2017').iterdir()).unlink()
    calls = []
    assert write(data, progress=lambda *x: calls.append(x))['new'] == 2
    assert calls == [(1, 2), (2, 2)]
    assert contents(data) == before


def test_interrupted_run_leaves_no_annotations(written, tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, progress=stop)
    assert not list(tmp_path.rglob('*.json'))
    write(tmp_path)
    assert contents(tmp_path) == contents(written[0])


def test_interrupted_change_of_settings_leaves_no_annotations(data):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(data, seed=6, progress=stop)
    assert not list(data.rglob('*.json'))


def test_other_settings_replace_the_old_images(data, tmp_path):
    write(data, train=2, seed=6)
    write(tmp_path / 'fresh', train=2, seed=6)
    assert contents(data) == contents(tmp_path / 'fresh')


def test_crowds_replace_other_images_and_are_settings(data):
    """Without a least number the file says nothing of it, as before."""
    def said():
        file = data / 'annotations/person_keypoints_val2017.json'
        return json.loads(file.read_text())['info']['synthetic']

    assert 'min_people' not in said()
    before = contents(data)
    assert write(data, min_people=0)['new'] == 0
    assert write(data, min_people=2)['new'] == 6
    assert said()['min_people'] == 2 and contents(data) != before
    assert write(data, min_people=2)['new'] == 0


@pytest.mark.parametrize('text', [
    json.dumps(dict(info=dict(description='COCO 2017'))), '[' * 5000])
def test_annotations_of_others_are_not_touched(tmp_path, text):
    path = tmp_path / 'annotations' / 'person_keypoints_train2017.json'
    path.parent.mkdir()
    path.write_text(text)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=path.name):
        write(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize('name', [
    '{victim}', '../../victim.jpg', 'victim.jpg', '000000000001.jpg/..',
    '000000000001.jpg\n', '٠٠٠٠٠٠٠٠٠٠٠١.jpg', 5, None])
def test_only_images_of_this_module_are_removed(data, tmp_path, name):
    victims = [tmp_path / 'victim.jpg', data / 'val2017' / 'victim.jpg']
    for victim in victims:
        victim.write_bytes(b'precious')
    path = data / 'annotations' / 'person_keypoints_val2017.json'
    content = json.loads(path.read_bytes())
    content['images'][0]['file_name'] = (
        name.format(victim=victims[0]) if isinstance(name, str) else name)
    path.write_text(json.dumps(content))
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=path.name):
        write(data, seed=6)
    assert contents(tmp_path) == before


def test_no_image_is_removed_or_written_through_a_link(data, tmp_path):
    folder, other = data / 'val2017', tmp_path / 'other'
    folder.rename(other)
    folder.symlink_to(other)
    before = contents(other)
    with pytest.raises(FileExistsError, match='val2017 is a link'):
        write(data, train=0, seed=6)
    folder.unlink()
    folder.mkdir()
    for name in before:
        for link in (folder / name, folder / f'{name}.part'):
            link.symlink_to(other / name)
    write(data, train=0, seed=6)
    assert contents(other) == before
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize('name, value', [
    ('train', -1), ('val', 1.5), ('size', 63), ('size', 96.), ('seed', -2),
    ('seed', None), ('workers', 0), ('train', True), ('max_people', 0),
    ('max_people', 6), ('max_people', True), ('min_height', .1),
    ('min_people', -1), ('min_people', 6), ('min_people', 1.),
    ('min_height', 1.5)])
def test_bad_arguments_are_named(tmp_path, name, value):
    with pytest.raises(ValueError, match=f'{name} is {value!r}'):
        write(tmp_path, **{name: value})
    assert not contents(tmp_path)

"""Image ids of annotation files."""
import json

import pytest

from mmpose_ssa.commands.predict import image_ids


@pytest.fixture
def ids(tmp_path):
    def of(**images):
        (tmp_path / 'a.json').write_text(json.dumps(dict(images=[
            dict(file_name=name, id=number)
            for name, number in images['images']])))
        return image_ids(str(tmp_path / 'a.json'))
    return of


def test_ids_by_name_and_by_its_last_part(ids):
    assert image_ids(None) is None
    assert ids(images=[('val/1.jpg', 7), ('2.jpg', 8)]) == {
        'val/1.jpg': 7, '1.jpg': 7, '2.jpg': 8}


def test_a_last_part_that_stands_twice_is_no_name(ids):
    assert ids(images=[('a/0.jpg', 1), ('b/0.jpg', 2)]) == {
        'a/0.jpg': 1, 'b/0.jpg': 2}
    assert ids(images=[('a/0.jpg', 1), ('0.jpg', 2)]) == {
        'a/0.jpg': 1, '0.jpg': 2}


@pytest.mark.parametrize('images', [
    [('a.jpg', [1])], [('a.jpg', None)], [('a.jpg', 1.5)], [(3, 1)],
    [(None, 1)], [('a.jpg', 1), ('a.jpg', 2)]])
def test_what_lists_no_images(ids, images):
    with pytest.raises(ValueError, match='a.json lists no images'):
        ids(images=images)


def test_a_file_of_something_else(tmp_path):
    (tmp_path / 'a.json').write_text('{"images": 3}')
    with pytest.raises(ValueError, match='a.json lists no images'):
        image_ids(str(tmp_path / 'a.json'))

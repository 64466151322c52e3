"""Images and their ids, one at a time."""
import cv2
import numpy as np
import pytest

from mmpose_ssa.apis.reading import read_images


def ids(*names, image_ids=None):
    image = np.zeros((2, 2, 3), np.uint8)
    return [item.image_id for item in read_images(
        [(name, image) for name in names], image_ids)]


def test_a_number_is_the_id_of_an_image():
    assert ids('000000000785', 'a', '7b') == [785, 'a', '7b']


def test_two_names_of_one_number_are_no_ids():
    assert ids('1', '01', '2') == ['1', '01', 2]


@pytest.mark.parametrize('name', [
    '\u0663',  # a digit that is none of ASCII
    str(2**53), '9' * 5000, '\u00b2'])
def test_what_is_no_number_of_json_stays_a_name(name):
    assert ids(name, '0' * 30 + '9') == [name, 9]


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Ids of files by what an annotation file calls them."""
    def ask(*paths, **listed_ids):
        return [item.image_id if item.error is None else str(item.error)
                for item in read_images(
                    [('x', str(tmp_path / path)) for path in paths],
                    listed_ids['listed'])]
    for folder in 'ab':
        (tmp_path / folder).mkdir()
        (tmp_path / folder / '0.png').write_bytes(PNG)
    monkeypatch.chdir(tmp_path / 'a')
    return ask


PNG = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint8))[1].tobytes()


def test_as_much_of_the_path_as_is_listed_counts(listed):
    names = {'a/0.png': 1, 'b/0.png': 2}
    assert listed('a/0.png', 'b/0.png', listed=names) == [1, 2]
    assert listed('a/0.png', listed={'0.png': 3}) == [3]
    assert listed('a/../b/0.png', listed=names) == [2]


def test_a_file_that_is_not_listed_is_named(listed):
    said, = listed('a/0.png', listed={'b/0.png': 2})
    assert 'a/0.png is not an image of the annotation file' in said


def test_a_path_is_looked_for_from_the_root(listed):
    given, = read_images([('x', '0.png')], {'a/0.png': 1})
    assert given.image_id == 1

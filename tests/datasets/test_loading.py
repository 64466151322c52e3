"""Images that are faulty, or not those that were annotated, are named."""
import cv2
import numpy as np
import pytest
from mmpose.datasets.transforms import LoadImage

from mmpose_ssa.datasets.loading import LoadCheckedImage


def test_a_good_image_is_loaded_as_mmpose_loads_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    path = str(tmp_path / '1.png')
    cv2.imwrite(path, pixels)
    ours = LoadCheckedImage()(dict(img_path=path))
    assert np.array_equal(ours['img'], pixels)
    np.testing.assert_equal(ours, LoadImage()(dict(img_path=path)))
    given = LoadCheckedImage()(dict(img=pixels))
    assert given['img'] is pixels and given['ori_shape'] == (7, 9)


@pytest.mark.parametrize('make, error, words', [
    (lambda path: None, FileNotFoundError, 'does not exist: set data_root'),
    (lambda path: path.touch(), ValueError, 'empty, damaged.*copy it again'),
    (lambda path: path.write_bytes(b'GIF? no'), ValueError, 'damaged'),
    (lambda path: path.mkdir(), ValueError, 'a folder'),
], ids=['missing', 'zero bytes', 'no image', 'folder'])
def test_a_faulty_image_is_named(tmp_path, make, error, words):
    path = tmp_path / '1.jpg'
    make(path)
    with pytest.raises(error, match=words) as raised:
        LoadCheckedImage()(dict(img_path=str(path)))
    assert str(path) in str(raised.value)


@pytest.mark.parametrize('array', [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), [[[1, 2, 3]]]
])
def test_an_array_must_be_a_colour_image(array):
    with pytest.raises(TypeError, match=r'BGR, \(H, W, 3\), got'):
        LoadCheckedImage()(dict(img=array))



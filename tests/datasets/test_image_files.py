"""The files of an annotation file, as training would load them."""
import os
import time

import cv2
import pytest
from factories import noise
from PIL import Image

from mmpose_ssa.datasets.image_files import check_files, file_findings
from mmpose_ssa.datasets.loading import ImageFault, LoadCheckedImage


@pytest.fixture
def pixels(rng):
    return noise(rng, 40, 60)


def entry(number, name, height=40, width=60):
    return dict(id=number, file_name=name, height=height, width=width)


def found(folder, *images, **options):
    files = list(check_files(images, str(folder), **options))
    assert [file.image for file in files] == list(images)
    return {f.kind: f for f in file_findings(files, str(folder))}


def save(path, pixels, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels[..., ::-1]).save(path, exif=exif)


def test_good_files(tmp_path, pixels):
    (tmp_path / 'a').mkdir()
    for name in ('a/1.jpg', '2.png', '3.bmp'):
        save(tmp_path / name, pixels)
    images = [entry(1, 'a/1.jpg'), entry(2, '2.png'), entry(3, '3.bmp')]
    assert found(tmp_path, *images, workers=3) == {}


def test_files_that_training_refuses(tmp_path, pixels):
    save(tmp_path / '1.png', pixels)
    (tmp_path / '2.png').write_bytes(b'no image')
    (tmp_path / '3.jpg').write_bytes(b'\0\0\0\x0cjP  \r\n\x87\n')
    save(tmp_path / '5.jpg', pixels, 6)
    said = found(
        tmp_path, entry(1, '1.png', 60, 40), entry(2, '2.png'),
        entry(3, '3.jpg'), entry(4, '4.png'), entry(5, '5.jpg'),
        entry(6, '6.png'))
    assert {kind: f.ids for kind, f in said.items()} == dict(
        image_missing=[4, 6], image_unreadable=[2], image_jpeg2000=[3],
        image_size=[1], image_orientation=[5])
    assert all(f.level == 'refused' for f in said.values())
    assert said['image_missing'].text == '2 of 6 images have no file'
    assert said['image_missing'].example == str(tmp_path / '4.png')
    assert said['image_size'].example == (
        f"image {tmp_path / '1.png'} is of size [40, 60] (height, width), but "
        'its annotations say [60, 40]')
    few = LoadCheckedImage(max_pixels=2000)
    assert found(tmp_path, entry(1, '1.png'), loader=few)['image_large'].ids


def test_the_orientation_that_the_config_takes(tmp_path, pixels):
    save(tmp_path / '1.jpg', pixels, 6)
    save(tmp_path / '2.jpg', pixels + 1, 3)  # a half turn: of one size
    upright, stored = entry(1, '1.jpg', 60, 40), entry(1, '1.jpg')
    half = entry(2, '2.jpg')
    said = found(tmp_path, upright, half)
    assert {kind: (f.level, f.ids) for kind, f in said.items()} == dict(
        image_turned=('suspect', [2]))
    plain = LoadCheckedImage(color_type='color_ignore_orientation')
    assert found(tmp_path, stored, half, loader=plain) == {}


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'webp', 'tiff'])
def test_a_file_that_ends_early(tmp_path, pixels, suffix):
    whole = cv2.imencode(f'.{suffix}', pixels)[1].tobytes()
    (tmp_path / f'1.{suffix}').write_bytes(whole[:len(whole) * 9 // 10])
    (tmp_path / f'2.{suffix}').write_bytes(whole + bytes(100))  # of a camera
    said = found(tmp_path, entry(1, f'1.{suffix}'), entry(2, f'2.{suffix}'))
    assert {kind: f.ids for kind, f in said.items()} == dict(
        image_unreadable=[1])


def test_copies(tmp_path, pixels):
    save(tmp_path / '1.png', pixels)
    save(tmp_path / '2.png', pixels)
    save(tmp_path / '3.png', 255 - pixels)
    said = found(tmp_path, *(entry(n, f'{n}.png') for n in (1, 2, 3)))
    assert list(said) == ['image_copies'] and said['image_copies'].ids == [2]
    assert said['image_copies'].example == '2.png is 1.png'
    # an entry twice is no copy of a file
    assert found(tmp_path, entry(1, '1.png'), entry(3, '3.png'),
                 entry(4, '1.png')).keys() == {'image_not_listed'}


def test_files_that_are_not_listed(tmp_path, pixels):
    for name in ('1.png', '2.png', '3.PNG', 'notes.txt'):
        (tmp_path / name).write_bytes(cv2.imencode('.png', pixels)[1])
    said = found(tmp_path, entry(1, './1.png'))
    assert said['image_not_listed'].level == 'note'
    assert said['image_not_listed'].text.startswith('2 of 3 image files')


def test_a_link_to_nowhere_and_an_endless_file(tmp_path):
    os.symlink('/dev/zero', tmp_path / '1.png')
    os.symlink(tmp_path / 'none', tmp_path / '2.png')
    said = found(tmp_path, entry(1, '1.png'), entry(2, '2.png'))
    assert said['image_unreadable'].ids == [1]
    assert said['image_missing'].ids == [2]


def test_whoever_stops_does_not_wait_for_the_rest(tmp_path):
    class Slow(LoadCheckedImage):
        loaded = 0

        def transform(self, results):
            Slow.loaded += 1
            time.sleep(.001)
            raise ImageFault('slow')
    files = check_files([entry(n, f'{n}.png') for n in range(2000)],
                        str(tmp_path), Slow())
    next(files)
    files.close()
    assert 1 <= Slow.loaded < 1000

"""Images that are faulty, or not those that were annotated, are named."""
import contextlib
import http.server
import os
import struct
import subprocess
import sys
import threading
import zlib

import cv2
import numpy as np
import pytest
from factories import ROOT, person, write_annotations, write_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmpose.datasets.transforms import LoadImage
from PIL import Image

from mmpose_ssa.datasets import loading
from mmpose_ssa.datasets.coco import CheckedCocoDataset
from mmpose_ssa.datasets.loading import ImageFault, LoadCheckedImage
from mmpose_ssa.datasets.transforms import SSARandomAffine, SSAResize


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

# --- sizes and orientation --------------------------------------------------

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)  # lying


def turned(path, orientation, pixels=PIXELS):
    """Write an image that is to be turned, without loss."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = dict(lossless=True) if path.suffix == '.webp' else {}
    Image.fromarray(pixels[..., ::-1]).save(path, exif=exif, **lossless)
    return str(path)


# EXIF's table: what is done to the stored rows and columns
UPRIGHT = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1], 5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[::-1]}


@pytest.mark.parametrize('kind', ['png', 'tiff', 'webp'])
@pytest.mark.parametrize('orientation', UPRIGHT)
def test_images_are_turned_upright_or_not_at_all(tmp_path, kind, orientation):
    path = turned(tmp_path / f'1.{kind}', orientation)
    upright = UPRIGHT[orientation](PIXELS)
    for shape in (upright.shape[:2], None, (None, 6), (4, None)):
        found = LoadCheckedImage()(dict(img_path=path, annotated_shape=shape))
        assert np.array_equal(found['img'], upright)
    if kind == 'tiff':  # OpenCV always turns them
        return
    for color_type in ('color_ignore_orientation', 'unchanged'):
        stored = LoadCheckedImage(color_type=color_type)
        found = stored(dict(img_path=path, annotated_shape=(4, 6)))
        assert np.array_equal(found['img'], PIXELS)


@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_annotations_of_the_stored_size_are_named(tmp_path, orientation):
    path = turned(tmp_path / '1.png', orientation)
    with pytest.raises(ValueError, match=(
            rf'1.png is turned .* orientation {orientation} to \[6, 4\] .* '
            r'\[4, 6\], the size as stored: .*color_ignore_orientation')):
        LoadCheckedImage()(dict(img_path=path, annotated_shape=(4, 6)))


@pytest.mark.parametrize('orientation, pixels, said', [
    (1, PIXELS, 0), (2, PIXELS, 1), (3, PIXELS, 1), (4, PIXELS, 1),
    (6, PIXELS, 0), (6, PIXELS[:, :4], 1)])
def test_what_the_size_cannot_tell_is_said_once(
        tmp_path, monkeypatch, orientation, pixels, said):
    """Whether a half turn was annotated before or after it."""
    log = []
    monkeypatch.setattr(loading, 'print_log',
                        lambda text, logger: log.append(text))
    monkeypatch.setattr(LoadCheckedImage, '_orientation_was_logged', False)
    path = turned(tmp_path / '1.png', orientation, pixels)
    shape = UPRIGHT[orientation](pixels).shape[:2]
    for _ in range(2):
        LoadCheckedImage()(dict(img_path=path, annotated_shape=shape))
    assert len(log) == said
    if said:
        assert '1.png is turned upright by its EXIF orient' in log[0]
        assert f'ation {orientation}; if it' in log[0]
        assert 'color_ignore_orientation' in log[0]


def test_another_size_than_annotated_is_named(tmp_path):
    path = str(tmp_path / '1.png')
    cv2.imwrite(path, PIXELS)
    with pytest.raises(ValueError, match=(
            r'1.png is of size \[4, 6\] \(height, width\), but its '
            r'annotations say \[8, 12\]: give')):
        LoadCheckedImage()(dict(img_path=path, annotated_shape=(8, 12)))


def test_the_data_set_hands_on_the_size(tmp_path):
    write_images(tmp_path, {1: (20, 30), 2: (20, 30)})
    write_annotations(tmp_path, [person(box=(2, 2, 9, 9))],
                      {1: (20, 30), 2: (30, 20)})
    options = dict(data_root=str(tmp_path), ann_file='persons.json',
                   data_prefix=dict(img=''), data_mode='bottomup',
                   pipeline=[LoadCheckedImage()])
    assert CheckedCocoDataset(**options)[0]['img'].shape == (20, 30, 3)
    tested = CheckedCocoDataset(**options, test_mode=True)
    assert tested[0]['img'].shape == (20, 30, 3)
    with pytest.raises(ValueError, match=r'2.png .*\[20, 30\].*\[30, 20\]'):
        tested[1]


# --- what would take all memory ---------------------------------------------


def png(width, height):
    """A file of some bytes that declares so many pixels."""

    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data
                + struct.pack('>I', zlib.crc32(kind + data)))

    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head)
            + chunk(b'IDAT', zlib.compress(b'\0')) + chunk(b'IEND', b''))


@pytest.mark.parametrize('width, height', [
    (20000, 20000), (60000, 60000), (2**31 - 1, 2**31 - 1), (32767, 1),
    (1, 32767)])
def test_what_declares_too_many_pixels_is_not_decoded(
        tmp_path, monkeypatch, width, height):
    monkeypatch.setattr(loading, 'imfrombytes', None)  # nobody may call it
    path = tmp_path / '1.png'
    path.write_bytes(png(width, height))
    with pytest.raises(ValueError, match='1.png (declares|cannot be read)'):
        LoadCheckedImage()(dict(img_path=str(path)))


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_a_header_of_too_many_pixels_is_all_that_is_read(tmp_path,
                                                         monkeypatch):
    """Pillow would decode a PNG to look for its orientation."""
    monkeypatch.setattr('PIL.PngImagePlugin.PngImageFile.load', None)
    path = tmp_path / '1.png'
    path.write_bytes(png(12000, 12000))
    with pytest.raises(ValueError, match='1.png declares 12000 x 12000'):
        LoadCheckedImage()(dict(img_path=str(path)))


def test_max_pixels(tmp_path):
    path = str(tmp_path / '1.png')
    cv2.imwrite(path, PIXELS)
    assert LoadCheckedImage(max_pixels=24)(dict(img_path=path))['img'].any()
    with pytest.raises(ValueError, match='6 x 4 pixels.*max_pixels=23: scal'):
        LoadCheckedImage(max_pixels=23)(dict(img_path=path))


def test_max_pixels_of_what_the_header_does_not_tell(tmp_path, monkeypatch):
    path = str(tmp_path / '1.png')
    cv2.imwrite(path, PIXELS)
    monkeypatch.setattr(loading, 'read_header', lambda *args: (1, 1, 1))
    assert LoadCheckedImage(max_pixels=24)(dict(img_path=path))['img'].any()
    with pytest.raises(ValueError, match='1.png .* 6 x 4 pixels.*=23: scale'):
        LoadCheckedImage(max_pixels=23)(dict(img_path=path))


@pytest.mark.parametrize('bare', [False, True])
def test_jpeg_2000_is_not_decoded(tmp_path, monkeypatch, bare):
    monkeypatch.setattr(loading, 'imfrombytes', None)  # nobody may call it
    pixels = np.zeros((64, 64, 3), np.uint8)
    content = cv2.imencode('.jp2', pixels)[1].tobytes()
    path = tmp_path / '1.jpg'
    path.write_bytes(content[content.index(b'\xff\x4f\xff') * bare:])
    with pytest.raises(ValueError, match='1.jpg is a JPEG 2000.*: convert it'):
        LoadCheckedImage()(dict(img_path=str(path)))


def test_files_without_end_are_not_read(tmp_path):
    fifo = tmp_path / '1.jpg'
    os.mkfifo(fifo)
    sparse = tmp_path / '2.jpg'
    with open(sparse, 'wb') as file:
        file.truncate(2**40)  # takes no space
    for path in ('/dev/zero', fifo, sparse):
        with pytest.raises(ValueError, match=f'{path} cannot be read'):
            LoadCheckedImage()(dict(img_path=str(path)))


def test_names_in_unicode_whatever_the_locale(tmp_path):
    path = tmp_path / '人物 1.png'
    path.write_bytes(cv2.imencode('.png', PIXELS)[1].tobytes())
    code = ('import sys\n'
            'from mmpose_ssa.datasets.loading import LoadCheckedImage\n'
            'path = bytes.fromhex(sys.argv[1]).decode()\n'
            "print(LoadCheckedImage()(dict(img_path=path))['img'].shape)")
    environment = dict(os.environ, LC_ALL='C', PYTHONCOERCECLOCALE='0',
                       PYTHONUTF8='0')
    said = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code,
         str(path).encode().hex()], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=True).stdout
    assert said.endswith('(4, 6, 3)\n')


@pytest.mark.parametrize('name', ['\0.jpg', '\udc80.jpg', 'a/../b.jpg'])
def test_names_that_no_file_has(name):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        LoadCheckedImage()(dict(img_path=name))


@pytest.mark.parametrize('h, w', [
    (1, 32766), (32766, 1), (1, 1), (2, 3000), (64, 64)])
def test_images_of_any_shape_are_resized(h, w):
    image = np.full((h, w, 3), 200, np.uint8)
    step = SSAResize((64, 64), size_factor=16, resize_mode='expand')
    out = step(LoadCheckedImage()(dict(img=image)))
    assert max(out['img'].shape) <= 4 * 64 and out['img'].size > 0
    assert not np.any(np.array(out['img'].shape[:2]) % 16)
    affine = SSARandomAffine((64, 64), max_translate=0)
    out = affine(LoadCheckedImage()(dict(img=image)))
    assert out['img'].shape == (64, 64, 3)
    assert np.isfinite(out['warp_mat']).all()


# --- damaged at random ------------------------------------------------------

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True,
                    database=None, suppress_health_check=list(HealthCheck))
KINDS = ('jpg', 'png', 'bmp', 'webp', 'tiff', 'ppm')


def encoded(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.imencode(f'.{kind}', pixels)[1].tobytes()


@st.composite
def damaged_images(draw):
    """Bytes of an image, of which some are changed, added or cut."""
    kind = draw(st.sampled_from(KINDS))
    content = bytearray(encoded(kind))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.one_of(st.integers(0, 60),
                               st.integers(0, len(content))))
        size = draw(st.integers(0, 4))
        content[place:place + size] = draw(st.binary(max_size=4))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))):]
    return kind, bytes(content)


def check_damaged(outcomes, folder, kind, content):
    """A colour image of at most so many pixels, or an error that names it."""
    path = folder / f'1.{kind}'
    path.write_bytes(content)
    try:
        image = LoadCheckedImage(max_pixels=10_000)(
            dict(img_path=str(path)))['img']
    except ValueError as error:
        assert str(path) in str(error)
        outcomes[f'{kind}: refused'] += 1
    else:
        assert image.dtype == np.uint8 and image.ndim == 3
        assert image.shape[2] == 3 and 0 < image.size <= 30_000
        outcomes[f'{kind}: loaded'] += 1


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('damaged')


@SETTINGS
@given(damaged_images())
def test_damaged_images(outcomes, folder, damaged):
    check_damaged(outcomes, folder, *damaged)


@pytest.mark.slow
@settings(SETTINGS, max_examples=5000)
@given(damaged_images())
def test_damaged_images_at_length(outcomes, folder, damaged):
    check_damaged(outcomes, folder, *damaged)


# --- addresses --------------------------------------------------------------


class Server(http.server.BaseHTTPRequestHandler):
    """Sends an image, or bytes for ever."""
    image = b''

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == '/a.png':
            self.wfile.write(self.image)
        with contextlib.suppress(OSError):
            while self.path == '/endless.png':
                self.wfile.write(b'x' * 100)

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_an_image_of_an_address(address, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    monkeypatch.setattr(Server, 'image',
                        cv2.imencode('.png', pixels)[1].tobytes())
    got = LoadCheckedImage()(dict(img_path=f'{address}/a.png'))
    assert np.array_equal(got['img'], pixels)


def test_an_address_that_never_ends_is_left(address):
    with pytest.raises(ImageFault, match='endless.png has more than 4,000'):
        LoadCheckedImage(max_pixels=1000)(
            dict(img_path=f'{address}/endless.png'))


def test_an_address_that_does_not_answer_is_named_with_its_cause():
    with pytest.raises(ImageFault, match='a.png cannot be fetched.*refused'):
        LoadCheckedImage()(dict(img_path='http://127.0.0.1:1/a.png'))


@pytest.mark.parametrize('name', ['http:a', 'x:lmdb://a', 'a:local://x',
                                  's3://a/b.jpg', 'file:///etc/passwd'])
def test_an_address_of_another_kind_is_named(tmp_path, name):
    path = f'{tmp_path}/{name}'
    with pytest.raises((ImageFault, FileNotFoundError), match=name):
        LoadCheckedImage()(dict(img_path=path))


def test_a_jpeg_of_more_than_100_scans_is_refused(tmp_path):
    """Each costs as much as an image: a small file, hours."""
    path = tmp_path / 'a.jpg'
    Image.new('L', (4000, 4000)).save(path, progressive=True)
    content = path.read_bytes()
    scan = b'\xff\xda'
    assert content.count(scan) < 100 and content.endswith(b'\xff\xd9')
    last = content[content.rindex(scan):-2]
    content = content[:-2] + last * (100 - content.count(scan))
    assert 4000**2 * len(content) > loading.SECOND
    path.write_bytes(content + b'\xff\xd9')
    assert loading.read_header(path.read_bytes(), 'a.jpg') == (4000, 4000, 1)
    path.write_bytes(content + last + b'\xff\xd9')
    with pytest.raises(ImageFault, match='a.jpg is a JPEG of more than 100'):
        LoadCheckedImage()(dict(img_path=str(path)))

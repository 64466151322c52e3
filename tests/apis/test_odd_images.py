"""Images of every kind that people have: each right, or refused by name."""
import functools
import http.server
import json
import threading

import cv2
import numpy as np
import pytest
from factories import files_of
from inferring import checkpoint, inferencer
from PIL import Image

from mmpose_ssa.apis.inferencer import SSAInferencer

__all__ = ['checkpoint', 'inferencer']
pytestmark = pytest.mark.usefixtures('mmpose')


def scene(h=60, w=90):
    """A picture, BGR, with large even areas, so that JPEG keeps it."""
    picture = np.full((h, w, 3), 90, np.uint8)
    cv2.circle(picture, (w // 2, h // 2), h // 3, (40, 90, 220), -1)
    return picture


@pytest.fixture
def seen(monkeypatch):
    """The pixels that reached the model."""
    images = []
    infer = SSAInferencer.infer_batch
    monkeypatch.setattr(
        SSAInferencer, 'infer_batch',
        lambda self, given: images.extend(given) or infer(self, given))
    return images


def write(path, kind):
    rgb = Image.fromarray(scene()[..., ::-1])
    if kind == '16 bit':
        cv2.imwrite(str(path), scene().astype(np.uint16) * 257)
    elif kind == '16 bit grey':
        cv2.imwrite(str(path), scene()[..., 1].astype(np.uint16) * 257)
    elif kind == 'RGBA':
        rgb.putalpha(128)
        rgb.save(path)
    elif kind == 'turned':
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        rgb.transpose(Image.Transpose.ROTATE_90).save(
            path, exif=exif, quality=95)
    elif kind == 'P':
        rgb.quantize().save(path)
    else:
        rgb.convert(kind).save(path, **(
            {'quality': 95} if str(path).endswith('jpg') else {}))


@pytest.mark.parametrize('kind, suffix', [
    ('RGB', 'jpg'), ('RGB', 'webp'), ('RGB', 'bmp'), ('RGB', 'tif'),
    ('CMYK', 'jpg'), ('L', 'png'), ('P', 'png'), ('RGBA', 'png'),
    ('16 bit', 'png'), ('16 bit', 'tif'), ('16 bit grey', 'png'),
    ('turned', 'jpg')])
def test_the_model_sees_the_picture(inferencer, seen, tmp_path, kind, suffix):
    path = tmp_path / f'picture.{suffix}'
    write(path, kind)
    result, = inferencer(path)
    assert 'error' not in result
    image, = seen
    assert image.shape == (60, 90, 3) and image.dtype == np.uint8
    expected = scene().astype(int)
    if kind in ('L', '16 bit grey'):
        grey = image[..., :1].astype(int)
        assert (image == grey).all()
        assert np.abs(grey[0, 0] - 90).max() <= 1
    else:
        # compression, colour tables and inks change some pixels a little
        assert np.median(np.abs(image - expected)) <= 3
        assert np.abs(image[30, 45] - expected[30, 45]).max() < 30


@pytest.mark.parametrize('shape', [(1, 1), (200, 3000), (3000, 20), (2, 64)])
def test_extreme_shapes(inferencer, tmp_path, shape):
    path = tmp_path / 'odd.png'
    cv2.imwrite(str(path), np.zeros((*shape, 3), np.uint8))
    result, = inferencer(path, return_vis=True, out_dir=tmp_path / 'out')
    assert result['visualization'].shape == (*shape, 3)


def test_a_file_that_may_not_be_read(inferencer, tmp_path, monkeypatch):
    """Root may read everything, so the system's refusal is played."""
    path = tmp_path / 'secret.png'
    cv2.imwrite(str(path), scene())
    real = open

    def refuse(name, *arguments, **options):
        if b'secret' in name if isinstance(name, bytes) else False:
            raise PermissionError(13, 'Permission denied', name)
        return real(name, *arguments, **options)

    monkeypatch.setattr('builtins.open', refuse)
    result, = inferencer(path, on_error='skip')
    assert 'secret.png' in result['error']


def test_a_full_disk_is_told_and_what_was_written_stays(inferencer, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.random.default_rng(0).integers(
        0, 256, (400, 400, 3), np.uint8))
    out = tmp_path / 'out'
    with files_of(50000), pytest.raises(OSError, match='large.*a_persons.jpg'):
        list(inferencer(tmp_path / 'a.png', out_dir=out))
    assert json.loads((out / 'predictions.json').read_text())
    assert [path.name for path in out.iterdir()] == ['predictions.json']


def test_an_address(inferencer, tmp_path):
    cv2.imwrite(str(tmp_path / '12.png'), scene())
    (tmp_path / 'bad.png').write_text('no image')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f'http://127.0.0.1:{server.server_port}'
        good, gone, bad = inferencer(
            [f'{base}/12.png', f'{base}/gone.png', f'{base}/bad.png'],
            on_error='skip')
    finally:
        server.shutdown()
        server.server_close()
    local, = inferencer(tmp_path / '12.png')
    assert good['path'] == f'{base}/12.png'
    assert good['predictions'] == local['predictions'] != []
    assert all(p['image_id'] == 12 for p in good['predictions'])
    assert f'{base}/gone.png' in gone['error']
    assert f'{base}/bad.png' in bad['error']

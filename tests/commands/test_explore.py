"""`mmpose-ssa explore`; its page is tested in apis/test_explore.py."""
import cv2
import numpy as np
import pytest
from factories import refusal
from inferring import TINY, checkpoint

from mmpose_ssa import cli

__all__ = ['checkpoint']
pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'in/a.png'
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


def test_a_page_is_written(tmp_path, image, checkpoint, capsys):
    page = tmp_path / 'new/folder/a.html'
    cli.main(['explore', str(image), '--config', TINY, '--checkpoint',
              checkpoint, '-o', str(page)])
    text = page.read_text(encoding='utf-8')
    assert text.startswith('<!DOCTYPE html>') and '<title>a.png' in text
    assert capsys.readouterr().out == (
        f'{page}: {len(text) / 1e6:.1f} MB; open it in a browser\n')


@pytest.mark.parametrize('shape', [(1, 3000), (3000, 1)])
def test_extreme_images_have_a_page(tmp_path, checkpoint, shape):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((*shape, 3), np.uint8))
    cli.main(['explore', str(tmp_path / 'a.png'), '--config', TINY,
              '--checkpoint', checkpoint, '-o', str(tmp_path / 'a.html')])
    assert (tmp_path / 'a.html').is_file()


def test_mistakes_are_named(tmp_path, image, capsys):
    page = str(tmp_path / 'a.html')
    said = refusal(capsys, cli.main, 'explore', tmp_path / 'no.png', '-o',
                   page)
    assert 'no.png does not exist' in said
    image.write_text('no image')
    said = refusal(capsys, cli.main, 'explore', image, '-o', page)
    assert 'a.png cannot be read as an image' in said
    assert not (tmp_path / 'a.html').exists()

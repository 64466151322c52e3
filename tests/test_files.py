"""Files that are whole or not there."""
import os
import stat

import pytest

from mmpose_ssa.files import _is_device, write_whole


def test_text_and_bytes_are_written_into_new_folders(tmp_path):
    write_whole('ä', tmp_path / 'a/b/c.txt')
    write_whole(b'\0', str(tmp_path / 'a/d'))
    assert (tmp_path / 'a/b/c.txt').read_bytes() == 'ä'.encode()
    assert (tmp_path / 'a/d').read_bytes() == b'\0'


def test_a_name_that_is_no_unicode_costs_no_page(tmp_path):
    write_whole('a' + os.fsdecode(b'\xff'), tmp_path / 'a')
    assert (tmp_path / 'a').read_text() == 'a?'


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole('old', tmp_path / 'a')

    def full(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match="No space .*/a'") as caught:
        write_whole('new', tmp_path / 'a')
    assert caught.value.errno == 28
    assert (tmp_path / 'a').read_text() == 'old'
    assert os.listdir(tmp_path) == ['a']


def test_a_link_of_the_temporary_name_is_not_followed(tmp_path):
    (tmp_path / 'precious').write_text('mine')
    (tmp_path / 'a.tmp').symlink_to(tmp_path / 'precious')
    write_whole('new', tmp_path / 'a')
    assert (tmp_path / 'precious').read_text() == 'mine'
    assert (tmp_path / 'a').read_text() == 'new'


def test_a_pipe_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / 'a')
    reader = os.open(tmp_path / 'a', os.O_RDONLY | os.O_NONBLOCK)
    write_whole('new', tmp_path / 'a')
    assert os.read(reader, 9) == b'new'
    os.close(reader)
    assert stat.S_ISFIFO(os.stat(tmp_path / 'a').st_mode)


@pytest.mark.parametrize('path, expected', [
    ('/dev/null', True), ('/dev/stdout', True), ('/dev/new', True),
    ('new', False), (__file__, False), (os.path.dirname(__file__), False)])
def test_devices_are_recognised(path, expected):
    """Asked, not tried: a new file called /dev/null breaks a machine."""
    assert _is_device(path) == expected


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / 'a').mkdir()
    with pytest.raises(OSError, match="/a'"):
        write_whole('new', tmp_path / 'a')
    assert os.listdir(tmp_path) == ['a']

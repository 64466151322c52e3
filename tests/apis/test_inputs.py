"""Files, folders, patterns, arrays and videos."""
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpose_ssa.apis import inputs
from mmpose_ssa.apis.inputs import (Video, camera, find_images, is_video,
                                    unique_names)


@pytest.fixture
def images(tmp_path):
    """Their files do not matter."""
    for name in ('7.png', 'tall.png', 'dot.png'):
        (tmp_path / 'images').mkdir(exist_ok=True)
        (tmp_path / 'images' / name).touch()
    return [str(tmp_path / 'images' / name)
            for name in ('7.png', 'tall.png', 'dot.png')]


def write_video(path, frames, rate=10, size=(64, 48)):
    """Frames that differ in their brightness."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), rate,
                             size)
    for n in range(frames):
        writer.write(np.full((*size[::-1], 3), 20 * n, np.uint8))
    writer.release()
    return str(path)


def test_a_file_a_folder_a_pattern_an_array(images, tmp_path):
    folder, array = Path(images[0]).parent, np.zeros((4, 5, 3), np.uint8)
    everything = sorted(images)
    names = ['7', 'dot', 'tall']
    (folder / 'notes.txt').write_text('no image')
    for meant in (folder, str(folder), str(folder / '*.png'), everything,
                  tuple(map(Path, everything)), [str(folder / '[7dt]*g')]):
        assert find_images(meant) == list(zip(names, everything))
    assert find_images(images[1]) == [('tall', images[1])]
    (name, given), = find_images(array)
    assert name == '0' and given is array
    mixed = find_images([folder, array])
    assert mixed[:3] == list(zip(names, everything))
    assert mixed[3][0] == '3' and mixed[3][1] is array
    # a name is not a pattern where such a file exists
    odd = tmp_path / 'a[1].PNG'
    cv2.imwrite(str(odd), array)
    assert find_images(odd) == find_images(tmp_path) == [('a[1]', str(odd))]


def test_an_image_of_floats_is_refused():
    with pytest.raises(TypeError, match='float64: give BGR of uint8'):
        find_images(np.zeros((4, 5, 3)))


def test_files_of_one_name_are_written_apart():
    array = np.zeros((2, 2, 3), np.uint8)
    paths = ['a/7.jpg', 'b/7.jpg', 'a/8.jpg', 'c/9.jpg', 'c/9.png', '10.jpg']
    named = [(Path(path).stem, path) for path in paths] + [('6', array)]
    names = [name for name, _ in unique_names(named)]
    assert names == ['a_7', 'b_7', '8', 'c_9.jpg', 'c_9.png', '10', '6']
    assert [name for name, _ in unique_names(
        [('7', 'a/7.jpg'), ('7', 'b/a/7.jpg'), ('7', array)])] == [
            'a_7.jpg', 'a_7.jpg_2', '7']


def test_thousands_of_one_name():
    """It took minutes when each began to count anew."""
    names = [name for name, _ in unique_names(
        [('a', f'v{n}/f/a.jpg') for n in range(20000)])]
    assert len(set(names)) == 20000
    assert names[:3] == ['f_a.jpg', 'f_a.jpg_2', 'f_a.jpg_3']


def test_a_number_is_not_the_name_of_another_file():
    images = [('x', 'x.jpg'), ('x', 'x.jpg'), ('x.jpg_2', 'x.jpg_2.png'),
              ('a_x', 'b/a_x.jpg'), ('x', 'a/x.jpg')]
    assert [name for name, _ in unique_names(images)] == [
        'x.jpg', 'x.jpg_2', 'x.jpg_2_2', 'b_a_x.jpg', 'a_x.jpg']


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(
    st.sampled_from(['', 'a/', 'b/', 'a/b/', 'a_b/']),
    st.sampled_from(['x', 'x_2', 'a_x', 'b_x', 'x.jpg_2', 'a_x.jpg']),
    st.sampled_from(['.jpg', '.png']))))
def test_no_two_names_are_equal(files):
    paths = [''.join(file) for file in files]
    named = unique_names([(Path(path).stem, path) for path in paths])
    assert [path for _, path in named] == paths
    assert len({name for name, _ in named}) == len(files)


def test_the_frames_of_a_video(tmp_path):
    path = write_video(tmp_path / 'a.mp4', 6)
    assert is_video(path) and find_images(tmp_path) == [('a', path)]
    video = Video(path)
    frames = list(video)
    assert (video.rate, video.length, len(frames)) == (10, 6, 6)
    for n, frame in enumerate(frames):
        assert frame.shape == (48, 64, 3)
        assert abs(frame.mean() - 20 * n) < 6


def test_a_video_that_is_cut(tmp_path):
    """What can be read comes first."""
    path = write_video(tmp_path / 'a.avi', 30, size=(320, 240))
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:len(content) * 2 // 3])
    frames = []
    with pytest.raises(ValueError, match='a.avi.*(ends after|cannot be read)'):
        for frame in Video(path):
            frames.append(frame)
    assert len(frames) < 30


def test_what_is_no_video(tmp_path):
    (tmp_path / 'a.mp4').write_text('no video')
    with pytest.raises(ValueError, match='a.mp4 cannot be read as a video'):
        Video(str(tmp_path / 'a.mp4'))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'a.mp4')
    with pytest.raises(ValueError, match='a.mp4 cannot be read as a video'):
        Video(str(tmp_path / 'a.mp4'))


def test_a_list_of_videos_is_none(tmp_path):
    """FFmpeg would wait for what follows."""
    write_video(tmp_path / 'b.mp4', 2)
    (tmp_path / 'a.mp4').write_text('#EXTM3U\n#EXT-X-TARGETDURATION:100000\n'
                                    '#EXTINF:1,\nb.mp4\n')
    with pytest.raises(ValueError, match='a.mp4 cannot be read as a video'):
        Video(str(tmp_path / 'a.mp4'))


@pytest.mark.parametrize('suffix', ['.avi', '.mkv', '.mov', '.m4v', '.mp4'])
def test_videos_of_all_containers_are_read(tmp_path, suffix):
    assert len(list(Video(write_video(tmp_path / f'a{suffix}', 3)))) == 3


def test_frames_are_limited_as_images_are(tmp_path, monkeypatch):
    path = write_video(tmp_path / 'a.mp4', 2)
    monkeypatch.setattr(inputs, 'MAX_PIXELS', 64 * 48)
    assert len(list(Video(path))) == 2
    monkeypatch.setattr(inputs, 'MAX_PIXELS', 64 * 48 - 1)
    with pytest.raises(ValueError, match='a.mp4 has frames of 64 x 48'):
        Video(path)


@pytest.mark.parametrize('declared, rate', [(10, 10), (300, 25), (.01, 25)])
def test_a_rate_that_cannot_be_is_taken_for_25(tmp_path, monkeypatch,
                                               declared, rate):
    monkeypatch.setattr(inputs, 'RATES', (.1, 200))
    path = tmp_path / 'a.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'),
                             declared, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert Video(str(path)).rate == rate


def test_a_name_of_255_bytes_leaves_room_for_an_ending(tmp_path):
    (tmp_path / ('ä' * 125 + '.jpg')).touch()
    (name, _), = find_images(tmp_path)
    assert len(os.fsencode(name)) == 180 and set(name) == {'ä'}


# --- cameras and addresses --------------------------------------------------


@pytest.mark.parametrize('given, number', [
    ('webcam', 0), ('webcam:0', 0), ('webcam:12', 12), ('webcam:', None),
    ('webcam.mp4', None), ('my/webcam', None), ('webcam:1.mp4', None)])
def test_names_of_cameras(given, number):
    assert camera(given) == number


def test_a_camera_is_a_video_under_its_own_name():
    assert find_images('webcam:99') == [('webcam_99', 'webcam:99')]
    assert is_video('webcam:99')
    with pytest.raises(ValueError, match='webcam:99 cannot be opened.*number'):
        Video('webcam:99')


def test_addresses_are_not_looked_for_on_the_disk():
    address = 'https://example.com/a/7.jpg?size=large.mp4'
    assert find_images(address) == [('7', address)]
    assert not is_video(address)
    assert is_video('http://example.com/clip.mp4?x=1')
    assert find_images('http://example.com/')[0][0] == 'image'

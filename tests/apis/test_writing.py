"""Results, pictures and videos in a folder, on full disks too."""
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from factories import files_of

from mmpose_ssa.apis import writing
from mmpose_ssa.apis.inputs import Video
from mmpose_ssa.apis.reading import ReadImage
from mmpose_ssa.apis.results import ResultsFile
from mmpose_ssa.apis.writing import PredictionWriter, check_targets

pytestmark = pytest.mark.usefixtures('mmpose')


def test_results_that_fit_are_kept_and_can_be_read(tmp_path):
    path = tmp_path / 'deep/a.json'
    results = ResultsFile(path)
    results.write([dict(n=1), dict(n=2)])
    with files_of(100), pytest.raises(OSError, match='large.*a.json'):
        results.write([dict(n=3), dict(text='x' * 100)])
    results.close()
    results.close()
    assert json.loads(path.read_text()) == [dict(n=1), dict(n=2), dict(n=3)]


def test_no_results_are_an_empty_list(tmp_path):
    ResultsFile(tmp_path / 'a.json').close()
    assert json.loads((tmp_path / 'a.json').read_text()) == []


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / 'precious').write_text('mine')
    (tmp_path / 'predictions.json').symlink_to(tmp_path / 'precious')
    (tmp_path / 'a_persons.mp4').symlink_to(tmp_path / 'precious')
    list(video(tmp_path, 2))
    assert (tmp_path / 'precious').read_text() == 'mine'
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []


def draw(image, *_):
    return image


def video(folder, frames, size=(48, 64), rate=10.):
    """Writes a video, frame by frame."""
    with PredictionWriter(SimpleNamespace(draw_persons=draw), folder, True,
                          False) as writer:
        for n in range(frames):
            yield writer.write(ReadImage(
                'a', 'a.mp4', frame=n, rate=rate,
                image=np.full((*size, 3), 20 * n, np.uint8)), None, [])


def test_a_video_holds_what_was_drawn(tmp_path):
    drawn = list(video(tmp_path, 6))
    written = list(Video(str(tmp_path / 'a_persons.mp4')))
    assert len(written) == 6
    for frame, read in zip(drawn, written):
        assert abs(frame.mean() - read.mean()) < 6


def test_a_video_that_was_cut_is_not_silent(tmp_path):
    """OpenCV's writer does not say that the disk is full."""
    with pytest.raises(OSError, match='a_persons.mp4 is damaged, of 6'):
        with files_of(1000):
            list(video(tmp_path, 6))
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []


def test_a_video_larger_than_its_format_is_scaled_down(tmp_path):
    list(video(tmp_path, 2, size=(64, 9000)))
    frame = next(iter(Video(str(tmp_path / 'a_persons.mp4'))))
    assert frame.shape[1] == writing.MAX_VIDEO_SIDE
    assert frame.shape[0] == round(64 * 8190 / 9000)


@pytest.mark.parametrize('ending', ['_persons.jpg', '_persons.mp4',
                                    '_attention.jpg'])
def test_no_input_is_written_over(tmp_path, ending):
    other = tmp_path / ('a' + ending)
    other.touch()
    link = tmp_path / 'link'
    link.symlink_to(tmp_path)
    images = [('a', str(tmp_path / 'a.jpg')), ('b', str(other)),
              ('c', 'http://a/c_persons.jpg'), ('d', np.zeros((1, 1, 3)))]
    for folder in (tmp_path, str(link)):
        with pytest.raises(ValueError, match=f'a{ending} .* is an input'):
            check_targets(folder, images)
    check_targets(tmp_path, images[:1])
    check_targets(tmp_path / 'out', images)


def test_a_picture_is_written(tmp_path):
    picture = np.full((4, 5, 3), 90, np.uint8)
    writing.write_picture(str(tmp_path / 'a.png'), picture)
    assert np.array_equal(cv2.imread(str(tmp_path / 'a.png')), picture)

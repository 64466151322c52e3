"""Videos: ids, ways and files are what they should be."""
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmpose_ssa.synthetic import draw_video, write_videos
from mmpose_ssa.synthetic.skeleton import (ANKLE, ELBOW, HIP, KNEE, WRIST,
                                           walking_skeleton)
from mmpose_ssa.synthetic.video import _Walker


@pytest.fixture(scope='module')
def videos():
    return [list(draw_video((5, i), 24, 160, rate=6)) for i in range(8)]


def boxes(video, track_id) -> dict:
    return {n: np.array(a['bbox']) for n, frame in enumerate(video)
            for a in frame.annotations if a['track_id'] == track_id}


def test_limbs_keep_their_length_in_a_walk():
    lengths = []
    for phase in np.linspace(0, 2 * np.pi, 9):
        joints = walking_skeleton(4, phase, 70).joints
        lengths.append([np.linalg.norm(joints[a + i] - joints[b + i])
                        for i in (0, 1)
                        for a, b in ((ELBOW, WRIST), (HIP, KNEE),
                                     (KNEE, ANKLE), (ELBOW - 2, ELBOW))])
    assert np.ptp(lengths, axis=0).max() < 1e-9
    assert np.min(lengths) > .1


def test_legs_take_turns():
    """At 0 the left foot is ahead, half a stride later the right one."""
    for yaw, sign in ((90, 1), (-90, -1)):
        first, second = (walking_skeleton(4, phase, yaw).joints[:, 0] * sign
                         for phase in (0, np.pi))
        assert first[ANKLE] - first[ANKLE + 1] > .2
        assert second[ANKLE + 1] - second[ANKLE] > .2
        # and the arm of the other side with it
        assert first[WRIST + 1] > first[WRIST]
        assert second[WRIST] > second[WRIST + 1]


def test_a_walker_follows_the_way_given():
    walker = _Walker((1, ), 2., np.array([80., 90.]), 100., .5, 90., 3., 1.)
    x = [walker.at(second).hips_img[0] for second in (0, 2, 3, 4, 6)]
    # half a height of 100 px per second, back from the third second on
    np.testing.assert_allclose(x, [-20, 80, 130, 80, -20])
    assert walker.at(2.9).skeleton.yaw == 90
    assert walker.at(3.1).skeleton.yaw == 270
    nearer = _Walker((1, ), 0., np.array([80., 90.]), 100., 1., 0., 99., 1.)
    assert nearer.at(3).height == pytest.approx(200)  # 3 of 6 heights nearer
    assert nearer.at(3).hips_img.tolist() == [80, 115]


def test_persons_move_little_between_frames_and_far_in_all(videos):
    travelled = []
    for video in videos:
        for track_id in {a['track_id'] for f in video for a in f.annotations}:
            at = boxes(video, track_id)
            x = {n: box[0] + box[2] / 2 for n, box in at.items()}
            steps = [abs(x[n + 1] - x[n]) for n in x if n + 1 in x]
            assert max(steps, default=0) < 60
            travelled.append(np.ptp(list(x.values())))
    assert max(travelled) > 120


def test_people_cross_leave_and_enter(videos):
    crossed = left = entered = 0
    for video in videos:
        ids = [{a['track_id'] for a in f.annotations} for f in video]
        left += len(set.union(*ids) - ids[-1])
        entered += len(set.union(*ids) - ids[0])
        for i in set.union(*ids):
            for j in set.union(*ids):
                a, b = boxes(video, i), boxes(video, j)
                sides = [np.sign(a[n][0] - b[n][0]) for n in a if n in b]
                crossed += i < j and {-1, 1} <= set(sides)
    assert crossed > 8 and left > 4 and entered > 4


def test_masks_are_of_what_nothing_hides(videos):
    overlapped = 0.
    for video in videos:
        for _, annotations in video[::4]:
            masks = [coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(
                a['segmentation'], 160, 160))) for a in annotations]
            covered = sum(masks, np.zeros((160, 160)))
            assert (covered > 1).mean() < .005  # outlines are simplified
            boxes = np.reshape([a['bbox'] for a in annotations], (-1, 4))
            if len(boxes) > 1:
                pairs = coco_mask.iou(boxes, boxes, [0] * len(boxes))
                overlapped += pairs.sum() - len(boxes)
    assert overlapped > 10


def test_background_stays_and_grain_does_not(videos):
    one, other = (video.image.astype(int) for video in videos[0][:2])
    assert (one != other).mean() > .2
    assert np.median(abs(one - other)) < 15


def test_the_same_seed_gives_the_same_video():
    first, again = (list(draw_video(9, 4, 96)) for _ in range(2))
    for a, b in zip(first, again):
        assert (a.image == b.image).all() and a.annotations == b.annotations
    other = next(draw_video(10, 1, 96))
    assert (first[0].image != other.image).any()


@pytest.mark.parametrize('change, said', [
    (dict(frames=0), 'frames is 0'), (dict(rate=0.), 'rate is 0.0'),
    (dict(max_people=6), 'max_people is 6'), (dict(size=10), 'size is 10')])
def test_what_cannot_be_drawn_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        next(draw_video(0, **change))


def test_files(tmp_path):
    said = []
    result = write_videos(tmp_path, 2, 5, 96, seed=3, rate=10.,
                          progress=lambda *count: said.append(count))
    assert said == [(i, 10) for i in range(1, 11)]
    content = json.loads((
        tmp_path / 'annotations/person_keypoints_video.json').read_text())
    assert [(i['video_id'], i['frame_id']) for i in content['images']] == [
        (v, f) for v in (1, 2) for f in range(5)]
    assert [i['id'] for i in content['images']] == list(range(1, 11))
    drawn = [f for v in (1, 2) for f in draw_video((3, v), 5, 96, rate=10.)]
    for image, frame in zip(content['images'], drawn):
        mine = [a for a in content['annotations']
                if a['image_id'] == image['id']]
        assert [a['track_id'] for a in mine] == [
            100 * image['video_id'] + a['track_id'] for a in frame.annotations]
        assert [a['keypoints'] for a in mine] == [
            a['keypoints'] for a in frame.annotations]
        stored = cv2.imread(str(tmp_path / 'video' / image['file_name']))
        assert abs(stored.astype(int) - frame.image).mean() < 15
    numbers = [a['id'] for a in content['annotations']]
    assert len(set(numbers)) == len(numbers) == result['annotations']
    tracks = {a['track_id'] for a in content['annotations']}
    assert result == dict(videos=2, images=10, persons=len(tracks),
                          annotations=len(numbers))
    film = cv2.VideoCapture(str(tmp_path / 'video/000002.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert film.get(cv2.CAP_PROP_FPS) == 10
    with pytest.raises(FileExistsError, match='choose another folder'):
        write_videos(tmp_path, 1, 1, 96)

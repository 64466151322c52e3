"""Persons of a model in a tracker's terms, and where ids begin anew."""
import numpy as np
import pycocotools.mask as coco_mask
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from mmpose_ssa.apis.results import coco_results
from mmpose_ssa.apis.tracks import VideoTracks, frame_persons
from mmpose_ssa.tracking import TrackOptions

pytestmark = pytest.mark.usefixtures('mmpose')
SHAPE = (200, 400, 3)


def sample(*xs, scores=None, with_masks=True) -> PoseDataSample:
    """Persons at these places, with masks 20 pixels wide."""
    points = np.array([[[x, 20], [x + 20, 100.]] for x in xs])
    masks = np.zeros((len(xs), *SHAPE[:2]), np.uint8)
    for mask, x in zip(masks, xs):
        mask[20:101, x:x + 20] = 1
    found = InstanceData(
        keypoints=points.reshape(-1, 2, 2),
        keypoint_scores=np.full((len(xs), 2), .5),
        bbox_scores=np.array([.5] * len(xs) if scores is None else scores))
    if with_masks:
        found.masks = [coco_mask.encode(np.asfortranarray(mask))
                       for mask in masks]
    return PoseDataSample(pred_instances=found,
                          metainfo=dict(ori_shape=SHAPE))


def test_votes_of_keypoints_need_what_samples_do_not_have():
    with pytest.raises(ValueError, match="'attention'.*'overlap'"):
        VideoTracks([.1, .1], TrackOptions(method='attention'))


def ids(tracks, frame, *xs, **options) -> list:
    followed = sample(*xs, **options)
    tracks.follow(followed, frame)
    return followed.pred_instances.track_ids.tolist()


def test_masks_are_thinned_and_may_be_missing():
    persons = frame_persons(sample(30, 99).pred_instances, SHAPE)
    # every third pixel of 200 x 400: rows 21 to 99, columns 30 to 48
    assert persons.masks.shape == (2, 67, 134)
    expected = np.zeros((67, 134), bool)
    expected[7:34, 10:17] = True
    assert (persons.masks[0] == expected).all()
    assert frame_persons(sample().pred_instances, SHAPE).masks.shape == (
        0, 67, 134)
    assert frame_persons(sample(30, with_masks=False).pred_instances,
                         SHAPE).masks is None


@pytest.mark.parametrize('with_masks', [True, False])
def test_a_video_and_an_image_begin_anew(with_masks):
    tracks = VideoTracks([.1, .1])
    assert ids(tracks, 0, 30, 200, with_masks=with_masks) == [1, 2]
    assert ids(tracks, 1, 204, 34, with_masks=with_masks) == [2, 1]
    assert ids(tracks, 2, 208, with_masks=with_masks) == [2]
    assert ids(tracks, 3, 350, 212, with_masks=with_masks) == [3, 2]
    assert ids(tracks, 0, 212, with_masks=with_masks) == [1]
    assert ids(tracks, None, 30, 212, with_masks=with_masks) == [1, 2]


def test_results_have_the_ids_of_those_who_have_one():
    tracks = VideoTracks([.1, .1], TrackOptions(birth_thr=.4))
    followed = sample(30, 200, 300, scores=[.5, .3, .4])
    tracks.follow(followed, 0)
    results = coco_results(followed, 7, None)
    assert [r.get('track_id') for r in results] == [1, None, 2]
    assert type(results[0]['track_id']) is int

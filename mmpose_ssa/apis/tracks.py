"""Ids for the persons whom a model finds in videos."""
from typing import TYPE_CHECKING, Optional, Sequence

import numpy as np
import pycocotools.mask as coco_mask

from ..tracking import FramePersons, Tracker, TrackOptions
from ..tracking.persons import thinned

if TYPE_CHECKING:
    from mmpose.structures import PoseDataSample


class VideoTracks:
    """Follows the persons of one video after the other.

    Args:
        sigmas: (K,) of the keypoints.
        options: Of the :class:`Tracker`.

    Raises:
        ValueError: If they need queries and keys, which samples do not have.
    """

    def __init__(self, sigmas: Sequence[float],
                 options: Optional[TrackOptions] = None) -> None:
        if options is not None and options.method != 'overlap':
            raise ValueError(
                f'track: method {options.method!r} needs the queries and keys '
                "of each frame, which results do not have: take 'overlap', "
                'or call mmpose_ssa.tracking.Tracker with them')
        self.sigmas, self.options = np.asarray(sigmas), options
        self.tracker = Tracker(self.sigmas, options)

    def follow(self, sample: 'PoseDataSample', frame: Optional[int]) -> None:
        """Add ``track_ids`` (P,) to a sample's ``pred_instances``.

        Args:
            sample: The predictions of a frame.
            frame: Its number. 0, and None for an image, restart the ids.
        """
        if not frame:
            self.tracker = Tracker(self.sigmas, self.options)
        found = sample.pred_instances
        persons = frame_persons(found, sample.metainfo['ori_shape'])
        found.track_ids = self.tracker.update(persons,
                                              sample.metainfo['ori_shape'][1])


def frame_persons(found, shape: Sequence[int]) -> FramePersons:
    """Predicted persons of one image, as trackers take them.

    Args:
        found: ``pred_instances`` of a sample.
        shape: (H, W, ...) of the image.
    """
    scores = np.asarray(found.keypoint_scores)
    masks = None
    if 'masks' in found:  # models of `comparisons` have none
        few = thinned(np.zeros((0, *shape[:2]), bool))
        masks = np.zeros((len(scores), *few.shape[1:]), bool)
        for mask, rle in zip(masks, found.masks):
            mask[:] = thinned(coco_mask.decode(rle)[None])[0]
    return FramePersons(
        np.asarray(found.keypoints), scores,
        # as in the results: some models give no scores of persons
        np.asarray(found.get('bbox_scores', scores.mean(axis=1))), masks)

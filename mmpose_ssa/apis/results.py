"""Predictions as COCO results, written as they come."""
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Union

import numpy as np

from ..annotations.checks import PERSON_ID
from ..decoding.keypoints import keypoint_extents

if TYPE_CHECKING:
    from mmpose.structures import PoseDataSample


class ResultsFile:
    """A JSON list of results that survives the end of the program.

    Each result is a line, which is written at once. An error or Ctrl-C closes
    the list. If the program is killed, only the last line, ``]``, is missing.

    Args:
        path: The file; its folder is created.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._path = str(path)
        if os.path.islink(path):  # the link's target stays unchanged
            os.unlink(path)
        self._stream = open(path, 'wb', buffering=0)
        self._separator = '['
        self._add('')

    def write(self, results: List[dict]) -> None:
        """Add results, and give them to the operating system."""
        for result in results:
            self._add('\n' + json.dumps(result))

    def _add(self, text: str) -> None:
        """Write all of a text, or nothing of it."""
        end = self._stream.tell()
        left = memoryview((self._separator + text).encode())
        try:
            while left:
                left = left[self._stream.write(left):]
        except OSError as error:
            self._stream.seek(end)
            self._stream.truncate()
            raise OSError(error.errno, error.strerror, self._path) from error
        self._separator = ',' if text else ''

    def close(self) -> None:
        """End the list."""
        if not self._stream.closed:
            self._separator = ''
            self._add('\n]\n')
            self._stream.close()


def counted(number: int, noun: str) -> str:
    """1 person, 2 persons."""
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


def category_of(meta: dict, person: Union[str, int, None] = None) -> int:
    """COCO's id of the category that a model finds.

    Args:
        meta: The model's ``dataset_meta``: a checkpoint keeps the category of
            the data set of its training.
        person: ``person`` of the config's test data set.

    Returns:
        The id; 1, COCO's id of persons, if nothing is known.
    """
    classes = meta.get('CLASSES')
    if isinstance(classes, list) and len(classes) == 1 and isinstance(
            classes[0], dict) and type(classes[0].get('id')) is int:
        return classes[0]['id']
    return person if isinstance(person, int) else PERSON_ID


def coco_results(sample: 'PoseDataSample', image_id: Union[int, str],
                 path: Optional[str],
                 category_id: int = PERSON_ID) -> List[dict]:
    """Write the persons of one image as COCO results.

    Args:
        sample: The predictions.
        image_id: The image's id.
        path: The image's file, if there is one.
        category_id: The persons' category, see :func:`category_of`.

    Returns:
        For each person ``image_id``, ``file_name``, ``category_id``,
        ``keypoints`` (x, y and score of each of the K, flat),
        ``keypoint_scores``, ``score``, ``bbox`` (x, y, width, height); if the
        model has them, ``keypoints_filled`` (K truth values: filled in from
        the attention, not found as a peak), ``keypoints_hidden_by`` (for
        each of the K the place in this list of the person who hides it, or
        -1, see :mod:`mmpose_ssa.decoding.visibility`), ``track_id``, if the
        person is followed, and ``segmentation``, an RLE; all in original
        image pixels. Missing keypoints are (0, 0, 0).
    """
    found = sample.pred_instances
    scores = found.keypoint_scores
    # models of `comparisons` give no boxes, some no scores of persons
    person_scores = found.get('bbox_scores', scores.mean(axis=1))
    boxes = found.get('bboxes', keypoint_extents(found.keypoints, scores))
    corners = np.asarray(boxes, float).reshape(-1, 2, 2)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], 1)
    points = np.concatenate([found.keypoints, scores[..., None]], axis=2)
    image: Dict[str, Union[int, str]] = dict(image_id=image_id)
    if path is not None:
        image['file_name'] = Path(path).name
    results = [
        dict(
            image,
            category_id=category_id,
            keypoints=points[p].ravel().tolist(),
            keypoint_scores=scores[p].tolist(),
            score=float(person_scores[p]),
            bbox=boxes[p].tolist()) for p in range(len(points))
    ]
    for result, filled in zip(results, found.get('keypoints_filled', ())):
        result['keypoints_filled'] = [bool(flag) for flag in filled]
    for result, places in zip(results, found.get('keypoints_hidden_by', ())):
        result['keypoints_hidden_by'] = [int(place) for place in places]
    for result, track in zip(results, found.get('track_ids', ())):
        if track > 0:  # 0: the person has no id
            result['track_id'] = int(track)
    for result, mask in zip(results, found.get('masks', ())):
        result['segmentation'] = mask
    return results

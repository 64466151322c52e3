"""AP and AR of keypoint results as MMPose reports them, before and after."""
import contextlib
import io
from typing import Dict, List

import numpy as np
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from ..decoding.refinement import keypoint_extents
from ..diagnosis.result_format import check_numbers, check_points
from .mask_metric import PERSON_ID

# Figure -> its place in what COCOeval summarizes of keypoints
FIGURES = {'AP': 0, 'AP .5': 1, 'AP .75': 2, 'AP (M)': 3, 'AP (L)': 4, 'AR': 5}

# What COCOeval reads of an annotation; ``area`` only where all have it
NEEDED = ('id', 'image_id', 'category_id', 'iscrowd', 'num_keypoints',
          'keypoints', 'bbox')


def has_keypoints(annotations: dict) -> bool:
    """Whether keypoints can be evaluated on a COCO file's content."""
    return any('keypoints' in ann
               for ann in annotations.get('annotations', ()))


def ground_truth(annotations: dict, num_keypoints: int) -> COCO:
    """Check a COCO file's content and make it ready for evaluation.

    Args:
        annotations: The content, see :func:`has_keypoints`; not changed.
        num_keypoints: K.

    Raises:
        ValueError: If an annotation lacks what the evaluation needs.
    """
    for ann in annotations['annotations']:
        name = f"annotation {ann.get('id')}"
        lacking = [key for key in NEEDED if key not in ann]
        if lacking:
            raise ValueError(
                f'{name} has no {", ".join(lacking)}: keypoints cannot be '
                'evaluated on it; give person_keypoints_*.json or the like')
        check_points(ann['keypoints'], name, num_keypoints)
        check_numbers(ann['bbox'], 4, f"{name}'s bbox")
    if not annotations.get('categories'):
        raise ValueError('the annotations have keypoints but no categories: '
                         'give person_keypoints_*.json or the like')
    coco = COCO()
    coco.dataset = dict(  # the evaluation adds to the annotations
        annotations,
        annotations=[dict(ann) for ann in annotations['annotations']])
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def keypoint_figures(coco: COCO, results: List[dict],
                     sigmas: np.ndarray) -> Dict[str, float]:
    """Evaluate keypoint results as COCO does.

    Args:
        coco: What :func:`ground_truth` returns; all its images count.
        results: Keypoint results of images that it lists; of those without
            ``bbox``, the extent of the found keypoints is the size.
        sigmas: (K,) the data set's keypoint sigmas.

    Returns:
        The figures of ``FIGURES`` by name.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco.loadRes([_detection(result) for result in results])
        evaluation = COCOeval(
            coco, found, 'keypoints', np.asarray(sigmas),
            use_area=all('area' in ann for ann in coco.anns.values()))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[i]) for name, i in FIGURES.items()}


def _detection(result: dict) -> dict:
    """A copy with what the evaluation reads."""
    points = np.reshape(result['keypoints'], (1, -1, 3))
    corners = keypoint_extents(points[..., :2], points[..., 2])
    low, high = corners.reshape(2, 2)
    return dict(
        image_id=result['image_id'],
        category_id=PERSON_ID,
        keypoints=list(result['keypoints']),
        score=result['score'],
        bbox=list(result.get('bbox', [*low, *(high - low)])))

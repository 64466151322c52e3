"""AP and AR of keypoint results, as COCO and MMPose report them."""
from typing import Dict, List

import numpy as np

from ..decoding.keypoints import keypoint_extents
from ..diagnosis.oks import coco_evaluation
from ..diagnosis.results import Truth, without_printing

# In the order in which COCO summarizes them
METRICS = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR')


def keypoint_metrics(truth: Truth, results: List[dict]) -> Dict[str, float]:
    """Evaluate keypoint results as COCO does.

    Args:
        truth: From :func:`~mmpose_ssa.diagnosis.results.read_truth`; all its
            images count.
        results: Keypoint results of images that it lists; of those without
            ``bbox``, the extent of the found keypoints is the size.

    Returns:
        Name -> value, of ``METRICS``; -1 where nobody of a size is annotated.
    """
    evaluation = coco_evaluation(truth, [
        _detection(result, number, truth.category)
        for number, result in enumerate(results, start=1)
    ])
    with without_printing():
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, evaluation.stats.tolist()))


def _detection(result: dict, number: int, category: int) -> dict:
    """What the evaluation reads of a result."""
    points = np.reshape(result['keypoints'], (1, -1, 3))
    corners = keypoint_extents(points[..., :2], points[..., 2])
    low, high = corners.reshape(2, 2)
    box = result.get('bbox', [*low, *(high - low)])
    return dict(id=number, image_id=result['image_id'], category_id=category,
                keypoints=list(result['keypoints']), score=result['score'],
                bbox=list(box), area=box[2] * box[3])

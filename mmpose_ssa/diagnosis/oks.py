"""The AP that COCO gives keypoints, and who was matched with whom.

Evaluation itself is pycocotools'; here is what it leaves to its caller: the
number of keypoints, one range of areas, and reading its arrays. Pure: numpy
and pycocotools only.
"""
import copy
from typing import Dict, List, Tuple

import numpy as np
from numpy.typing import ArrayLike
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .results import MAX_PERSONS, Truth, without_printing

OKS_THRESHOLDS = np.linspace(.5, .95, 10)


def coco_evaluation(truth: Truth, persons: List[dict]) -> COCOeval:
    """Prepare COCO's evaluation of persons of any number of keypoints."""
    found = COCO()
    found.dataset = dict(truth.coco.dataset, annotations=persons)
    with without_printing():
        found.createIndex()
        coco_eval = COCOeval(truth.coco, found, 'keypoints')
    coco_eval.params.kpt_oks_sigmas = truth.sigmas
    coco_eval.params.catIds = [truth.category]
    return coco_eval


class OksEvaluation:
    """COCO's evaluation of persons, and who was matched with whom.

    Args:
        truth: The annotations.
        persons: From :func:`read_results`, or changed copies of them.
        area_range: Least and largest area in square image pixels. Persons
            outside need not be found; of results without a match, those
            outside are not wrong.
        thresholds: (T,) OKS from which a match holds.
    """

    def __init__(self, truth: Truth, persons: List[dict],
                 area_range: Tuple[float, float],
                 thresholds: ArrayLike = OKS_THRESHOLDS) -> None:
        self.truth, self.persons = truth, persons
        self.area_range, self.thresholds = area_range, thresholds
        self._coco_eval = coco_evaluation(truth, persons)
        params = self._coco_eval.params
        params.maxDets = [MAX_PERSONS]
        params.areaRng, params.areaRngLbl = [list(area_range)], ['all']
        params.iouThrs = np.array(thresholds)
        with without_printing():
            self._coco_eval.evaluate()

    def of(self, persons: List[dict]) -> 'OksEvaluation':
        """Evaluate other persons in the same way."""
        return OksEvaluation(self.truth, persons, self.area_range,
                             self.thresholds)

    def without_false_positives(self) -> 'OksEvaluation':
        """Ignore the results without a match, at each threshold its own."""
        other = copy.copy(self)
        other._coco_eval = copy.copy(self._coco_eval)
        other._coco_eval.evalImgs = [
            image and dict(image, dtIgnore=image['dtIgnore']
                           | (image['dtMatches'] == 0))
            for image in self._coco_eval.evalImgs
        ]
        return other

    @property
    def images(self) -> List[dict]:
        """COCO's arrays of each image with persons, found or annotated."""
        return [image for image in self._coco_eval.evalImgs if image]

    def ap(self) -> float:
        """Return the mean over the thresholds of the average precision.

        Raises:
            ValueError: If no person of these areas is annotated.
        """
        with without_printing():
            self._coco_eval.accumulate()
        precision = self._coco_eval.eval['precision']
        if (precision < 0).all():
            raise ValueError(
                'no person with labelled keypoints has an area in '
                f'{list(self.area_range)}: give a wider range')
        return float(precision.mean())

    def matches(self) -> Dict[int, int]:
        """Person -> annotation, by their numbers, at the first threshold."""
        return {
            person: int(annotation) for image in self.images for person,
            annotation in zip(image['dtIds'], image['dtMatches'][0])
            if annotation
        }

    def false_positives(self) -> Dict[int, np.ndarray]:
        """Person -> (T,) whether it is there without a match."""
        return {
            person: (matches == 0) & ~ignored for image in self.images
            for person, matches, ignored in zip(
                image['dtIds'], image['dtMatches'].T, image['dtIgnore'].T)
        }

    def false_negatives(self) -> Dict[int, np.ndarray]:
        """Annotation to be found -> (T,) whether nothing matches it."""
        return {
            annotation: matches == 0 for image in self.images
            for annotation, matches, ignored in zip(
                image['gtIds'], image['gtMatches'].T, image['gtIgnore'])
            if not ignored
        }

    def best_oks(self) -> List[Tuple[List[int], np.ndarray]]:
        """Per image, its persons and for each the largest OKS it reaches.

        Only annotations that are to be found count.
        """
        pairs = []
        for image in self.images:
            key = image['image_id'], image['category_id']
            ignored = dict(zip(image['gtIds'], image['gtIgnore']))
            wanted = [not ignored[gt['id']] for gt in self._coco_eval._gts[key]
                      ]
            best = np.zeros(len(image['dtIds']))
            if any(wanted) and best.size:
                best = self._coco_eval.ious[key][:, wanted].max(axis=1)
            pairs.append((image['dtIds'], best))
        return pairs

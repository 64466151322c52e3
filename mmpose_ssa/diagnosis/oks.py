"""The AP that COCO gives keypoints, and who was matched with whom.

Evaluation itself is pycocotools'; here is what it leaves to its caller: the
number of keypoints, one range of areas, and reading its arrays. Pure: numpy
and pycocotools only.
"""
from typing import Dict, List, Sequence, Tuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .results import MAX_PERSONS, Truth, quiet

OKS_THRESHOLDS = np.linspace(.5, .95, 10)


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
                 thresholds: Sequence[float] = OKS_THRESHOLDS) -> None:
        found = COCO()
        found.dataset = dict(truth.coco.dataset, annotations=persons)
        with quiet():
            found.createIndex()
            self._coco_eval = COCOeval(truth.coco, found, 'keypoints')
            params = self._coco_eval.params
            params.kpt_oks_sigmas = truth.sigmas
            params.catIds = [truth.category]
            params.maxDets = [MAX_PERSONS]
            params.areaRng, params.areaRngLbl = [list(area_range)], ['all']
            params.iouThrs = np.array(thresholds)
            self._coco_eval.evaluate()
        self.images = [e for e in self._coco_eval.evalImgs if e is not None]

    def ap(self, without_false_positives: bool = False) -> float:
        """Mean over the thresholds of the average precision.

        Args:
            without_false_positives: Ignore the results without a match, at
                each threshold its own. Defaults to False.

        Raises:
            ValueError: If no person of these areas is annotated.
        """
        ignored = [e['dtIgnore'] for e in self.images]
        if without_false_positives:
            for image in self.images:
                image['dtIgnore'] = image['dtIgnore'] | (
                    image['dtMatches'] == 0)
        with quiet():
            self._coco_eval.accumulate()
        for image, flags in zip(self.images, ignored):
            image['dtIgnore'] = flags
        precision = self._coco_eval.eval['precision']
        if (precision < 0).all():
            raise ValueError(
                'no person with labelled keypoints has an area in '
                f'{self._coco_eval.params.areaRng[0]}: give a wider range')
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

"""Keypoint AP as MMPose measures it, on annotations that were checked."""
from typing import Optional, Sequence, Union

from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

from ..annotations.checks import Rules
from ..datasets.coco import keypoint_order
from .ground_truth import (PERSON_ID, announced, check_crowding,
                           check_somebody, note_untested, read_ground_truth)


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """MMPose's metric, whose annotations are checked before training begins.

    They are read in UTF-8 when ``dataset_meta`` is set, and estimated as the
    data set estimates them; persons may have any category.

    Args:
        ann_file (str, optional): COCO annotation file. If None, that of the
            test dataset. Defaults to None.
        person (str | int, optional): Name or id of the persons' category. If
            None, that of the test dataset, or 'person'. Defaults to None.
        **kwargs: Those of :class:`CocoMetric`.
    """

    def __init__(self,
                 ann_file: Optional[str] = None,
                 person: Union[str, int, None] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)  # it would read the file unchecked
        self.ann_file = ann_file
        self.person = person
        self.person_id = PERSON_ID

    @property
    def dataset_meta(self) -> Optional[dict]:
        """Meta information of the test dataset, or None.

        To set it reads and checks the annotations.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If they are not as the evaluation needs them.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        ann_file, person = announced(dataset_meta)
        ann_file = self.ann_file or ann_file
        if self.coco is None and ann_file is not None:
            rules = Rules(
                dataset_meta['num_keypoints'], self.person or person,
                needs=() if self.format_only else ('bbox', 'keypoints'),
                count_keypoints=self.iou_type != 'keypoints_crowd',
                names=keypoint_order(dataset_meta))
            self.coco, self.person_id = read_ground_truth(
                ann_file, rules, evaluated=not self.format_only)
            if not self.format_only:
                self._check(ann_file)
        CocoMetric.dataset_meta.fset(self, dataset_meta)

    def _check(self, ann_file: str) -> None:
        """Check what this evaluation reads beside the annotations."""
        check_somebody(self.coco, ann_file, 'keypoints')
        if self.iou_type == 'keypoints_crowd':
            check_crowding(self.coco, ann_file)

    def process(self, data_batch: Sequence[dict],
                data_samples: Sequence[dict]) -> None:
        """Keep what one batch predicted, see the base class."""
        start = len(self.results)
        super().process(data_batch, data_samples)
        for prediction, _ in self.results[start:]:
            prediction['category_id'] = self.person_id

    def compute_metrics(self, results: list) -> dict:
        """As the base class; says so if images were left out of the test."""
        if self.coco is not None and not self.format_only:
            note_untested(self.coco, [p['img_id'] for p, _ in results])
        return super().compute_metrics(results)

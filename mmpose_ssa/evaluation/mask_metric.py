"""Average precision of person masks, as COCO measures instances.

Deviation from COCO's own summary: it prints AP for 100 detections per image
only, which reads -1 with the 20 proposals of the paper's Table 3. All twelve
metrics are read from the evaluation's arrays instead.
"""
from typing import Dict, List, Optional, Sequence, Union

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.fileio import dump
from mmengine.logging import MMLogger
from mmpose.registry import METRICS
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from ..annotations.checks import Rules
from ..diagnosis.results import without_printing
from .ground_truth import (PERSON_ID, announced, check_somebody,
                           read_ground_truth)

# Table 3: metric -> (array, IoU threshold, size class, proposals)
TABLE_3 = {
    'AP': ('precision', None, 'all', 20),
    'AP .5': ('precision', .5, 'all', 20),
    'AP .75': ('precision', .75, 'all', 20),
    'AP (S)': ('precision', None, 'small', 20),
    'AP (M)': ('precision', None, 'medium', 20),
    'AP (L)': ('precision', None, 'large', 20),
    'AR1': ('recall', None, 'all', 1),
    'AR10': ('recall', None, 'all', 10),
    'AR20': ('recall', None, 'all', 20),
    'AR (S)': ('recall', None, 'small', 20),
    'AR (M)': ('recall', None, 'medium', 20),
    'AR (L)': ('recall', None, 'large', 20),
}


@METRICS.register_module()
class PersonMaskMetric(BaseMetric):
    """COCO segmentation AP and AR of persons, at most 20 per image.

    The metrics are ``AP``, ``AP .5``, ``AP .75``, ``AP (S|M|L)``, ``AR1``,
    ``AR10``, ``AR20`` and ``AR (S|M|L)``, the twelve of the paper's Table 3;
    one is -1 where the annotations hold no person of its size class. As with
    :class:`CocoMetric`, all images of ``ann_file`` count: one that was not
    predicted counts as one without predictions.

    The annotations are read and checked as soon as their file is known, at
    the latest when ``dataset_meta`` is set, that is before training.

    Args:
        ann_file (str, optional): COCO annotation file with segmentations.
            If None, that of the test dataset. Defaults to None.
        ignore_unlabelled (bool): Treat persons without labelled keypoints as
            crowds, neither to be found nor wrong to find: training never
            shows the method such persons. Defaults to False, COCO's rule.
        format_only (bool): Write the results without evaluating, for a test
            server. Defaults to False.
        outfile_prefix (str, optional): Write the results in COCO's format
            to ``{outfile_prefix}.masks.json``. Defaults to None.
        collect_device (str): ``'cpu'`` or ``'gpu'``, for gathering results
            of several processes. Defaults to ``'cpu'``.
        prefix (str, optional): Prefix of the metrics' names. Defaults to
            None, which is ``'mask'``.
        person (str | int, optional): Name or id of the persons' category. If
            None, that of the test dataset, or 'person'. Defaults to None.

    Raises:
        ValueError: If ``format_only`` has nowhere to write to, or
            ``ann_file`` lacks what the evaluation needs.
    """

    default_prefix: Optional[str] = 'mask'

    def __init__(self,
                 ann_file: Optional[str] = None,
                 ignore_unlabelled: bool = False,
                 format_only: bool = False,
                 outfile_prefix: Optional[str] = None,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None,
                 person: Union[str, int, None] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if format_only and outfile_prefix is None:
            raise ValueError('format_only=True writes a file and does '
                             'nothing else: give outfile_prefix')
        self.ignore_unlabelled = ignore_unlabelled
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.person = person
        self._coco: Optional[COCO] = None
        self._person_id = PERSON_ID
        if ann_file is not None and not format_only:
            self._read(ann_file, person or 'person')

    @property
    def dataset_meta(self) -> Optional[dict]:
        """Meta information of the test dataset, or None.

        To set it loads the annotations which that dataset has announced.

        Raises:
            ValueError: If they lack what the evaluation needs.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        ann_file, person = announced(dataset_meta)
        if self._coco is None and ann_file and not self.format_only:
            self._read(ann_file, self.person or person)

    def process(self, data_batch: Sequence[dict],
                data_samples: Sequence[dict]) -> None:
        """Keep what one batch predicted.

        Args:
            data_batch (Sequence[dict]): Not used.
            data_samples (Sequence[dict]): Samples as dicts, each with
                ``img_id``, ``ori_shape`` (height, width) and
                ``pred_instances``: ``masks``, N compressed RLEs in
                ``_img``, and ``bbox_scores`` in shape (N, ).

        Raises:
            ValueError: If masks or scores are missing, differ in number, or
                a mask has not the size of its image, in the annotations too.
        """
        for sample in data_samples:
            if self._coco is not None:
                _check_image(sample, self._coco)
            self.results.append(_to_coco_results(sample, self._person_id))

    def compute_metrics(self, results: List[List[dict]]) -> Dict[str, float]:
        """Write the results, and evaluate them unless ``format_only``.

        Args:
            results (list): Per image, its COCO results.

        Returns:
            dict[str, float]: The twelve metrics by name; nothing if
            ``format_only``.
        """
        logger = MMLogger.get_current_instance()
        detections = [dict(d) for image in results for d in image]
        if self.outfile_prefix is not None:
            path = f'{self.outfile_prefix}.masks.json'
            dump(detections, path)
            logger.info(f'Mask results are saved in {path}')
        if self.format_only:
            return {}
        logger.info(f'Evaluating {self.__class__.__name__}...')
        if self._coco is None:
            ann_file, person = announced(self.dataset_meta)
            if ann_file is None:
                name = (self.dataset_meta or {}).get('dataset_name')
                raise ValueError(
                    'no annotation file is known for the dataset '
                    f'{name!r}: give PersonMaskMetric(ann_file=...)')
            self._read(ann_file, self.person or person)
        return evaluate_masks(self._coco, detections)

    def _read(self, ann_file: str, person: Union[str, int]) -> None:
        """Read and check the annotations of the persons."""
        rules = Rules(
            person=person, needs=('segmentation', ),
            without_masks='leave PersonMaskMetric out of the evaluator')
        self._coco, self._person_id = read_ground_truth(ann_file, rules)
        for ann in self._coco.anns.values():
            if self.ignore_unlabelled and not _is_labelled(ann):
                ann['iscrowd'] = 1
        check_somebody(self._coco, ann_file, 'masks')


def evaluate_masks(coco: COCO, detections: List[dict]) -> Dict[str, float]:
    """Evaluate person masks as COCO does, with 1, 10 and 20 proposals.

    Args:
        coco (COCO): The ground truth, of one category; its segmentations
            become RLEs.
        detections (list[dict]): COCO results of that category with
            ``image_id``, ``segmentation`` and ``score``, and without
            ``bbox``, whose area would stand in for the mask's. COCO's keys
            (``id``, ``area``, ...) are added to them. May be empty.

    Returns:
        dict[str, float]: The metrics of ``TABLE_3``.

    Raises:
        ValueError: If a detection's image is not in the ground truth.
    """
    unknown = {d['image_id'] for d in detections} - set(coco.imgs)
    if unknown:
        raise ValueError(
            f'predictions for the images {sorted(unknown)[:5]}, which are '
            'not in the annotation file: give the file of the tested images')
    with without_printing():
        evaluation = COCOeval(coco, coco.loadRes(detections), 'segm')
        evaluation.params.maxDets = [1, 10, 20]
        evaluation.evaluate()
        evaluation.accumulate()
    return {name: _metric(evaluation, *TABLE_3[name]) for name in TABLE_3}


def _metric(evaluation: COCOeval, array: str, iou_thr: Optional[float],
            size: str, proposals: int) -> float:
    """Mean of the entries that are defined, or -1 where none is."""
    params = evaluation.params
    # precision: (IoU, recall, category, size, proposals); recall: without
    # its second axis
    values = evaluation.eval[array][..., params.areaRngLbl.index(size),
                                    params.maxDets.index(proposals)]
    if iou_thr is not None:
        values = values[np.isclose(params.iouThrs, iou_thr)]
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.


def _is_labelled(annotation: dict) -> bool:
    """Whether a person has a keypoint with visibility above 0."""
    return any(v > 0 for v in annotation.get('keypoints', ())[2::3])


def _check_image(sample: dict, coco: COCO) -> None:
    """Raise ValueError if an image is not as large as it was annotated."""
    image = coco.imgs.get(sample['img_id'], {})
    annotated = [image.get('height'), image.get('width')]
    found = list(sample['ori_shape'][:2])
    if None not in annotated and found != annotated:
        raise ValueError(
            f"image {sample['img_id']} is of size {found} (height, width), "
            f'but the annotation file says {annotated}, and masks of two '
            'sizes never overlap: correct width and height in it')


def _to_coco_results(sample: dict, person_id: int) -> List[dict]:
    """Write one image's predictions as COCO results."""
    instances, name = sample['pred_instances'], f"image {sample['img_id']}"
    if 'masks' not in instances or 'bbox_scores' not in instances:
        raise ValueError(
            f"{name}: pred_instances need 'masks' and 'bbox_scores' to "
            f'evaluate masks, got {sorted(instances)}; does the model '
            'predict masks?')
    masks, scores = instances['masks'], instances['bbox_scores']
    if len(masks) != len(scores):
        raise ValueError(
            f'{name}: {len(masks)} masks but {len(scores)} bbox_scores')
    results = []
    for mask, score in zip(masks, scores):
        size, counts = list(map(int, mask['size'])), mask['counts']
        if size != list(sample['ori_shape'][:2]):
            raise ValueError(
                f"{name}: mask of size {size}, image of size "
                f"{list(sample['ori_shape'][:2])} (height, width): masks "
                'must be in original image pixels')
        if isinstance(counts, bytes):
            counts = counts.decode()
        results.append(
            dict(
                image_id=sample['img_id'],
                category_id=person_id,
                segmentation=dict(size=size, counts=counts),
                score=float(score)))
    return results

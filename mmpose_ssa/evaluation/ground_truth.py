"""The annotations that metrics evaluate against, read once and checked."""
import logging
from typing import Optional, Sequence, Tuple, Union

from mmengine.logging import MessageHub, print_log
from xtcocotools.coco import COCO

from ..annotations.checks import PERSON_ID, Rules
from ..annotations.findings import first
from ..datasets.coco import read_annotations
from ..diagnosis.results import without_printing


def announced(dataset_meta: Optional[dict]
              ) -> Tuple[Optional[str], Union[str, int]]:
    """The file of a test data set, and who is a person in it.

    Args:
        dataset_meta: Of the data set, which has announced both.
    """
    name = (dataset_meta or {}).get('dataset_name')
    hub = MessageHub.get_current_instance()
    return (hub.get_info(f'{name}_ann_file', None),
            hub.get_info(f'{name}_person', 'person'))


def read_ground_truth(ann_file: str, rules: Rules,
                      evaluated: bool = True) -> Tuple[COCO, int]:
    """Read and check the annotations of the persons.

    Args:
        ann_file: COCO annotation file.
        rules: What is asked of it.
        evaluated: Whether there must be annotations.

    Returns:
        The annotations, and the id of the persons' category.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not as it should be.
    """
    checked = read_annotations(ann_file, rules)
    if evaluated and 'annotations' not in checked.dataset:
        raise ValueError(
            f'annotation file {ann_file} has no annotations to evaluate '
            'against: use format_only=True and outfile_prefix to write '
            'results only')
    # -1 means "no match" in xtcocotools, 0 in pycocotools: ids from 1 on
    for number, ann in enumerate(checked.dataset.get('annotations', ()), 1):
        ann['id'] = number
    with without_printing():
        coco = COCO(ann_file, ann_data=checked.dataset)
    return coco, checked.person.get('id', PERSON_ID)


def check_somebody(coco: COCO, ann_file: str, what: str) -> None:
    """Raise ValueError if nobody is to be found, so that every AP is -1.

    Args:
        coco: The annotations, crowds marked.
        ann_file: Their file.
        what: Of whom something is evaluated: those with 'keypoints' or masks.
    """
    keypoints = what == 'keypoints'
    if not any(not ann.get('iscrowd')
               and (ann.get('num_keypoints') or not keypoints)
               for ann in coco.anns.values()):
        labelled = 'labelled keypoints' if keypoints else 'a mask'
        raise ValueError(
            f'annotation file {ann_file} has nobody to find: of its '
            f'{len(coco.anns)} annotations of persons none is of a single '
            f'person with {labelled}, and every AP would be -1: give the file '
            'of a data set with such persons, or leave the metric out')


def check_crowding(coco: COCO, ann_file: str) -> None:
    """Raise ValueError unless images have CrowdPose's ``crowdIndex``.

    Its evaluation sorts the images by it into easy, medium and hard ones.
    """
    odd = [number for number, image in coco.imgs.items()
           if isinstance(image.get('crowdIndex'), bool)
           or not isinstance(image.get('crowdIndex'), (int, float))
           or not 0 <= image['crowdIndex'] <= 1]
    if odd:
        raise ValueError(
            f"annotation file {ann_file} has images whose crowdIndex is no "
            f'number from 0 to 1 ({len(odd)}: image {first(odd)}): give '
            "CrowdPose's own file, write it to each image, or evaluate with "
            "iou_type='keypoints'")


def note_untested(coco: COCO, tested: Sequence[int]) -> None:
    """Log a warning if images whose persons count were not tested.

    Args:
        coco: The annotations.
        tested: Ids of the images that were.
    """
    shown = {ann['image_id'] for ann in coco.anns.values()
             if ann.get('num_keypoints', 1) and not ann.get('iscrowd')}
    left_out = shown.difference(tested)
    if left_out:
        print_log(
            f'{len(left_out)} of {len(shown)} images with people were not '
            'tested (every_nth_image, indices or the like); their persons '
            'count as missed: for the AP of the others give an annotation '
            'file without them', logger='current', level=logging.WARNING)

"""COCO data whose faults are named before training starts.

Deviations from MMPose, whose class this extends; data without faults are read
as MMPose reads them:

- ``CocoDataset`` reads the file in the locale's encoding, checks nothing of
  it, says "need at least one array to concatenate" of a file without persons,
  and drops annotations whose image, box or keypoints are missing without a
  word. Here the file is UTF-8 and passes ``annotations.check_annotations``.
- It says "object is not iterable" where of two persons in an image the second
  has no mask.
- It forgets the images' sizes, which are compared with the files here.
- It checks nothing of a ``bbox_file``, and takes category 1 for persons.
"""
import logging
import os.path as osp
from typing import Dict, List, Optional, Set, Tuple, Union

import numpy as np
from mmengine.fileio import exists, get
from mmengine.logging import MessageHub, print_log
from mmpose.datasets.datasets.body import CocoDataset
from mmpose.registry import DATASETS
from mmpose.structures.bbox import bbox_xywh2xyxy

from ..annotations.checks import PERSON_ID, Checked, Rules, check_annotations
from ..annotations.detections import check_detections
from ..annotations.reading import parse_json
from .transforms import GeneratePersonMasks

_said: Set[str] = set()  # of each file once, however many read it


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """COCO persons from a file that was checked.

    In testing (``test_mode=True``) images without persons, and files without
    annotations, are as good as others, and persons need neither keypoints nor
    masks: what the metrics need they check as they read the same file. What
    is estimated or left out is logged, see ``annotations.checks``.

    Args:
        *args: Those of :class:`CocoDataset`.
        every_nth_image (int): Take every n-th of the file's images by
            ascending id, with or without persons. Defaults to 1, all.
        person (str | int): Name or id of the category that shows persons;
            others are left out. Defaults to 'person'.
        **kwargs: Those of :class:`CocoDataset`.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: If the file is not as it should be; or, in training, there
            is no person with labelled keypoints.
    """

    def __init__(self,
                 *args,
                 every_nth_image: int = 1,
                 person: Union[str, int] = 'person',
                 **kwargs) -> None:
        if every_nth_image < 1:
            raise ValueError('every_nth_image must be 1 or more, got '
                             f'{every_nth_image}')
        self.every_nth_image = every_nth_image
        self.person = person
        super().__init__(*args, **kwargs)
        if self.test_mode:  # for the metrics, as the base class its file
            MessageHub.get_current_instance().update_info(
                f"{self.metainfo['dataset_name']}_person", person)

    def load_data_list(self) -> List[dict]:
        """As the base class, with the ``annotated_shape`` of each image."""
        self._shapes: Dict[int, Tuple[Optional[int], Optional[int]]] = {}
        data_list = super().load_data_list()
        for info in data_list:
            info['annotated_shape'] = self._shapes.get(info['img_id'])
        del self._shapes
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> Optional[dict]:
        """As the base class, of a person with or without segmentation."""
        info = super().parse_data_info(raw_data_info)
        if info and not info['segmentation']:
            # can be joined to others', and no transform draws it
            info['segmentation'] = {}
        return info

    def get_data_info(self, idx: int) -> dict:
        """As the base class, and the ``sigmas``, which a refiner compares."""
        return dict(super().get_data_info(idx),
                    sigmas=self._metainfo['sigmas'].copy())

    def _load_annotations(self) -> Tuple[List[dict], List[dict]]:
        """Read the persons and the images, see the base class."""
        checked = self._read()
        by_image: Dict[int, List[dict]] = {}
        for ann in checked.dataset.get('annotations', ()):
            by_image.setdefault(ann['image_id'], []).append(ann)
        persons, images = [], self._images(checked.dataset)
        for image in images:
            for ann in by_image.get(image['id'], ()):
                person = self.parse_data_info(
                    dict(raw_ann_info=ann, raw_img_info=image))
                if person:
                    persons.append(person)
        if not self.test_mode:
            self._check_training(persons, images)
        return persons, images

    def _load_detection_results(self) -> List[dict]:
        """Read the boxes of ``bbox_file`` and the images, see the base class.
        """
        checked = self._read()
        if not exists(self.bbox_file):
            raise FileNotFoundError(
                f'bbox_file {self.bbox_file} does not exist: correct the path')
        name = f'bbox_file {self.bbox_file}'
        number = self.person if isinstance(self.person, int) else PERSON_ID
        boxes, empty = check_detections(
            parse_json(get(self.bbox_file), name), name,
            {image['id'] for image in checked.dataset['images']},
            checked.person.get('id', number))
        if empty:
            print_log(f'{name}: {empty} boxes have no width or height and '
                      'are left out', logger='current')
        images = {image['id']: image
                  for image in self._images(checked.dataset)}
        count = self.metainfo['num_keypoints']
        chosen = (box for box in boxes if box['image_id'] in images)
        return [
            dict(
                img_id=box['image_id'],
                img_path=images[box['image_id']]['img_path'],
                img_shape=self._shapes[box['image_id']],
                bbox=bbox_xywh2xyxy(np.float32([box['bbox'][:4]])),
                bbox_score=np.float32([box['score']]),
                # nobody knows them; all count as visible, as in MMPose
                keypoints=np.zeros((1, count, 2), np.float32),
                keypoints_visible=np.ones((1, count), np.float32),
                id=number) for number, box in enumerate(chosen)
        ]

    def _read(self) -> Checked:
        """The checked annotation file, whose category is the data set's."""
        checked = read_annotations(self.ann_file, self.rules(),
                                   self.data_root)
        if 'categories' in checked.dataset:
            self._metainfo['CLASSES'] = checked.dataset['categories']
        return checked

    def _images(self, dataset: dict) -> List[dict]:
        """The images that are used, with id and path as MMPose names them."""
        ids = sorted(image['id'] for image in dataset['images'])
        chosen = {i for i in ids[::self.every_nth_image]
                  if i % self.sample_interval == 0}
        images = []
        for image in dataset['images']:
            if image['id'] in chosen:
                self._shapes[image['id']] = image.get('height'), image.get(
                    'width')
                path = osp.join(self.data_prefix['img'], image['file_name'])
                images.append(dict(image, img_id=image['id'], img_path=path))
        return images

    def rules(self) -> Rules:
        """What is asked of the file, by the pipeline and the metainfo."""
        training = not self.test_mode
        steps = self.pipeline.transforms
        drawn = [step for step in steps
                 if isinstance(step, GeneratePersonMasks)]
        needs = ['bbox', 'keypoints'] * training
        if any(step.missing == 'error' for step in drawn):
            needs.append('segmentation')
        return Rules(
            self._metainfo['num_keypoints'], self.person, needs,
            masks=bool(drawn) or training and self.data_mode == 'bottomup',
            files=True,
            without_masks="train the naive variant with "
            "GeneratePersonMasks(missing='empty')",
            names=keypoint_order(self._metainfo))

    def _check_training(self, persons: List[dict],
                        images: List[dict]) -> None:
        """What must hold in training."""
        if not any(map(self._is_valid_instance, persons)):
            raise ValueError(
                f'annotation file {self.ann_file} has no person with labelled '
                f'keypoints and a box in the image in its {len(persons)} '
                'annotations: train on '
                "COCO's person_keypoints_train2017.json or data like it; to "
                'test without annotations set test_mode=True')
        empty = len(images) - len({p['img_id'] for p in persons})
        if empty:
            print_log(
                f'{empty} of {len(images)} images of {self.ann_file} show '
                'nobody and are not trained on', logger='current')
        shared = len(images) - len({image['img_path'] for image in images})
        if shared and self.data_mode == 'bottomup':
            print_log(
                f'{shared} images of {self.ann_file} have the file of another '
                'one: each is trained on with its own persons only, and the '
                'others count as background; give all of them one image id',
                logger='current', level=logging.WARNING)


def keypoint_order(metainfo: dict) -> List[str]:
    """The K names of the keypoints of a data set's parsed metainfo."""
    names = metainfo.get('keypoint_id2name', {})
    return [names[number] for number in sorted(names)]


def read_annotations(ann_file: str, rules: Rules,
                     data_root: Optional[str] = None) -> Checked:
    """Read and check an annotation file; log once what there is to note.

    Args:
        ann_file: The file, as MMEngine's backends know it.
        rules: What is asked of it.
        data_root: Of the data set, for an error.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not as it should be.
    """
    if not exists(ann_file):
        raise FileNotFoundError(
            f'annotation file {ann_file} does not exist: set data_root and '
            'ann_file of the data set, or link the data to '
            f'{data_root or "there"}')
    name = f'annotation file {ann_file}'
    checked = check_annotations(parse_json(get(ann_file), name), name, rules)
    for note in checked.notes:
        if note not in _said:
            _said.add(note)
            print_log(note, logger='current')
    return checked

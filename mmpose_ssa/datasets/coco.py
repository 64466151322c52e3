"""COCO data whose faults are named before training starts.

Deviations from MMPose, whose classes these extend; data without faults are
read as MMPose reads them:

- ``CocoDataset`` says "need at least one array to concatenate" of a file
  without persons, names no file where one is damaged, and drops annotations
  whose image, box or keypoints are missing without a word. It says "object is
  not iterable" where of two persons in an image the second has no mask, and
  "cannot reshape array" or "must match exactly" of keypoints cut short.
- ``LoadImage`` asks whether the file exists where an image is damaged.
"""
import json
from collections import Counter
from typing import Any, List, Optional, Tuple

import cv2
import numpy as np
from mmengine.fileio import exists
from mmengine.logging import print_log
from mmpose.datasets.datasets.body import CocoDataset
from mmpose.datasets.transforms import LoadImage
from mmpose.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """COCO persons from a file that was checked.

    In testing (``test_mode=True``) images without persons, and files without
    annotations, are as good as others; the metrics read the file themselves.
    What is annotated must be whole in testing too: it is loaded as in
    training, and the metrics would stop at it after the last image.

    Args:
        *args: Those of :class:`CocoDataset`.
        every_nth_image (int): Take every n-th of the file's images by
            ascending id, with or without persons. Defaults to 1, all.
        **kwargs: Those of :class:`CocoDataset`.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: If the file is empty or not in COCO's format; it has no
            images; ids are not unique; annotations belong to no image;
            ``keypoints`` are not 3 numbers for each of the metainfo's, or a
            ``bbox`` is not four; or, in training, there is no category
            'person', no person with labelled keypoints, or a person without
            ``keypoints`` or ``bbox``.
    """

    def __init__(self, *args, every_nth_image: int = 1, **kwargs) -> None:
        if every_nth_image < 1:
            raise ValueError('every_nth_image must be 1 or more, got '
                             f'{every_nth_image}')
        self.every_nth_image = every_nth_image
        super().__init__(*args, **kwargs)

    def parse_data_info(self, raw_data_info: dict) -> Optional[dict]:
        """As the base class, of a person with or without segmentation.

        None of one whose numbers are damaged, too: see ``_check_numbers``.
        """
        ann = raw_data_info['raw_ann_info']
        if _has_place(ann) and not (
                _has_box(ann) and self._has_keypoints(ann)):
            return None
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
        if not exists(self.ann_file):
            raise FileNotFoundError(
                f'annotation file {self.ann_file} does not exist: set '
                'data_root and ann_file of the data set, or link the data '
                f'to {self.data_root or "there"}')
        try:
            persons, images = super()._load_annotations()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            empty = not getattr(error, 'doc', '-').strip()
            fault = 'is empty' if empty else f'is not JSON ({error})'
            raise ValueError(
                f'annotation file {self.ann_file} {fault}: it is damaged or '
                'was not written to the end; unpack or draw it again'
            ) from error
        except (AssertionError, KeyError) as error:
            fault = (f'an entry has no {error}' if isinstance(error, KeyError)
                     else str(error))
            raise ValueError(
                f"annotation file {self.ann_file} is not in COCO's format "
                f'({fault}): it must be one dict with images, annotations '
                'and categories') from error
        self._check_entries()
        self._check_numbers(persons)
        if not self.test_mode:
            self._check_training(persons)
        return self._choose(persons, images)

    def _choose(self, persons: List[dict],
                images: List[dict]) -> Tuple[List[dict], List[dict]]:
        """Keep every n-th image by ascending id, and its persons."""
        chosen = set(sorted(self.coco.imgs)[::self.every_nth_image])
        images = [i for i in images if i['img_id'] in chosen]
        persons = [p for p in persons if p['img_id'] in chosen]
        empty = len(images) - len({p['img_id'] for p in persons})
        if empty and not self.test_mode:
            print_log(
                f'{empty} of {len(images)} images of {self.ann_file} show '
                'nobody and are not trained on', logger='current')
        return persons, images

    def _check_entries(self) -> None:
        """What must hold in training and testing."""
        images = self.coco.dataset.get('images', ())
        annotations = self.coco.dataset.get('annotations', ())
        if not images:
            self._refuse('has no images', 'give a file that lists some')
        for kind, entries in dict(
                images=images, annotations=annotations).items():
            self._refuse_any(
                [i for i, times in Counter(e['id'] for e in entries).items()
                 if times > 1],
                f'has {kind} that share an id',
                'number them anew: only one of each would be used')
        self._refuse_any(
            list(dict.fromkeys(ann['image_id'] for ann in annotations
                               if ann['image_id'] not in self.coco.imgs)),
            'has annotations of images that it does not list',
            'add the images to it, or take these annotations out', 'image')

    def _check_numbers(self, persons: List[dict]) -> None:
        """What must hold of keypoints and boxes where both are given."""
        loaded = {person['id'] for person in persons}
        others = [ann for ann in self.coco.dataset.get('annotations', ())
                  if ann['id'] not in loaded and _has_place(ann)]
        k = self._metainfo['num_keypoints']
        self._refuse_any(
            [ann['id'] for ann in others if not self._has_keypoints(ann)],
            f'has annotations whose keypoints are not a list of {3 * k} '
            'numbers',
            f'write x, y and v for each of the {k} keypoints, zeros for those '
            'without label; if the data have other keypoints, give the data '
            'set their metainfo')
        self._refuse_any(
            [ann['id'] for ann in others if not _has_box(ann)],
            'has annotations whose bbox is not a list of four numbers',
            'write x, y, width and height in pixels')

    def _has_keypoints(self, annotation: dict) -> bool:
        """Whether all K keypoints are there, as x, y and v."""
        return _are_numbers(annotation['keypoints'],
                            3 * self._metainfo['num_keypoints'])

    def _check_training(self, persons: List[dict]) -> None:
        """What must hold in training."""
        categories = self.coco.dataset.get('categories', ())
        annotations = self.coco.dataset.get('annotations', ())
        names = {cat['id']: cat.get('name') for cat in categories}
        if 'person' not in names.values():
            self._refuse(f"has no category 'person' among {names}",
                         "write categories=[dict(id=1, name='person')] to it")
        if names.get(1) != 'person':
            self._refuse(f"has 'person' under another id than 1: {names}",
                         'number it 1, by which results are evaluated')
        self._refuse_any(
            [ann['id'] for ann in annotations
             if names.get(ann['category_id']) == 'person'
             and not _has_place(ann)],
            'has persons without bbox or keypoints',
            "train on COCO's person_keypoints_*.json, not instances_*.json; a "
            'person without labels has zeros')
        if not any(map(self._is_valid_instance, persons)):
            self._refuse(
                f'has no person with labelled keypoints in its '
                f'{len(annotations)} annotations',
                "train on COCO's person_keypoints_train2017.json or data "
                'like it; to test without annotations set test_mode=True')

    def _refuse_any(self, found: list, fault: str, cure: str,
                    kind: str = 'id') -> None:
        """Raise ValueError with the number and the first of those found."""
        if found:
            first = ', '.join(map(str, found[:5]))
            dots = ', ...' if len(found) > 5 else ''
            self._refuse(f'{fault} ({len(found)}: {kind} {first}{dots})', cure)

    def _refuse(self, fault: str, cure: str) -> None:
        raise ValueError(f'annotation file {self.ann_file} {fault}: {cure}')


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImage):
    """Load an image from a file, or take the array in ``results['img']``.

    Keys are those of :class:`LoadImage`, and ``ori_img`` if it is kept.

    Args:
        *args: Those of :class:`LoadImage`.
        keep_original (bool): Keep the image as ``ori_img`` beside what later
            steps make of it; a refiner looks at it. Defaults to False.
        **kwargs: Those of :class:`LoadImage`.
    """

    def __init__(self, *args, keep_original: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.keep_original = keep_original

    def transform(self, results: dict) -> Optional[dict]:
        """Add ``img``, ``img_shape``, ``ori_shape`` and, if kept, ``ori_img``.

        Args:
            results (dict): With ``img_path``, or with ``img``, a BGR image
                (H, W, 3).

        Returns:
            dict: The dict with the keys above added.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If ``img`` is not a colour image.
            ValueError: If the file is not an image.
        """
        results = self._load(results)
        if self.keep_original:
            results['ori_img'] = results['img']
        return results

    def _load(self, results: dict) -> dict:
        """Load with errors that name the file."""
        if 'img' in results:
            _check_array(results['img'])
            return super().transform(results)
        path = results['img_path']
        try:
            return super().transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'image {path} does not exist: set data_root and data_prefix '
                'of the data set to its folder, or correct the path'
            ) from error
        except (AssertionError, IsADirectoryError, cv2.error) as error:
            raise ValueError(
                f'{path} cannot be read as an image: it is empty, damaged, '
                'a folder or of an unknown format; copy it again, or take it '
                'out of the data') from error


def _has_place(annotation: dict) -> bool:
    """Whether a person is annotated at all; MMPose drops others."""
    return 'bbox' in annotation and 'keypoints' in annotation


def _has_box(annotation: dict) -> bool:
    """Whether the box is x, y, width and height."""
    return _are_numbers(annotation['bbox'], 4)


def _are_numbers(values: Any, count: int) -> bool:
    """Whether these are a list of that many finite numbers."""
    try:
        array = np.array(values)
    except ValueError:  # lists of different lengths
        return False
    return (array.shape == (count, ) and array.dtype.kind in 'iuf'
            and bool(np.isfinite(array).all()))


def _check_array(image: np.ndarray) -> None:
    shape = getattr(image, 'shape', None)
    if not isinstance(image, np.ndarray) or len(shape) != 3 or shape[2] != 3:
        raise TypeError(
            'an image given as an array must be BGR, (H, W, 3), got '
            f'{type(image).__name__} of shape {shape}')

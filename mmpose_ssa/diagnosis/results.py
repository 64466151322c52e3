"""Keypoint annotations and results in COCO's format, read and checked.

There may be any number of keypoints; their names tell left from right. Pure:
numpy and pycocotools only.

What differs from the files:

- Annotations get new ids from 1 on, because COCO's evaluation never finds one
  with id 0.
- What is missing or contradicts itself is estimated, see
  ``annotations.checks``.
"""
import contextlib
import copy
import io
import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from pycocotools.coco import COCO

from ..annotations.checks import Rules, check_annotations
from .result_format import check_dataset, check_result, keypoint_names

MAX_PERSONS = 20  # per image, COCO's rule for keypoints
RESULT_KEYS = ('image_id', 'category_id', 'keypoints', 'score', 'bbox')

# By keypoint name without its side; COCO's, then CrowdPose's.
SIGMAS = dict(
    nose=.026, eye=.025, ear=.035, shoulder=.079, elbow=.072, wrist=.062,
    hip=.107, knee=.087, ankle=.089, head=.079, top_head=.079, neck=.079)

_SIDE = re.compile('^(left|right)_')
_OTHER = {'left_': 'right_', 'right_': 'left_'}


class Truth(NamedTuple):
    """The annotated persons of a data set.

    Attributes:
        coco: Its annotations, each with ``original_id``, its id in the file.
        category: The category's id.
        names: K keypoint names.
        sigmas: (K,) OKS's standard deviations.
        flip: (K,) type of the same point on the other side of the body.
    """
    coco: COCO
    category: int
    names: Tuple[str, ...]
    sigmas: np.ndarray
    flip: np.ndarray


def read_truth(dataset: dict,
               sigmas: Optional[Sequence[float]] = None,
               person: Union[str, int, None] = None) -> Truth:
    """Check the annotations of a data set.

    Args:
        dataset: What a COCO annotation file holds; not changed.
        sigmas: (K,) OKS's standard deviations. Defaults to None: those of
            COCO and CrowdPose, by keypoint name.
        person: Name or id of the category, if several name keypoints.

    Raises:
        ValueError: If the annotations cannot be evaluated against.
    """
    category = _keypoint_category(dataset, person)
    names = keypoint_names(category)
    checked = check_annotations(
        dataset, 'the annotation file',
        Rules(len(names), category['id'], needs=('bbox', 'keypoints'),
              text_ids=True)).dataset
    annotations = [
        dict(ann, id=number, original_id=ann['id'])
        for number, ann in enumerate(checked.get('annotations', ()), start=1)
    ]
    if not any(ann['num_keypoints'] for ann in annotations):
        raise ValueError('no person has a labelled keypoint: give the '
                         'annotations of a labelled split')
    with without_printing():
        coco = COCO()
        coco.dataset = dict(images=checked['images'], categories=[category],
                            annotations=annotations)
        coco.createIndex()
    return Truth(coco, category['id'], names, _sigmas_of(names, sigmas),
                 _other_sides(names))


def read_results(results: list, truth: Truth) -> List[dict]:
    """Check results and keep the 20 best persons of each image.

    Args:
        results: What a COCO result file holds; not changed.
        truth: The annotations.

    Returns:
        The persons as COCO's evaluation takes them, with ``area`` (of
        ``bbox`` or else of the keypoints' extent), a new ``id`` and
        ``index``, their place in ``results``.

    Raises:
        ValueError: If there are no results, or they are of another data set.
    """
    if not isinstance(results, list):
        raise ValueError(
            f'results must be a list of persons, got {type(results).__name__}'
            ": give what CocoMetric wrote, '*.keypoints.json'")
    if not results:
        raise ValueError('the results are empty: no person was found, and '
                         'there is nothing to diagnose')
    for index, result in enumerate(results):
        _check_result(index, result, truth)
    unknown = {r['image_id'] for r in results} - set(truth.coco.imgs)
    if unknown:
        raise ValueError(
            f'results for {len(unknown)} images that are not annotated, such '
            f'as {sorted(unknown, key=str)[:3]}: give the annotations of the '
            'images that were tested')
    if len({'bbox' in result for result in results}) > 1:
        raise ValueError("some results have a 'bbox' and some have none: "
                         'write it for all persons or for none')
    # masks and the like are not needed
    kept = [{key: copy.copy(result[key]) for key in RESULT_KEYS
             if key in result} for result in results]
    with without_printing():
        persons = truth.coco.loadRes(kept).anns.values()
    return _best_of_images([
        dict(person, index=index) for index, person in enumerate(persons)
    ])


def _keypoint_category(dataset: dict,
                       person: Union[str, int, None]) -> dict:
    check_dataset(dataset, dict.fromkeys(
        ('images', 'annotations', 'categories'), ('id', )))
    found = [c for c in dataset['categories'] if c.get('keypoints')
             and person in (None, c.get('name'), c['id'])]
    if len(found) != 1 and person is not None:
        raise ValueError(
            f'no category {person!r} with keypoints among '
            f"{[c.get('name') for c in dataset['categories']]}: correct "
            'person')
    if len(found) != 1:
        raise ValueError(
            'one category must name keypoints, but '
            f"{[c.get('name') for c in found] or 'none'} of "
            f"{[c.get('name') for c in dataset['categories']]} do: give "
            'person_keypoints_*.json or the like, or say by person which one')
    return found[0]


def _check_result(index: int, result: dict, truth: Truth) -> None:
    name = f'result {index}'
    check_result(result, name, RESULT_KEYS[:4], len(truth.names))
    if result['category_id'] != truth.category:
        raise ValueError(
            f"{name} is of category {result['category_id']!r:.80}, the "
            f'annotated persons of {truth.category}: set its category_id')


def known_sigmas(names: Sequence[str]) -> List[float]:
    """OKS's standard deviations of COCO and CrowdPose, by keypoint name.

    Raises:
        ValueError: If neither of them has such a keypoint.
    """
    plain = [_SIDE.sub('', name) for name in names]
    unknown = [name for name in plain if name not in SIGMAS]
    if unknown:
        raise ValueError(
            f'no sigma is known for the keypoints {unknown}: give the '
            f"data set's {len(names)} sigmas")
    return [SIGMAS[name] for name in plain]


def _sigmas_of(names: Tuple[str, ...],
               sigmas: Optional[Sequence[float]]) -> np.ndarray:
    """Those given or, by name, those of COCO and CrowdPose."""
    if sigmas is None:
        sigmas = known_sigmas(names)
    if len(sigmas) != len(names) or not (
            np.min(sigmas) > 0 and np.isfinite(sigmas).all()):
        raise ValueError(f'{len(names)} keypoints need as many positive '
                         f'sigmas, got {list(sigmas)}')
    return np.array(sigmas, float)


def _other_sides(names: Tuple[str, ...]) -> np.ndarray:
    """(K,) index of the same keypoint on the other side, or its own."""
    swapped = [_SIDE.sub(lambda m: _OTHER[m[0]], name) for name in names]
    return np.array([
        names.index(other) if other in names else k
        for k, other in enumerate(swapped)
    ])


def _best_of_images(persons: List[dict]) -> List[dict]:
    """The persons with the highest scores, image by image."""
    images: Dict[int, List[dict]] = {}
    for person in sorted(persons, key=lambda p: -p['score']):
        images.setdefault(person['image_id'], []).append(person)
    return [p for image in images.values() for p in image[:MAX_PERSONS]]


def without_printing() -> contextlib.AbstractContextManager:
    """Suppress what the COCO tools print."""
    return contextlib.redirect_stdout(io.StringIO())

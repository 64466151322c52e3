"""Refine the COCO results of any model by a top-down model of MMPose.

Results are what ``mmpose-ssa predict`` or ``CocoMetric(outfile_prefix=...)``
writes: a list of persons with ``image_id``, ``score`` and ``keypoints`` (x, y
and score of each of the K, 0 where missing). Their boxes: see :mod:`.places`.
"""
import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
from mmengine.utils import track_iter_progress

from ..annotations.reading import read_json
from ..datasets.loading import LoadCheckedImage
from ..decoding.keypoints import keypoint_extents
from ..diagnosis.result_format import (check_dataset, check_mask, check_result,
                                       keypoint_names)
from ..diagnosis.results import known_sigmas, read_truth
from ..evaluation.keypoint_metric import keypoint_metrics
from ..files import write_whole
from ..models.refiner import Refiner
from .places import check_place, person_arrays


def read_result_file(path: str, content: str = 'keypoints') -> List[dict]:
    """Read and check the results of a file.

    Args:
        path: The file.
        content: ``'keypoints'`` or, of masks, ``'segmentation'``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold such results in COCO's format.
    """
    results = read_json(path)
    if not isinstance(results, list):
        raise ValueError(
            f'{path} holds a {type(results).__name__}, not a list of results: '
            'give what mmpose-ssa predict or a metric with outfile_prefix '
            'wrote, not annotations')
    for i, result in enumerate(results):
        name = f'result {i} of {path}'
        check_result(result, name, ('image_id', 'score', content))
        if result.get('segmentation') is not None:
            check_mask(result['segmentation'], name)
        if not isinstance(result.get('file_name', ''), str):
            raise ValueError(f"{name} has the file_name "
                             f"{result['file_name']!r}: it must be a text")
    counts = {len(r['keypoints']) for r in results if 'keypoints' in r}
    if len(counts) > 1:
        raise ValueError(
            f'the results of {path} have {sorted(counts)} numbers as '
            'keypoints: refine those of one kind of skeleton at a time')
    return results


def read_annotation_file(path: str) -> dict:
    """Read a COCO file that lists images, and check it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not list images in COCO's format.
    """
    content = read_json(path)
    needed = dict(images=('id', 'file_name'),
                  **{key: () for key in ('annotations', 'categories')
                     if isinstance(content, dict) and key in content})
    try:
        check_dataset(content, needed)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    return content


def of_category(annotations: dict, results: List[dict]) -> dict:
    """The annotations of the results' category, if the file lists several.

    Args:
        annotations: From :func:`read_annotation_file`.
        results: Checked results, of one category.
    """
    wanted = results[0].get('category_id') if results else None
    listed = annotations.get('categories', ())
    own = [c for c in listed if c.get('id') == wanted]
    if len(own) != 1:  # what there is will be refused by name
        return annotations
    others = [c.get('id') for c in listed if c.get('id') != wanted]
    return dict(annotations, categories=own, annotations=[
        ann for ann in annotations.get('annotations', ())
        if ann.get('category_id') not in others])


def with_masks(results: List[dict], masks: List[dict]) -> List[dict]:
    """Give keypoint results the masks of the same test.

    Args:
        results: Keypoint results, as ``CocoMetric`` writes them.
        masks: Results with ``image_id``, ``score`` and ``segmentation``, as
            :class:`PersonMaskMetric` writes them, each image's in the same
            order.

    Returns:
        New results with ``segmentation``.

    Raises:
        ValueError: If the two are not of the same test.
    """
    by_image = defaultdict(list)
    for mask in masks:
        by_image[mask['image_id']].append(mask)
    paired = []
    for result in results:
        left = by_image[result['image_id']]
        if not left or not np.isclose(left[0]['score'], result['score']):
            raise ValueError(
                f"image {result['image_id']}: no mask has the place and the "
                f"score {result['score']} of its keypoints: give the masks "
                'that the same test wrote')
        paired.append(dict(result, segmentation=left.pop(0)['segmentation']))
    over = {image: len(left) for image, left in by_image.items() if left}
    if over:
        image, number = next(iter(over.items()))
        raise ValueError(
            f'image {image}: {number} masks have no keypoints, and so in '
            f'{len(over)} images: give the masks that the same test wrote')
    return paired


def image_files(results: List[dict], img_dir: str,
                annotations: Optional[dict] = None) -> Dict[Any, Path]:
    """Find the images of results.

    Args:
        results: What :func:`read_result_file` returns.
        img_dir: Folder of the images.
        annotations: Content of a COCO file that lists them; without it, the
            results themselves must have ``file_name``.

    Returns:
        The file of each image id.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If an image is not listed, or under two names.
    """
    entries = (results if annotations is None
               else annotations.get('images', ()))
    key = 'image_id' if annotations is None else 'id'
    names: Dict[Any, str] = {}
    for entry in entries:
        name = entry.get('file_name')
        if name is not None and names.setdefault(entry[key], name) != name:
            raise ValueError(f'image {entry[key]} has two file names, '
                             f'{names[entry[key]]!r:.200} and {name!r:.200}: '
                             'give each image a different id')
    wanted = list(dict.fromkeys(result['image_id'] for result in results))
    unknown = [i for i in wanted if i not in names]
    if unknown and annotations is None:
        raise ValueError(
            f'the results of image {unknown[0]} have no file_name: name the '
            'annotation file of the tested images (--ann-file)')
    if unknown:
        raise ValueError(
            f'results of {len(unknown)} images that the annotation file does '
            f'not list ({", ".join(map(str, unknown[:5]))}): they belong to '
            'another data set; give the file of the tested images')
    files = {i: Path(img_dir) / names[i] for i in wanted}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f'image {path} does not exist: name the '
                                    'folder of the tested images')
    return files


def check_names(refiner: Refiner, results: List[dict],
                annotations: Optional[dict] = None) -> None:
    """Raise ValueError unless the refiner finds the results' keypoints."""
    if not results:
        return
    categories = (annotations or {}).get('categories', ())
    names = [keypoint_names(c) for c in categories if c.get('keypoints')]
    refiner.check_keypoints(
        len(results[0]['keypoints']) // 3,
        names=list(names[0]) if names else None,
        sigmas=_named_sigmas(names[0]) if names else None)


def scorer(refiner: Refiner, annotations: Optional[dict]
           ) -> Callable[[List[dict]], Dict[str, float]]:
    """Return a function that computes AP and AR of results.

    It returns nothing where the annotations have no keypoints.

    Raises:
        ValueError: If the annotations have keypoints and cannot be evaluated
            against.
    """
    if annotations is None or not any(
            'keypoints' in ann for ann in annotations.get('annotations', ())):
        return lambda results: {}
    # sigmas of the data set, which check_names has compared
    meta, categories = refiner.model.dataset_meta, annotations.get(
        'categories', [])
    if len(categories) == 1 and 'keypoints' not in categories[0]:
        names = [meta['keypoint_id2name'][k]
                 for k in range(meta['num_keypoints'])]
        annotations = dict(
            annotations, categories=[dict(categories[0], keypoints=names)])
    return partial(keypoint_metrics, read_truth(annotations, meta['sigmas']))


def _named_sigmas(names: Sequence[str]) -> Optional[List[float]]:
    """The sigmas of COCO's and CrowdPose's keypoints; of others, None."""
    try:
        return known_sigmas(names)
    except ValueError:
        return None


def check_places(results: List[dict],
                 annotations: Optional[dict] = None) -> None:
    """Raise ValueError if a box or a mask does not belong to its image.

    Of images whose size the annotations tell; :func:`refine_results` checks
    them all, but only as it comes to them.
    """
    sizes = {
        entry['id']: (entry['height'], entry['width'])
        for entry in (annotations or {}).get('images', ())
        if all(isinstance(entry.get(side), int) and entry[side] > 0
               for side in ('height', 'width'))
    }
    for i, result in enumerate(results):
        if result['image_id'] in sizes:
            check_place(result, i, *sizes[result['image_id']])


def refine_results(refiner: Refiner,
                   results: List[dict],
                   files: Dict[Any, Path],
                   fill: bool = True,
                   rescore: bool = False,
                   device: str = 'cpu') -> List[dict]:
    """Refine the persons of results.

    Args:
        refiner: The top-down model.
        results: What :func:`read_result_file` or :func:`with_masks` returns.
        files: What :func:`image_files` returns.
        fill: Fill missing keypoints (Refinement#2) or not (#1).
        rescore: Make the instance score the mean of the keypoint scores,
            missing ones counting 0, instead of leaving it.
        device: As PyTorch names it.

    Returns:
        New results in the same order; ``bbox`` is the extent of the found
        keypoints.

    Raises:
        ValueError: If a box or a mask does not belong to its image.
    """
    refined = list(results)
    places = defaultdict(list)
    for i, result in enumerate(results):
        places[result['image_id']].append(i)
    for image_id in track_iter_progress(list(places)):
        image = LoadCheckedImage()(dict(img_path=str(files[image_id])))['img']
        persons = [results[i] for i in places[image_id]]
        for i, person in zip(places[image_id], persons):
            check_place(person, i, *image.shape[:2])
        for i, person in zip(
                places[image_id],
                _refine_image(refiner, persons, image, fill, rescore, device)):
            refined[i] = person
    return refined


def _refine_image(refiner: Refiner, persons: List[dict], image: np.ndarray,
                  fill: bool, rescore: bool, device: str) -> List[dict]:
    """The refined results of one image."""
    points, scores, extents = person_arrays(persons)
    points, scores = refiner.refine(
        image, points, scores, [p.get('segmentation') for p in persons],
        extents, fill, device=device)
    boxes = keypoint_extents(points, scores)
    return [
        _changed(*one, rescore) for one in zip(persons, points, scores, boxes)
    ]


def _changed(person: dict, points: np.ndarray, scores: np.ndarray,
             box: np.ndarray, rescore: bool) -> dict:
    """A result with other keypoints."""
    changes = dict(
        keypoints=np.column_stack([points, scores]).ravel().tolist(),
        bbox=[*box[:2].tolist(), *(box[2:] - box[:2]).tolist()])
    if 'keypoint_scores' in person:
        changes['keypoint_scores'] = scores.tolist()
    if rescore:
        changes['score'] = float(scores.mean())
    return {**person, **changes}


def write_results(results: List[dict], path: str) -> None:
    """Write results as JSON; missing folders are made."""
    write_whole(json.dumps(results), path)

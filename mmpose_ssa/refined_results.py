"""COCO results of any model, refined by any top-down model of MMPose.

Results are what ``tools/predict.py`` or ``CocoMetric(outfile_prefix=...)``
writes: a list of persons with ``image_id``, ``score`` and ``keypoints``, x, y
and score of each of the K, score 0 where missing. A person's box is that of
its ``segmentation``, an RLE; where that is absent or empty, its ``bbox`` (x,
y, width, height); where that is absent too, the extent of its keypoints.
"""
import contextlib
import copy
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from mmengine.utils import track_iter_progress
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from .datasets import LoadCheckedImage
from .metrics import PERSON_ID
from .refinement import keypoint_extents
from .refiner import Refiner

# Figure -> its place in what COCOeval summarizes of keypoints
FIGURES = {'AP': 0, 'AP .5': 1, 'AP .75': 2, 'AP (M)': 3, 'AP (L)': 4, 'AR': 5}


def read_json(path: str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist: correct the path')
    try:
        return json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is not JSON ({error}): it is damaged or was '
                         'not written to the end') from error


def read_results(path: str, content: str = 'keypoints') -> List[dict]:
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
            'give what tools/predict.py or a metric with outfile_prefix '
            'wrote, not annotations')
    for i, result in enumerate(results):
        fault = _fault(result, {'image_id', 'score', content})
        if fault:
            raise ValueError(f'result {i} of {path} {fault}')
    counts = {len(r['keypoints']) for r in results if 'keypoints' in r}
    if len(counts) > 1:
        raise ValueError(
            f'the results of {path} have {sorted(counts)} numbers as '
            'keypoints: refine those of one kind of skeleton at a time')
    return results


def _fault(result: dict, needed: set) -> Optional[str]:
    """What is wrong with a result; None if nothing."""
    if not isinstance(result, dict):
        return f'is {result!r}: it must be a dict'
    if needed - result.keys():
        return f'must have {", ".join(sorted(needed - result.keys()))}'
    points, mask = result.get('keypoints', ()), result.get('segmentation')
    if len(points) % 3:
        return (f'has {len(points)} numbers as keypoints: they must be x, y '
                'and score of each')
    if not np.isfinite([*points, *result.get('bbox', ()),
                        result['score']]).all():
        return 'has a number that is not finite'
    if mask is not None and not (isinstance(mask, dict) and isinstance(
            mask.get('counts'), str) and 'size' in mask):
        return 'has a segmentation that is no compressed RLE'
    return None


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
        ValueError: If the two are not of one test.
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
    return paired


def image_files(results: List[dict], img_dir: str,
                annotations: Optional[dict] = None) -> Dict[Any, Path]:
    """Find the images of results.

    Args:
        results: What :func:`read_results` returns.
        img_dir: Folder of the images.
        annotations: Content of a COCO file that lists them; without it, the
            results themselves must have ``file_name``.

    Returns:
        The file of each image id.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If an image is not listed.
    """
    entries = (results if annotations is None
               else annotations.get('images', ()))
    key = 'image_id' if annotations is None else 'id'
    names = {e[key]: e['file_name'] for e in entries if 'file_name' in e}
    wanted = list(dict.fromkeys(result['image_id'] for result in results))
    unknown = [i for i in wanted if i not in names]
    if unknown and annotations is None:
        raise ValueError(
            f'the results of image {unknown[0]} have no file_name: name the '
            'annotation file of the tested images (--ann-file)')
    if unknown:
        raise ValueError(
            f'results of {len(unknown)} images that the annotation file does '
            f'not list ({", ".join(map(str, unknown[:5]))}): they are of '
            'another data set; name the file of the tested images')
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
    names = [c['keypoints'] for c in categories if 'keypoints' in c]
    refiner.check_keypoints(
        len(results[0]['keypoints']) // 3, names=names[0] if names else None)


def refine_results(refiner: Refiner,
                   results: List[dict],
                   files: Dict[Any, Path],
                   fill: bool = True,
                   rescore: bool = False,
                   device: str = 'cpu') -> List[dict]:
    """Look again at the persons of results.

    Args:
        refiner: The top-down model.
        results: What :func:`read_results` or :func:`with_masks` returns.
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
        for i, person in zip(
                places[image_id],
                _refine_image(refiner, persons, image, fill, rescore, device)):
            refined[i] = person
    return refined


def _refine_image(refiner: Refiner, persons: List[dict], image: np.ndarray,
                  fill: bool, rescore: bool, device: str) -> List[dict]:
    """The refined results of one image."""
    points = np.array([p['keypoints'] for p in persons], float)
    points, scores = np.split(points.reshape(len(persons), -1, 3), [2], -1)
    scores = scores[..., 0]
    extents = keypoint_extents(points, scores)
    for person, extent, found in zip(persons, extents, scores.any(axis=1)):
        if 'bbox' in person:
            x, y, w, h = person['bbox']
            extent[:] = x, y, x + w, y + h
        _check_place(person, extent, found, image.shape[:2])
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


def _check_place(person: dict, extent: np.ndarray, found: bool,
                 shape: tuple) -> None:
    """Raise ValueError unless a person has a place in its image."""
    (h, w), mask = shape, person.get('segmentation')
    name = f"a result of image {person['image_id']} ({w} x {h} pixels)"
    if not (found or mask or 'bbox' in person):
        raise ValueError(f'{name} has neither a keypoint of a score above 0 '
                         'nor a mask nor a bbox: leave it out')
    if mask and list(mask['size']) != [h, w]:
        raise ValueError(
            f'{name} has a mask of {mask["size"][1]} x {mask["size"][0]}: '
            'name the folder of the images that were tested')
    # A keypoint at the edge may lie a fraction of a cell outside
    (x0, y0, x1, y1), slack = extent, 0.05 * max(h, w)
    if not (x0 <= x1 and y0 <= y1 and -slack <= x1 and -slack <= y1
            and x0 <= w + slack and y0 <= h + slack):
        raise ValueError(
            f'{name} has the box {extent.round(1).tolist()} (x0, y0, x1, y1) '
            'outside the image: name the folder of the images that were '
            'tested, and write boxes as x, y, width, height')


def has_keypoints(annotations: dict) -> bool:
    """Whether keypoints can be evaluated on a COCO file's content."""
    return any('keypoints' in ann
               for ann in annotations.get('annotations', ()))


def keypoint_figures(ann_file: str, results: List[dict],
                     sigmas: np.ndarray) -> Dict[str, float]:
    """Evaluate keypoint results as COCO does.

    Args:
        ann_file: Annotations with keypoints; all its images count.
        results: Keypoint results of images that it lists.
        sigmas: (K,) the data set's keypoint sigmas.

    Returns:
        The figures of ``FIGURES`` by name.
    """
    wanted = ('image_id', 'keypoints', 'score', 'bbox')
    detections = [
        dict({key: copy.deepcopy(result[key]) for key in wanted
              if key in result}, category_id=PERSON_ID) for result in results
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(ann_file)
        evaluation = COCOeval(
            coco, coco.loadRes(detections), 'keypoints', np.asarray(sigmas),
            use_area=all('area' in ann for ann in coco.anns.values()))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[i]) for name, i in FIGURES.items()}

"""A data set of synthetic people in COCO's layout, to try SSA without COCO.

The other modules of this folder, in an order to read them:

- ``skeleton``: a small 3D skeleton with joint limits, posed and turned;
- ``hull``: convex hulls of circles filled with a texture, the only primitive;
- ``person``: a skeleton, dressed and painted part by part;
- ``background``: clutter;
- ``annotation``: masks to polygons, and how they differ from COCO's;
- ``scene``: people in front of people, and what hides them.

Only :func:`write_dataset` writes files.
"""
import json
import multiprocessing
import os
import re
from pathlib import Path
from typing import (Any, Callable, Dict, Iterable, List, NamedTuple, Optional,
                    Union)

import cv2

from .annotation import overlapping
from .scene import check_scene, check_whole, draw_scene
from .skeleton import KEYPOINT_NAMES

VERSION = 1  # increase it when the same seed gives other bytes
SPLITS = ('train', 'val')
IMAGE_NAME = re.compile(r'[0-9]{12}\.jpg')  # of every image written here
# The limbs of COCO's category, as pairs of keypoints counted from 1.
SKELETON = ((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12),
            (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11), (2, 3),
            (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7))

Progress = Optional[Callable[[int, int], None]]


class _Job(NamedTuple):
    """An image to make; it can be sent to another process."""
    root: Path
    split: str
    place: int  # within the split
    seed: int  # of the data set
    options: dict  # of `draw_scene`


class _Record(NamedTuple):
    """An image's entries in the annotation file."""
    image: dict
    annotations: List[dict]
    overlapping: int  # persons


def write_dataset(root: Union[str, Path], train: int = 2000, val: int = 200,
                  size: int = 320, seed: int = 0, workers: int = 2,
                  progress: Progress = None, max_people: int = 5,
                  min_height: float = .25, min_people: int = 0) -> dict:
    """Write a data set of synthetic people in COCO's layout.

    It consists of ``root/annotations/person_keypoints_{train,val}2017.json``
    and ``root/{train,val}2017/*.jpg``. The same arguments give the same bytes,
    whatever the number of workers; asking for more images does not change the
    first ones. A complete split with the same settings is kept; otherwise a
    split that this function wrote is replaced.

    Args:
        root: Folder, made if missing.
        train: Number of training images.
        val: Number of validation images.
        size: Width and height of the images [px].
        seed: Whole number >= 0.
        workers: Number of processes; 1 uses this one.
        progress: Called as ``progress(done, total)`` after each image.
        max_people: As in :func:`draw_scene`.
        min_height: As in :func:`draw_scene`.
        min_people: As in :func:`draw_scene`.

    Returns:
        dict: The numbers of ``images``, ``persons``, ``overlapping`` persons
        and ``new`` images, which this call made.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``root`` holds other annotations.
    """
    counts = dict(train=train, val=val)
    for name, value, low in (('train', train, 0), ('val', val, 0),
                             ('seed', seed, 0), ('workers', workers, 1)):
        check_whole(name, value, low)
    options = dict(size=size, max_people=max_people, min_height=min_height)
    if min_people:  # files made before it was there are kept
        options.update(min_people=min_people)
    check_scene(size, max_people, min_height, min_people)
    root = Path(root)
    plans = {split: dict(version=VERSION, seed=seed, **options,
                         images=counts[split]) for split in SPLITS}
    tallies: Dict[str, Any] = {
        split: _finished(root, split, plans[split]) for split in SPLITS}
    todo = [split for split in SPLITS if tallies[split] is None]
    for split in todo:
        _clear(root, split)
    jobs = [_Job(root, split, place, seed, options)
            for split in todo for place in range(counts[split])]
    records = _run(jobs, workers, progress)
    for split in todo:
        mine = [record for record, job in zip(records, jobs)
                if job.split == split]
        tallies[split] = _write_annotations(root, split, plans[split], mine)
    return dict(images=train + val, new=len(jobs), **{
        key: sum(tally[key] for tally in tallies.values())
        for key in ('persons', 'overlapping')})


# --- existing files ---------------------------------------------------------


def _annotation_path(root: Path, split: str) -> Path:
    return root / 'annotations' / f'person_keypoints_{split}2017.json'


def _finished(root: Path, split: str, plan: dict) -> Optional[dict]:
    """The tally of a complete split with this plan, else None."""
    path = _annotation_path(root, split)
    if not path.is_file():
        return None
    content = _read_own(path)
    info, folder = content['info'], root / f'{split}2017'
    complete = all((folder / image['file_name']).is_file()
                   for image in content['images'])
    return info['tally'] if complete and info['synthetic'] == plan else None


def _read_own(path: Path) -> dict:
    """The content of an annotation file that this module wrote."""
    try:
        content = json.loads(path.read_bytes())
        content['info']['synthetic'], content['info']['tally']
        for image in content['images']:  # they may be removed
            if not IMAGE_NAME.fullmatch(image['file_name']):
                raise ValueError(f"{image['file_name']!r:.100} is not ours")
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise FileExistsError(
            f'{path} exists and is not of a synthetic data set: choose '
            'another folder, or delete that file') from error
    return content


def _clear(root: Path, split: str) -> None:
    """Make folders; remove the images of other settings."""
    folder = root / f'{split}2017'
    folder.mkdir(parents=True, exist_ok=True)
    path = _annotation_path(root, split)
    path.parent.mkdir(exist_ok=True)
    if path.is_file():
        images = _read_own(path)['images']
        if folder.is_symlink():
            raise FileExistsError(
                f'{folder} is a link, and no image is removed through one: '
                'choose another folder, or delete the link')
        path.unlink()  # first: images without annotations are never kept
        for image in images:
            old = folder / image['file_name']
            if old.is_file() and not old.is_symlink():
                old.unlink()


# --- images -----------------------------------------------------------------


def _run(jobs: List[_Job], workers: int, progress: Progress) -> List[_Record]:
    """Do all jobs; return their records in the same order."""
    if workers == 1 or len(jobs) < 2:
        return _collect(map(_draw_image, jobs), len(jobs), progress)
    # A forked child that changes OpenCV's number of threads waits forever for
    # threads that only the parent has. So the parent ends them first.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with multiprocessing.get_context().Pool(
                workers, cv2.setNumThreads, (1, )) as pool:
            return _collect(pool.imap(_draw_image, jobs, chunksize=4),
                            len(jobs), progress)
    finally:
        cv2.setNumThreads(threads)


def _collect(records: Iterable[_Record], total: int,
             progress: Progress) -> List[_Record]:
    """The list of all records; reports each as it arrives."""
    collected = []
    for record in records:
        collected.append(record)
        if progress is not None:
            progress(len(collected), total)
    return collected


def _draw_image(job: _Job) -> _Record:
    """Draw and save one image, in this or another process."""
    number = SPLITS.index(job.split)
    scene = draw_scene((job.seed, number, job.place), **job.options)
    # Larger than COCO's ids, so that no file of COCO is ever overwritten
    image_id = 10_000_000 * (number + 1) + job.place
    name = f'{image_id:012d}.jpg'
    ok, data = cv2.imencode('.jpg', scene.image,
                            [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise RuntimeError(f'OpenCV could not encode image {name}')
    write_atomically(job.root / f'{job.split}2017' / name, data.tobytes())
    height, width = scene.image.shape[:2]
    image = dict(id=image_id, file_name=name, width=width, height=height,
                 license=1)
    annotations = [dict(annotation, image_id=image_id, id=image_id * 100 + i)
                   for i, annotation in enumerate(scene.annotations, 1)]
    return _Record(image, annotations,
                   int(overlapping(scene.silhouettes).sum()))


# --- annotations ------------------------------------------------------------


def _write_annotations(root: Path, split: str, plan: dict,
                       records: List[_Record]) -> dict:
    """Write the annotation file of a split; return its tally."""
    annotations = [annotation for record in records
                   for annotation in record.annotations]
    tally = dict(persons=sum(not a['iscrowd'] for a in annotations),
                 overlapping=sum(record.overlapping for record in records))
    category = dict(id=1, name='person', supercategory='person',
                    keypoints=KEYPOINT_NAMES, skeleton=SKELETON)
    content = dict(
        info=dict(description='Synthetic people', version=str(VERSION),
                  year=2017, synthetic=plan, tally=tally),
        licenses=[dict(id=1, name='Apache License 2.0', url='')],
        images=[record.image for record in records], annotations=annotations,
        categories=[category])
    write_atomically(_annotation_path(root, split),
                      json.dumps(content).encode())
    return tally


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    part = path.with_name(path.name + '.part')
    part.unlink(missing_ok=True)  # it could be a link to another file
    part.write_bytes(data)
    os.replace(part, path)

"""What is wrong with data before a training reads it, all in one report."""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

import os
from collections import defaultdict
from pathlib import Path
from typing import (Callable, Dict, Iterable, Iterator, List, NamedTuple,
                    Optional, Tuple, Union)

import numpy as np
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

from ..annotations.checks import Checked, Rules
from ..annotations.findings import Finding
from ..annotations.reading import read_json
from ..annotations.survey import choose, survey
from ..annotations.suspicions import suspect_persons
from ..annotations.suspicious_files import (side_pairs, suspect_file,
                                            suspect_names)
from ..datasets.coco import CheckedCocoDataset, keypoint_order
from ..datasets.image_files import File, check_files, file_findings
from ..datasets.loading import ImageFault, LoadCheckedImage
from ..datasets.transforms import GeneratePersonMasks
from ..engine.config import leaf_datasets
from ..engine.loading import read_config
from .results import counted
from .visualizer import Skeleton

TRIED = 4  # images that the pipeline is tried on
LEVELS = ('refused', 'suspect', 'note')
RGB = ([255, 128, 0], [0, 255, 0], [51, 153, 255])  # right, left, middle


class DataReport(NamedTuple):
    """What was found of an annotation file and its images.

    Attributes:
        ann_file: The file.
        folder: Of the images.
        summary: How much there is of what.
        found: What was found of file and images.
        dataset: The persons that can be read; empty if there are none.
        skeleton: How they are drawn.
        trial: Of the config's pipeline, if one was given and its data set
            reads the file.
    """
    ann_file: str
    folder: str
    summary: str
    found: List[Finding]
    dataset: dict
    skeleton: Skeleton
    trial: Optional['Trial'] = None

    @property
    def findings(self) -> List[Finding]:
        """All that was found until now, the worst first."""
        tried = self.trial.findings() if self.trial else []
        return sorted(tried + self.found, key=lambda f: LEVELS.index(f.level))

    @property
    def is_refused(self) -> bool:
        """Whether a training would stop."""
        return any(f.level == 'refused' for f in self.findings)


class Trial:
    """Runs a training pipeline on single images, but for the packing.

    Args:
        dataset: Of a training, whose file is as it should be.
    """

    def __init__(self, dataset: CheckedCocoDataset) -> None:
        dataset.full_init()
        self.dataset = dataset
        self.places = {dataset.get_data_info(i)['img_id']: i
                       for i in range(len(dataset))}
        self.refused: Dict[str, List[dict]] = {}  # images by error

    def run(self, image: dict) -> Optional[dict]:
        """What the pipeline makes of an image, or None.

        Args:
            image: Its entry in the annotation file.
        """
        if image['id'] not in self.places:
            return None
        results = self.dataset.get_data_info(self.places[image['id']])
        try:
            for step in self.dataset.pipeline.transforms:
                if type(step).__name__ != 'PackPoseInputs':
                    results = step(results)
        except (OSError, ImageFault):  # faults of files are reported already
            return None
        except Exception as error:  # steps of other projects raise anything
            said = str(error) if isinstance(error, ValueError) else repr(error)
            of_error = self.refused.setdefault(said, [])
            if image not in of_error:
                of_error.append(image)
            return None
        return results

    def findings(self) -> List[Finding]:
        """What it refused until now."""
        return [
            Finding('refused', 'image_pipeline', 'the pipeline of the config '
                    f'refuses {len(images)} of the images it was tried on',
                    f"{images[0]['file_name']}", error,
                    [image['id'] for image in images])
            for error, images in self.refused.items()]


def check_data(ann_file: Union[str, Path],
               folder: Union[str, Path],
               config: Union[str, Path, None] = None,
               person: Union[str, int, None] = None,
               workers: int = 1,
               progress: Callable[[Iterable, int], Iterable] = lambda x, n: x
               ) -> DataReport:
    """Check an annotation file and its images as training data.

    Args:
        ann_file: In COCO's format.
        folder: To which each image's ``file_name`` is relative.
        config: Config whose training data set determines what is needed:
            category, keypoints, masks. None: what SSA's own configs need,
            with the keypoints that the file's category names.
        person: Name or id of the category. None: the config's, otherwise
            'person' or the only one.
        workers: Threads that load images.
        progress: Wraps an iterable of a known length, to show the progress.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the file is not JSON, or the config has no data set of
            this project.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'{folder} is not a folder: give that of the '
                                'images')
    content = read_json(ann_file)
    training = None if config is None else _training_data(
        config, ann_file, folder, person)
    rules = _own_rules(content, person) if training is None else \
        training.rules()
    checked, found = survey(content, str(ann_file), rules)
    is_read = not any(f.level == 'refused' for f in found)
    if checked:
        found += [f for f in _suspicions(checked, rules, training)
                  # where people were refused they are only out of sight
                  if is_read or f.kind != 'image_empty']
        found += _file_faults(checked.dataset, str(folder), training, workers,
                              progress)
    dataset = checked.dataset if checked else {}
    category = checked.person if checked else {}
    trial = None
    if training is not None and is_read:
        try:
            trial = _tried(training, dataset['images'])
        except ValueError as error:  # of a file without a valid person
            found.append(Finding('refused', 'nobody', 'the data set of the '
                                 'config refuses the file', '', str(error)))
    skeleton = _skeleton(category, rules.num_keypoints or 0) \
        if training is None else Skeleton.from_meta(training.metainfo)
    return DataReport(str(ann_file), str(folder),
                      _summary(content, dataset, category, rules), found,
                      dataset, skeleton, trial)


def _own_rules(content: dict, person: Union[str, int, None]) -> Rules:
    """What SSA's own configs need of training data."""
    choice = choose(content, person)
    return Rules(
        choice.num_keypoints, choice.person,
        ('bbox', 'keypoints', 'segmentation'), masks=True, files=True,
        without_masks='give the --config of a model that needs none, see the '
        'guide to your own data')


def _tried(training: CheckedCocoDataset, images: List[dict]) -> Trial:
    """The pipeline, tried on the first images with people."""
    trial = Trial(training)
    with_people = [image for image in images if image['id'] in trial.places]
    for image in with_people[:TRIED]:
        trial.run(image)
    return trial


def _training_data(config: Union[str, Path], ann_file: Union[str, Path],
                   folder: Union[str, Path],
                   person: Union[str, int, None]) -> CheckedCocoDataset:
    """The training data set of a config, upon this file; nothing is read."""
    cfg = read_config(str(config))
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    leaves = leaf_datasets(cfg.train_dataloader.dataset)
    name = Path(ann_file).name
    same = [leaf for leaf in leaves if Path(leaf.ann_file).name == name]
    chosen = dict((same or leaves)[0])
    if person is not None:
        chosen['person'] = person
    for key in ('indices', 'sample_interval', 'every_nth_image'):
        chosen.pop(key, None)
    chosen.update(
        ann_file=os.path.abspath(ann_file), data_root='', lazy_init=True,
        data_prefix=dict(img=os.path.abspath(folder)), test_mode=False)
    dataset = DATASETS.build(chosen)
    if not isinstance(dataset, CheckedCocoDataset):
        raise ValueError(
            f'{config} trains on a {chosen["type"]}: give a config that '
            'trains on CheckedCocoDataset, which has the rules')
    return dataset


def _step(training: Optional[CheckedCocoDataset], kind: type):
    """The training pipeline's step of a kind, or None."""
    steps = training.pipeline.transforms if training is not None else []
    return next((step for step in steps if isinstance(step, kind)), None)


def _suspicions(checked: Checked, rules: Rules,
                training: Optional[CheckedCocoDataset]) -> List[Finding]:
    """What is suspected of the annotations."""
    dataset, person = checked.dataset, checked.person
    count = rules.num_keypoints or 0
    if training is None:
        names, min_area = _names(person, count), 32.**2
        found = _other_name(person) + suspect_names(person, count)
    else:
        meta = training.metainfo
        names = keypoint_order(meta)
        found = suspect_names(person, count, names, meta['flip_pairs'])
        drawn = _step(training, GeneratePersonMasks)
        min_area = drawn.min_area if drawn else 0.
    found += suspect_persons(dataset, rules.reads_masks)
    return found + suspect_file(dataset, names, min_area=min_area)


def _names(person: dict, count: int) -> List[str]:
    given = person.get('keypoints')
    if isinstance(given, list) and len(given) == count:
        return [str(name) for name in given]
    return [str(k) for k in range(count)]


def _file_faults(dataset: dict, folder: str,
                 training: Optional[CheckedCocoDataset], workers: int,
                 progress: Callable[[Iterable, int], Iterable]
                 ) -> List[Finding]:
    """What is found of the images' files."""
    images = dataset['images']
    files: List[File] = list(progress(
        check_files(images, folder, _step(training, LoadCheckedImage),
                    workers), len(images)))
    return file_findings(files, folder)


def _other_name(person: dict) -> List[Finding]:
    """That a config has to name the category."""
    name = person.get('name')
    if not person or str(name).lower() == 'person':
        return []
    return [Finding('note', 'person', 'persons are those of the category '
                    f'{name!r:.60}', f"id {person['id']}",
                    f'set person={name!r:.60} of the data sets in the config')]


def _summary(content: dict, dataset: dict, person: dict,
             rules: Rules) -> str:
    annotations = dataset.get('annotations', [])
    labelled = sum(bool(a.get('num_keypoints')) for a in annotations)
    crowds = sum(a['iscrowd'] for a in annotations)
    name = f'category {rules.person!r}'
    if person:
        name = f"{person.get('name')!r:.60}"
    return (f"{counted(len(dataset.get('images', [])), 'image')}, "
            f"{counted(len(annotations), 'annotation')} of {name} "
            f"({labelled} with keypoints, {counted(crowds, 'crowd')}), "
            f'{rules.num_keypoints} keypoints each')


def _skeleton(person: dict, count: int) -> Skeleton:
    """Of the category, which counts keypoints from 1."""
    names = _names(person, count)
    pairs = side_pairs(names)
    side = {right: 0 for _, right in pairs} | {left: 1 for left, _ in pairs}
    given = person.get('skeleton')
    links = [(a - 1, b - 1) for a, b in _links(given)
             if 0 < a <= count and 0 < b <= count]
    colors = np.array([RGB[side.get(k, 2)] for k in range(count)])
    ends = [min(link, key=lambda k: side.get(k, 2)) for link in links]
    return Skeleton(names, links, colors.reshape(-1, 3),
                    colors[ends].reshape(-1, 3) if links
                    else np.zeros((0, 3), int))


def _links(given: object) -> List[Tuple[int, int]]:
    """Those of a skeleton that are two whole numbers."""
    if not isinstance(given, list):
        return []
    return [(link[0], link[1]) for link in given
            if isinstance(link, list) and len(link) == 2
            and all(type(k) is int for k in link)]


def concerned(report: DataReport) -> Dict[int, List[Tuple[Finding, object]]]:
    """Which findings concern an image, and which annotation of it.

    Returns:
        By image id; None stands for the image itself.
    """
    by_image: Dict[int, List[Tuple[Finding, object]]] = defaultdict(list)
    for finding, image, annotation in places(report):
        by_image[image].append((finding, annotation))
    return by_image


def places(report: DataReport
           ) -> Iterator[Tuple[Finding, int, Optional[int]]]:
    """Each finding with the ids of an image and an annotation, or None, that
    it is of; as far as these can be read."""
    images = {image['id'] for image in report.dataset.get('images', ())}
    of_annotation = {ann['id']: ann['image_id']
                     for ann in report.dataset.get('annotations', ())}
    for finding in report.findings:
        # of what is refused, ids may be anything
        ids = [i for i in finding.ids if isinstance(i, (int, float))]
        if finding.kind.startswith('image'):
            yield from ((finding, i, None) for i in ids if i in images)
        else:
            yield from ((finding, of_annotation[i], i) for i in ids
                        if i in of_annotation)

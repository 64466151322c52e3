"""Images per second that one core makes ready for training.

The training pipeline of ``configs/ssa/ssa_r101_640.py``, with person masks,
beside MMPose's own without any, and beside that one with masks made as one
would at first: decoded at the image's size and warped, person by person.
"""
import contextlib
import random
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import DATASETS

from mmpose_ssa.synthetic.dataset import write_dataset

from .report import Table
from .stopwatch import Times, alternate, now

CONFIG = Path(__file__).parents[2] / 'configs/ssa/ssa_r101_640.py'
INPUT, HEATMAP = (640, 640), (160, 160)
# 560 x 560 has as many pixels as COCO's usual 640 x 490
SCENE_SIZE, SCENES, CROWDED = 560, 40, 20
BATCH, WORKERS = 16, 2

OURS, STOCK, NAIVE, BARE = ('this pipeline', "MMPose's, no masks",
                            "MMPose's, naive masks", 'OpenCV alone')
ROWS = dict(
    get_data_info='annotations',
    SeedAugmentation='seed',
    LoadCheckedImage='decode', LoadImage='decode',
    SSARandomAffine='warp', BottomupRandomAffine='warp',
    SSARandomFlip='flip', RandomFlip='flip',
    GeneratePersonMasks='masks', BottomupGetHeatmapMask='masks',
    FullSizeMasks='masks',
    GenerateTarget='targets',
    PackPoseInputs='pack')


class Sample(NamedTuple):
    """An image of the data set, augmented in the same way each time."""
    image: int
    draw: int


class FullSizeMasks(BaseTransform):
    """Masks as one would make them at first: what is compared with."""

    def transform(self, results: dict) -> dict:
        """Add ``instance_masks``, (N, H/4, W/4) uint8."""
        h, w = results['ori_shape']
        masks = []
        for annotation in results['raw_ann_info']:
            rle = coco_mask.frPyObjects(annotation['segmentation'], h, w)
            if isinstance(rle, list):
                rle = coco_mask.merge(rle)
            mask = cv2.warpAffine(
                coco_mask.decode(rle), results['warp_mat'], INPUT)
            if results['flip']:
                mask = cv2.flip(mask, 1)
            masks.append(cv2.resize(mask, HEATMAP))
        fields = results.get('field_mapping_table',
                             PackPoseInputs.field_mapping_table)
        return dict(
            results,
            instance_masks=np.reshape(masks, (-1, *HEATMAP[::-1])),
            field_mapping_table=dict(fields, instance_masks='instance_masks'))


class Reader:
    """Makes one sample ready at each call and takes the time of each step.

    Args:
        steps: Name and function of each, called with what the last returned,
            the first with the sample.
        samples: Taken in turn.

    Attributes:
        times: Seconds by sample and step, a number for each call. Steps of
            one name are added up.
    """

    def __init__(self, steps: List[Tuple[str, Callable]],
                 samples: List[Sample]) -> None:
        self.steps, self.samples = steps, samples
        self.times: Dict[Sample, Times] = {sample: {} for sample in samples}
        self.calls = 0

    def __call__(self) -> object:
        value = sample = self.samples[self.calls % len(self.samples)]
        self.calls += 1
        np.random.seed(sample.draw)
        random.seed(sample.draw)
        spent: Dict[str, float] = {}
        for name, step in self.steps:
            begin = now()
            value = step(value)
            spent[name] = spent.get(name, 0.) + now() - begin
        for name, seconds in spent.items():
            self.times[sample].setdefault(name, []).append(seconds)
        return value

    def milliseconds(self) -> Dict[str, float]:
        """By step: the median of a sample's calls, mean over samples."""
        names = dict.fromkeys(name for name, _ in self.steps)
        return {name: 1000 * mean(median(times[name])
                                  for times in self.times.values())
                for name in names}


def measure(quick: bool, data_root: Optional[str] = None) -> List[Table]:
    """The tables of this section.

    Args:
        quick: Few images, and few repeats of them.
        data_root: Folder in COCO's layout, whose ``train2017`` is read.
            Synthetic scenes by default.
    """
    with _single_threaded(), _folder(data_root, quick) as folder:
        datasets = {name: _dataset(folder, pipeline)
                    for name, pipeline in _pipelines().items()}
        images = crowded(datasets[OURS], 2 if quick else CROWDED)
        persons = mean(len(datasets[OURS].get_data_info(i)['keypoints'])
                       for i in images)
        source = (f'the {len(images)} images with most persons of '
                  f'{"synthetic scenes" if data_root is None else data_root}, '
                  f'{persons:.1f} each')
        spent = _spent(datasets, images, quick)
        return [_rates(spent, source), _steps(spent),
                _loaders(datasets, images, spent, quick)]


def crowded(dataset, number: int) -> List[int]:
    """Indices of the images with most persons, the most crowded first."""
    persons = [len(dataset.get_data_info(i)['keypoints'])
               for i in range(len(dataset))]
    order = sorted(range(len(persons)), key=lambda i: -persons[i])
    return order[:number]


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """One thread of OpenCV and PyTorch, as in a worker of a data loader."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


@contextlib.contextmanager
def _folder(data_root: Optional[str], quick: bool) -> Iterator[str]:
    """The data: the given folder, or synthetic scenes in a temporary one."""
    if data_root is not None:
        yield data_root
        return
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, train=6 if quick else SCENES, val=0,
                      size=SCENE_SIZE, workers=1)
        yield folder


def _pipelines() -> Dict[str, list]:
    """What is compared; MMPose's have its bottom-up configs' steps."""
    stock = [
        dict(type='LoadImage'),
        dict(type='BottomupRandomAffine', input_size=INPUT),
        dict(type='RandomFlip', direction='horizontal'),
        dict(type='GenerateTarget', encoder=dict(
            type='AssociativeEmbedding', input_size=INPUT,
            heatmap_size=HEATMAP, sigma=2)),
        dict(type='BottomupGetHeatmapMask'),
        dict(type='PackPoseInputs'),
    ]
    return {
        OURS: Config.fromfile(CONFIG).train_pipeline,
        STOCK: stock,
        NAIVE: [*stock[:-1], FullSizeMasks(), stock[-1]]}


def _dataset(folder: str, pipeline: list):
    init_default_scope('mmpose')
    return DATASETS.build(dict(
        type='CheckedCocoDataset', data_mode='bottomup', data_root=folder,
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'), pipeline=pipeline))


def _spent(datasets: dict, images: List[int],
           quick: bool) -> Dict[str, Dict[str, float]]:
    """Milliseconds by pipeline and step."""
    draws, repeats = (1, 2) if quick else (4, 5)
    samples = [Sample(i, draw) for draw in range(draws) for i in images]
    readers = {name: Reader(_named_steps(dataset), samples)
               for name, dataset in datasets.items()}
    readers[BARE] = _bare(datasets[OURS], samples)
    alternate(readers, repeats * len(samples), warm_up=0,
              label='training pipelines')
    return {name: reader.milliseconds() for name, reader in readers.items()}


def _named_steps(dataset) -> List[Tuple[str, Callable]]:
    def read(sample: Sample) -> dict:
        return dataset.get_data_info(sample.image)

    return [(ROWS['get_data_info'], read), *(
        (ROWS[type(step).__name__], step)
        for step in dataset.pipeline.transforms)]


def _bare(dataset, samples: List[Sample]) -> Reader:
    """Nothing but decoding and one warp, of the same images."""
    load, affine = (
        next(step for step in dataset.pipeline.transforms
             if ROWS[type(step).__name__] == row)
        for row in ('decode', 'warp'))
    files, matrices = {}, {}
    for sample in samples:
        info = dataset.get_data_info(sample.image)
        files[sample.image] = np.fromfile(info['img_path'], np.uint8)
        np.random.seed(sample.draw)
        matrices[sample] = affine(load(info))['warp_mat']

    def decode(sample: Sample) -> tuple:
        return cv2.imdecode(files[sample.image], cv2.IMREAD_COLOR), sample

    def warp(decoded: tuple) -> np.ndarray:
        return cv2.warpAffine(decoded[0], matrices[decoded[1]], INPUT)

    return Reader([('decode', decode), ('warp', warp)], samples)


def _rates(spent: Dict[str, Dict[str, float]], source: str) -> Table:
    total = {name: sum(steps.values()) for name, steps in spent.items()}
    return Table(
        'Images per second of one core, ready for training',
        f'640x640, {source}; one thread. "{BARE}" decodes the image and '
        'warps it once, and no more.',
        ['', 'images/s', 'ms per image', "times MMPose's rate"],
        [[name, 1000 / ms, ms, total[STOCK] / ms]
         for name, ms in total.items()])


def _steps(spent: Dict[str, Dict[str, float]]) -> Table:
    rows = dict.fromkeys(ROWS.values())
    return Table(
        'Milliseconds per image and step',
        'From the same calls; "masks" are those of the persons and of the '
        'valid region.',
        ['', *spent],
        [[row, *(steps.get(row) for steps in spent.values())]
         for row in rows])


def _loaders(datasets: dict, images: List[int],
             spent: Dict[str, Dict[str, float]], quick: bool) -> Table:
    """What arrives from a data loader's workers."""
    batch, batches, repeats = (2, 2, 1) if quick else (BATCH, 12, 5)
    turns = -(-batch * batches // len(images))
    order = (images * turns)[:batch * batches]

    def epoch(dataset) -> Callable[[], int]:
        loader = torch.utils.data.DataLoader(
            dataset, batch, sampler=order, num_workers=WORKERS,
            collate_fn=pseudo_collate, persistent_workers=True)
        return lambda: sum(1 for _ in loader)

    names = OURS, STOCK
    times = alternate({name: epoch(datasets[name]) for name in names},
                      repeats, label='data loaders')
    return Table(
        f'Images per second from {WORKERS} workers',
        f'A PyTorch data loader at batch {batch}: the rate above which a '
        'GPU would wait. A sample goes through shared memory to the process '
        'that trains.',
        ['', 'images/s', f'{WORKERS} times one core'],
        [[name, len(order) / median(times[name]),
          WORKERS * 1000 / sum(spent[name].values())] for name in names])

"""Where the time goes: from a file to masks, and grouping beside MMPose's.

Networks see no crowds without training: what is decoded is made up, see
``crowd.py``. Times of all stages but loading and resizing are of real calls
with such outputs, the forward's of random weights.
"""
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmpose.codecs import AssociativeEmbedding
from mmpose.registry import MODELS, TRANSFORMS

from ..codec import COCO_ORDER, AttentionGrouping
from ..drawn_scene import draw_scene
from ..frames import content_box, input_from_image
from ..merging import merge_persons
from ..person_masks import encode_rle, image_masks
from .crowd import Crowd, make_crowd
from .report import Table
from .stopwatch import Times, alternate, ratio

CONFIGS = Path(__file__).parents[2] / 'configs'
IMAGE = (640, 480)  # pixels of the original image
TAG_STEP = 10  # between persons: far beyond the threshold of 1
Functions = Dict[str, Callable[[], object]]


def measure(quick: bool) -> List[Table]:
    """The stages of the forward, of everything else, and grouping alone.

    Args:
        quick: A small model, few persons and repeats.
    """
    config = Config.fromfile(
        CONFIGS / f'{"demo/ssa_demo" if quick else "ssa/ssa_r101_640"}.py')
    sides = (320, ) if quick else (640, 800, 1024)
    crowds = (1, 3) if quick else (1, 5, 15, 30, 60)
    repeats = 2 if quick else 7
    forwards = {side: forward_times(config, side, repeats) for side in sides}
    return [
        forward_table(forwards),
        stages_table(config, forwards, crowds, repeats),
        grouping_table((3, ) if quick else (30, 60), 2 if quick else 15)]


def forward_times(config: Config, side: int, repeats: int) -> Times:
    """Seconds of backbone, encoder, head and all of them for one image."""
    model = MODELS.build(config.model).eval()
    image = torch.rand(1, 3, side, side).contiguous(
        memory_format=model.memory_format)
    with torch.no_grad():
        feats = model.backbone(image)
        encoded = model.neck(feats)
        return alternate({
            'backbone': partial(model.backbone, image),
            'encoder': partial(model.neck, feats),
            'head': partial(model.head.forward, encoded),
            'forward': lambda: model.head.forward(model.extract_feat(image)),
        }, repeats, label=f'forward at {side}')


def forward_table(forwards: Dict[int, Times]) -> Table:
    """The parts of the forward, by input size."""
    names = list(next(iter(forwards.values())))
    return Table(
        'The forward', 'Milliseconds for one image, random weights.',
        ['Input', *names],
        [[f'{side}²', *milliseconds(times)]
         for side, times in forwards.items()])


def milliseconds(times: Times) -> List[float]:
    """Medians."""
    return [1000 * median(seconds) for seconds in times.values()]


# --- stages -----------------------------------------------------------------


def stages_table(config: Config, forwards: Dict[int, Times],
                 crowds: Sequence[int], repeats: int) -> Table:
    """All stages beside the forward.

    Args:
        config: Of the model.
        forwards: What :func:`forward_times` says, by input side.
        crowds: Numbers of persons.
        repeats: Rounds.
    """
    rows = []
    for side, forward in forwards.items():
        for number in crowds:
            times = stage_times(config, side, number, repeats)
            share = median(times['after']) / median(forward['forward'])
            rows.append([f'{side}², {number}', *milliseconds(times),
                         100 * share])
    return Table(
        'Everything but the forward',
        f'Milliseconds for one image of {IMAGE[0]} x {IMAGE[1]} pixels that '
        'fits into the input, by input and persons. "after" is all from '
        '"peaks" on in one call, at most '
        f'{codec_of(config, 64).max_persons} persons as the codec has it; '
        'the last column is its share of the forward, in %.',
        ['Input, persons', *times, '% of forward'], rows)


def stage_times(config: Config, side: int, number: int,
                repeats: int) -> Times:
    """Seconds of each stage for one image of so many persons."""
    codec = codec_of(config, side)
    crowd = make_crowd(codec, number, share=IMAGE[1] / IMAGE[0])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'drawn.jpg'
        scene = draw_scene(0, max(IMAGE)).image[:IMAGE[1]]
        cv2.imwrite(str(file), scene)
        before, metainfo = reading(config, file, side)
        return alternate({**before, **decoding(codec, crowd, metainfo)},
                         repeats, label=f'{number} persons at {side}')


def codec_of(config: Config, side: int) -> AttentionGrouping:
    """A config's codec for a squared input."""
    options = {k: v for k, v in config.codec.items() if k != 'type'}
    stride = options['input_size'][0] // options['heatmap_size'][0]
    options.update(input_size=(side, side),
                   heatmap_size=(side // stride, side // stride))
    return AttentionGrouping(**options)


def reading(config: Config, file: Path, side: int) -> Tuple[Functions, dict]:
    """The stages before the forward, and what they say of the image."""
    load = TRANSFORMS.build(dict(type='LoadCheckedImage'))
    resize = TRANSFORMS.build(
        dict(type='SSAResize', input_size=(side, side), resize_mode='fit',
             size_factor=config.codec.token_stride))
    loaded = load(dict(img_path=str(file)))
    return {
        'load': lambda: load(dict(img_path=str(file))),
        'resize': lambda: resize(dict(loaded)),
    }, resize(dict(loaded))


def decoding(codec: AttentionGrouping, crowd: Crowd,
             metainfo: dict) -> Functions:
    """The stages after the forward, each with what the last one gave."""
    heatmaps, attention = crowd.heatmaps, crowd.attention
    content = content_box(metainfo)
    place = (metainfo['ori_shape'], *input_from_image(metainfo),
             codec.token_stride, codec.mask_threshold, codec.mask_mode)
    found = codec.candidates(heatmaps, content)
    tokens = codec.tokens(found.cells * codec.heatmap_stride, attention.grid)
    rows = attention.rows(0, torch.from_numpy(tokens)).numpy()
    grouped = codec.group(found.types, found.scores, rows[:, tokens])
    maps = codec.decode(heatmaps, attention, 0, content).maps
    masks = image_masks(maps, *place)
    return {
        'peaks': lambda: codec.candidates(heatmaps, content),
        'rows': lambda: attention.rows(0, torch.from_numpy(tokens)),
        'grouping': lambda: codec.group(found.types, found.scores,
                                        rows[:, tokens]),
        'merging': lambda: merge_persons(grouped, found.scores, rows,
                                         codec.mask_threshold,
                                         codec.merge_threshold),
        'masks': lambda: image_masks(maps, *place),
        'RLE': lambda: encode_rle(masks),
        'after': lambda: encode_rle(image_masks(
            codec.decode(heatmaps, attention, 0, content).maps, *place)),
    }


# --- grouping ---------------------------------------------------------------


def grouping_table(crowds: Sequence[int], repeats: int) -> Table:
    """Both views with merging, beside MMPose's grouping by tags.

    Args:
        crowds: Numbers of persons.
        repeats: Rounds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [grouping_row(number, false, repeats)
                for number in crowds for false in (0, number)]
    finally:
        torch.set_num_threads(threads)
    return Table(
        'Grouping and merging',
        'Milliseconds on one thread, L = 1600, from the affinity of the '
        "candidates on. MMPose's associative embedding groups as many "
        'persons, whose tags lie far apart, without any false candidates; '
        'the last column is how many times as long it takes as part-first '
        'grouping with merging.',
        ['Persons', 'true candidates', 'false', 'skeletons', 'part-first',
         'part-first + merging', 'body-first + merging', 'MMPose AE',
         'AE / part-first'],
        rows)


def grouping_row(number: int, false: int, repeats: int) -> list:
    """Figures for so many persons and false candidates of each type."""
    part, body = (
        AttentionGrouping((640, 640), (160, 160), grouping=grouping)
        for grouping in ('part_first', 'body_first'))
    crowd = make_crowd(part, number, false)
    types, scores, rows, affinity = candidates(part, crowd)
    tagged, inputs = tagged_persons(crowd, number)

    def merged(codec):
        persons = codec.group(types, scores, affinity)
        return merge_persons(persons, scores, rows, codec.mask_threshold,
                             codec.merge_threshold)

    times = alternate({
        'alone': lambda: part.group(types, scores, affinity),
        'part': lambda: merged(part),
        'body': lambda: merged(body),
        'ae': lambda: tagged._group_keypoints(*inputs),
    }, repeats, label=f'grouping {number} persons')
    k = part.num_keypoints
    return [str(number), number * k, false * k,
            len(part.group(types, scores, affinity)), *milliseconds(times),
            ratio(times, 'ae', 'part')]


def candidates(codec: AttentionGrouping, crowd: Crowd) -> Tuple:
    """Types, scores, rows and affinity of a crowd, all candidates found.

    In the order in which the codec finds them, by type.
    """
    number, k = crowd.scores.shape
    tokens = codec.tokens(crowd.cells * codec.heatmap_stride,
                          crowd.attention.grid).T.ravel()
    rows = crowd.attention.rows(0, torch.from_numpy(tokens)).numpy()
    scores = crowd.scores.T.ravel().astype(np.float32)
    return np.repeat(np.arange(k), number), scores, rows, rows[:, tokens]


def tagged_persons(crowd: Crowd, number: int
                   ) -> Tuple[AssociativeEmbedding, Tuple[np.ndarray, ...]]:
    """MMPose's codec, and its N best values, tags and places of each type."""
    codec = AssociativeEmbedding((640, 640), (160, 160), decode_topk=number,
                                 decode_keypoint_order=list(COCO_ORDER))
    scores, cells = crowd.scores[:number].T, crowd.cells[:number]
    tags = TAG_STEP * np.arange(number) + .1 * scores
    best = np.argsort(-scores, axis=1)
    values, tags = (np.take_along_axis(part, best, axis=1)
                    for part in (scores, tags))
    places = np.take_along_axis(cells.transpose(1, 0, 2), best[..., None],
                                axis=1)
    return codec, (values[None], tags[None, ..., None], places[None])

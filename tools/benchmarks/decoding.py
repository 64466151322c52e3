"""Where the time goes: from a file to masks, and grouping beside MMPose's.

Networks see no crowds without training: what is decoded is made up, see
``crowd.py``. Times of all stages but loading and resizing are of real calls
with such outputs, the forward's of random weights.
"""
import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmpose.codecs import AssociativeEmbedding
from mmpose.registry import MODELS, TRANSFORMS

from mmpose_ssa.decoding.candidates import find_candidates
from mmpose_ssa.decoding.coordinates import (content_box, content_cells,
                                             input_from_image)
from mmpose_ssa.decoding.decoder import group
from mmpose_ssa.decoding.graph import COCO_ORDER
from mmpose_ssa.decoding.masks import encode_rle, image_masks
from mmpose_ssa.decoding.merging import merge_persons
from mmpose_ssa.models.codec import AttentionGrouping
from mmpose_ssa.synthetic.scene import draw_scene

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
    # persons, and false candidates of each type beside them
    crowds = ((1, 0), (3, 2)) if quick else (
        (1, 0), (5, 0), (5, 30), (15, 0), (30, 0), (60, 0))
    repeats = 2 if quick else 7
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model).eval()
    return [
        forward_table(model, config, sides, crowds, repeats),
        stages_table(config, sides, crowds, repeats),
        grouping_table((3, ) if quick else (30, 60), 2 if quick else 15)]


def forward_table(model: nn.Module, config: Config, sides: Sequence[int],
                  crowds: Sequence[Tuple[int, int]], repeats: int) -> Table:
    """The parts of the forward, and the share of all that follows it.

    Args:
        model: Its weights do not matter.
        config: Of the model.
        sides: Of the squared inputs.
        crowds: Numbers of persons and of false candidates of each type.
        repeats: Rounds.
    """
    rows = []
    for side in sides:
        after = {name_of(*crowd): scene(config, side, crowd)[-1]['after']
                 for crowd in crowds}
        with torch.no_grad():
            times = alternate({**forwards(model, side), **after}, repeats,
                              label=f'forward at {side}')
        parts = {name: times[name] for name in times if name not in after}
        rows.append([f'{side}²', *milliseconds(parts), *(
            100 * ratio(times, name, 'forward') for name in after)])
    return Table(
        'The forward, and what follows it',
        'Milliseconds for one image, random weights; then all that follows, '
        'from peaks to RLE, for so many persons (+ false candidates of each '
        'type), in % of the forward.',
        ['Input', *parts, *after], rows)


def forwards(model: nn.Module, side: int) -> Functions:
    """Backbone, encoder, head and all of them for one image."""
    image = torch.rand(1, 3, side, side).contiguous(
        memory_format=model.memory_format)
    feats = model.backbone(image)
    encoded = model.neck(feats)
    return {
        'backbone': partial(model.backbone, image),
        'encoder': partial(model.neck, feats),
        'head': partial(model.head.forward, encoded),
        'forward': lambda: model.head.forward(model.extract_feat(image))}


def name_of(number: int, false: int) -> str:
    """A crowd in words."""
    return f'{number} + {false}' if false else str(number)


# --- stages -----------------------------------------------------------------


def stages_table(config: Config, sides: Sequence[int],
                 crowds: Sequence[Tuple[int, int]], repeats: int) -> Table:
    """All stages beside the forward.

    Args:
        config: Of the model.
        sides: Of the squared inputs.
        crowds: Numbers of persons and of false candidates of each type.
        repeats: Rounds.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'scene.jpg'
        cv2.imwrite(str(file), draw_scene(0, max(IMAGE)).image[:IMAGE[1]])
        for side, crowd in product(sides, crowds):
            before, after = scene(config, side, crowd, file)
            times = alternate({**before, **after}, repeats,
                              label=f'{name_of(*crowd)} persons at {side}')
            rows.append([f'{side}², {name_of(*crowd)}', *milliseconds(times)])
    most = codec_of(config, 64).options.max_persons
    return Table(
        'Everything but the forward',
        f'Milliseconds for one image of {IMAGE[0]} x {IMAGE[1]} pixels that '
        'fits into the input, by input and persons (+ false candidates of '
        'each type, weak ones in the background). "after" is all from '
        f'"peaks" on in one call, at most {most} persons as the codec has it.',
        ['Input, persons', *times], rows)


def scene(config: Config, side: int, crowd: Tuple[int, int],
          file: Optional[Path] = None) -> Tuple[Functions, Functions]:
    """The stages before the forward of an image, and those after it.

    Args:
        config: Of the model.
        side: Of the squared input.
        crowd: Persons, and false candidates of each type.
        file: The image; without it there are no stages before.
    """
    codec = codec_of(config, side)
    seen = make_crowd(codec, *crowd, share=IMAGE[1] / IMAGE[0])
    resize = TRANSFORMS.build(
        dict(type='SSAResize', input_size=(side, side), resize_mode='fit',
             size_factor=codec.token_stride))
    blank = np.zeros((*IMAGE[::-1], 3), np.uint8)
    metainfo = resize(dict(img=blank, img_shape=IMAGE[::-1],
                           ori_shape=IMAGE[::-1]))
    before = {} if file is None else reading(file, resize)
    return before, decoding(codec, seen, metainfo)


def milliseconds(times: Times) -> List[float]:
    """Medians."""
    return [1000 * median(seconds) for seconds in times.values()]


def codec_of(config: Config, side: int) -> AttentionGrouping:
    """A config's codec for a squared input."""
    options = {k: v for k, v in config.codec.items() if k != 'type'}
    stride = options['input_size'][0] // options['heatmap_size'][0]
    options.update(input_size=(side, side),
                   heatmap_size=(side // stride, side // stride))
    return AttentionGrouping(**options)


def reading(file: Path, resize: Callable[[dict], dict]) -> Functions:
    """The stages before the forward."""
    load = TRANSFORMS.build(dict(type='LoadCheckedImage'))
    loaded = load(dict(img_path=str(file)))
    return {
        'load': lambda: load(dict(img_path=str(file))),
        'resize': lambda: resize(dict(loaded)),
    }


def decoding(codec: AttentionGrouping, crowd: Crowd,
             metainfo: dict) -> Functions:
    """The stages after the forward, each with what the last one gave."""
    heatmaps, attention = crowd.heatmaps, crowd.attention
    options, content = codec.options, content_box(metainfo)
    place = (metainfo['ori_shape'], *input_from_image(metainfo),
             options.token_stride, options.mask_threshold, options.mask_mode)
    find = partial(
        find_candidates, heatmaps.numpy(), options.score_threshold,
        options.nms_kernel, options.max_candidates,
        content_cells(content, options.heatmap_stride, heatmaps.shape[1:]))
    found = find()
    tokens = codec.tokens(found.cells * options.heatmap_stride, attention.grid)
    rows = attention.rows(0, torch.from_numpy(tokens)).numpy()
    grouped = group(found.types, found.scores, rows[:, tokens], options)
    maps = codec.decode(heatmaps, attention, 0, content).maps
    masks = image_masks(maps, *place)
    return {
        'peaks': find,
        'rows': lambda: attention.rows(0, torch.from_numpy(tokens)),
        'grouping': lambda: group(found.types, found.scores, rows[:, tokens],
                                  options),
        'merging': lambda: merge_persons(grouped, found.scores, rows,
                                         options.mask_threshold,
                                         options.merge_threshold),
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
         'AE / part-first + merging'],
        rows)


def grouping_row(number: int, false: int, repeats: int) -> list:
    """The row for a number of persons and of false candidates per type."""
    part, body = (
        AttentionGrouping((640, 640), (160, 160), grouping=grouping)
        for grouping in ('part_first', 'body_first'))
    crowd = make_crowd(part, number, false)
    types, scores, rows, affinity = candidates(part, crowd)
    tagged, inputs = tagged_persons(crowd, number)

    def merged(options):
        persons = group(types, scores, affinity, options)
        return merge_persons(persons, scores, rows, options.mask_threshold,
                             options.merge_threshold)

    times = alternate({
        'alone': lambda: group(types, scores, affinity, part.options),
        'part': lambda: merged(part.options),
        'body': lambda: merged(body.options),
        'ae': lambda: tagged._group_keypoints(*inputs),
    }, repeats, label=f'grouping {number} persons')
    k = part.num_keypoints
    return [str(number), number * k, false * k,
            len(group(types, scores, affinity, part.options)),
            *milliseconds(times),
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

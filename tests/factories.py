"""Builds what several tests need: paths, people, annotation files, weights.

Everything is made the same way each time. torch and MMPose are imported by
the functions that need them, so that pure tests can import this module.
"""
import json
import zlib
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
DATA = ROOT / 'tests/data'
DEMO = CONFIGS / 'demo/ssa_demo.py'
TINY = DATA / 'ssa_tiny_64.py'
TOPDOWN = DATA / 'topdown_tiny_256x192.py'
COCO_MINI = ROOT.parent / 'shared/data/coco_mini'
CROWDPOSE_MINI = ROOT.parent / 'shared/data/crowdpose_mini'

Sizes = Dict[int, Tuple[int, int]]  # (height, width) by image id
ONE_IMAGE: Sizes = {1: (64, 64)}

SIDES = ('eye', 'ear', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
COCO_NAMES = ('nose', *(f'{side}_{part}' for part in SIDES
                        for side in ('left', 'right')))
COCO_SIGMAS = (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062,
               .062, .107, .107, .087, .087, .089, .089)
COCO_FLIP = (0, *(k + 1 if k % 2 else k - 1 for k in range(1, 17)))

# --- people and results -----------------------------------------------------


def rectangle(x0, y0, x1, y1) -> list:
    """The polygon of a box."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def keypoint_table(points, kinds: int = 17, value: float = 2) -> np.ndarray:
    """(kinds, 3) keypoints; those that are not given are 0.

    Args:
        points: (n, 2) or (n, 3) of the first types, or points by type.
        kinds: Number of keypoint types.
        value: Visibility or score of points that have none.
    """
    table = np.zeros((kinds, 3))
    if not isinstance(points, dict):
        points = dict(enumerate(points))
    for kind, point in points.items():
        table[kind] = point if len(point) == 3 else (*point, value)
    return table


def person(points=((32, 32), ), number: int = 1, image_id: int = 1,
           box: Optional[Sequence[float]] = None, kinds: int = 17,
           **more) -> dict:
    """A COCO annotation, whose mask is its box.

    Args:
        points: As in :func:`keypoint_table`.
        number: Its id.
        image_id: Id of its image.
        box: x0, y0, x1, y1; by default 2 pixels around its keypoints.
        kinds: Number of keypoint types.
        more: Further entries, or others for those made here.
    """
    table = keypoint_table(points, kinds)
    if box is None:
        labelled = table[table[:, 2] > 0, :2]
        box = [*labelled.min(0) - 2, *labelled.max(0) + 2]
    x0, y0, x1, y1 = np.asarray(box).tolist()
    return dict(
        id=number, image_id=image_id, category_id=1, iscrowd=0,
        bbox=[x0, y0, x1 - x0, y1 - y0], area=float((x1 - x0) * (y1 - y0)),
        segmentation=[rectangle(x0, y0, x1, y1)],
        num_keypoints=int((table[:, 2] > 0).sum()),
        keypoints=table.ravel().tolist()) | more


def result(points, score: float = .9, image_id: int = 1, kinds: int = 17,
           **more) -> dict:
    """A COCO keypoint result.

    Args:
        points: As in :func:`keypoint_table`; scores are .5 by default.
        score: Of the person.
        image_id: Id of its image.
        kinds: Number of keypoint types.
        more: Further entries, or others for those made here.
    """
    return dict(
        image_id=image_id, category_id=1, score=score,
        keypoints=keypoint_table(points, kinds, .5).ravel().tolist()) | more


def perfect(ann: dict, ann_file) -> dict:
    """The sample of a model that has found just what is annotated.

    Args:
        ann: A person with 17 keypoints and a mask.
        ann_file: The file that lists its image.
    """
    import pycocotools.mask as coco_mask
    image, = (image for image in json.loads(Path(ann_file).read_text())[
        'images'] if image['id'] == ann['image_id'])
    size = image['height'], image['width']
    table = np.reshape(ann['keypoints'], (1, 17, 3))
    rle = ann['segmentation']
    if not isinstance(rle, dict):
        rle = coco_mask.merge(coco_mask.frPyObjects(rle, *size))
    x, y, w, h = ann['bbox']
    return dict(
        id=[ann['id']], img_id=ann['image_id'], ori_shape=size,
        gt_instances={}, pred_instances=dict(
            keypoints=table[..., :2], bboxes=np.array([[x, y, x + w, y + h]]),
            keypoint_scores=np.ones((1, 17)), bbox_scores=np.ones(1),
            masks=[rle]))


def without(entry: dict, *keys: str) -> dict:
    return {key: value for key, value in entry.items() if key not in keys}


# --- data sets --------------------------------------------------------------


def content(annotations: Sequence[dict], sizes: Sizes = ONE_IMAGE,
            names: Optional[Sequence[str]] = None, **more) -> dict:
    """What an annotation file holds.

    Args:
        annotations: Of all images.
        sizes: Heights and widths by image id.
        names: Of the keypoints, in the category of persons.
        more: Further entries, or others for those made here.
    """
    category = dict(id=1, name='person')
    if names is not None:
        category['keypoints'] = list(names)
    return dict(
        images=[dict(id=number, file_name=f'{number}.png', width=w, height=h)
                for number, (h, w) in sizes.items()],
        categories=[category], annotations=list(annotations)) | more


def write_annotations(folder: Path, *arguments, **options) -> Path:
    """Write ``persons.json`` with a :func:`content`; its path."""
    path = folder / 'persons.json'
    path.write_text(json.dumps(content(*arguments, **options)))
    return path


def black(h: int, w: int) -> np.ndarray:
    return np.zeros((h, w, 3), np.uint8)


def noise(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def write_images(folder: Path, sizes: Sizes = ONE_IMAGE,
                 draw: Callable[[int, int], np.ndarray] = black) -> None:
    """Write ``ID.png`` of each image, drawn for its height and width."""
    for number, size in sizes.items():
        cv2.imwrite(str(folder / f'{number}.png'), draw(*size))


def two_overlapping_persons(folder: Path) -> Path:
    """The annotation file of two who overlap, in an image beside it.

    The image is not square, 300 x 240, and larger than the demos' inputs,
    into which it fits as 200 x 160.
    """
    sizes = {1: (240, 300)}
    rows, columns = np.divmod(np.arange(17), 3)
    first = np.stack([45 + 40 * columns, 40 + 35 * rows], axis=-1)
    second = np.stack([170 + 40 * columns, 30 + 35 * rows[::-1]], axis=-1)
    write_images(folder, sizes)
    return write_annotations(folder, [
        person(first, 1, box=(30, 20, 170, 230)),
        person(second, 2, box=(135, 15, 270, 225))], sizes)


def write_scenes(root: Path, train: int = 4, val: int = 2, size: int = 64,
                 **options) -> Path:
    """Write a small synthetic data set; its folder."""
    from mmpose_ssa.synthetic.dataset import write_dataset
    write_dataset(root, train=train, val=val, size=size,
                  **{**dict(seed=0, workers=1, min_height=.6), **options})
    return root


# --- configs ----------------------------------------------------------------


@lru_cache(maxsize=None)
def read_once(path: str):
    """A config, read once for all tests, which must not change it.

    Args:
        path: In the repository, or ``mmpose::`` and that of MMPose.
    """
    from mmengine.config import Config
    from mmengine.hub import get_config
    if path.startswith('mmpose::'):
        return get_config(path)
    return Config.fromfile(ROOT / path)


def steps(pipeline) -> dict:
    """The steps of a config's pipeline by type."""
    return {step.type: step for step in pipeline}


# --- models and weights -----------------------------------------------------


def random_model(config=TINY, std: float = .05, bias: float = 0.,
                 attention_std: Optional[float] = None):
    """A model with random weights whose heatmaps have peaks.

    Args:
        config: File or config of a model with a ``final_layer``.
        std: Standard deviation of the last layer's weights.
        bias: Of the last layer.
        attention_std: That of the supervised layer's attention, for more
            contrast than a new one has; its own weights by default.
    """
    import torch
    from mmengine.config import Config
    from mmpose.registry import MODELS
    torch.manual_seed(0)
    if not isinstance(config, (dict, Config)):
        config = Config.fromfile(config)
    model = MODELS.build(dict(config.model, _scope_='mmpose'))
    torch.nn.init.normal_(model.head.final_layer.weight, std=std)
    torch.nn.init.constant_(model.head.final_layer.bias, bias)
    if attention_std is not None:
        torch.nn.init.normal_(model.neck.layers[1].self_attn.in_proj_weight,
                              std=attention_std)
    return model


def transpose_config(layers: int = 4):
    """The config of TransPose-R of so many layers."""
    from mmengine.config import Config
    return Config.fromfile(
        CONFIGS / f'transpose/transpose_r_a{layers}_coco-256x192.py')


def transpose_model(layers: int = 4):
    """TransPose-R with random weights, in evaluation mode."""
    from mmpose.registry import MODELS
    cfg = transpose_config(layers)
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model).eval()


def save_weights(model, path: Path) -> str:
    """Write a checkpoint of a model's weights alone; its path."""
    import torch
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return str(path)


def made_weight(name: str, shape: Tuple[int, ...]):
    """A tensor that stands for a published weight, made from its name.

    Signals keep their size through all layers.
    """
    import torch
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith('num_batches_tracked'):
        return torch.tensor(0)
    if name.endswith('running_var') or len(shape) == 1 and 'weight' in name:
        values = rng.uniform(.5, 1.5, shape)
    elif len(shape) == 1:
        values = .1 * rng.standard_normal(shape)
    else:
        values = rng.standard_normal(shape) / np.prod(shape[1:])**.5
    return torch.from_numpy(values).float()


def patches(rows: int, columns: int, side: int):
    """(1, 3, rows * side, columns * side) tensor, a colour a square."""
    import torch
    colours = np.random.RandomState(0).standard_normal((1, 3, rows, columns))
    return torch.from_numpy(colours.repeat(side, 2).repeat(side, 3)).float()


def peaks(shape: Tuple[int, int, int], *cells) -> np.ndarray:
    """Heatmaps of a shape that are 0 but for (type, x, y, score)."""
    heatmaps = np.zeros(shape, np.float32)
    for kind, x, y, score in cells:
        heatmaps[kind, y, x] = score
    return heatmaps


def linked_tokens(*links: Tuple[int, int], size: int = 12) -> np.ndarray:
    """(size, size) attention: of tokens to themselves, linked ones half to
    the other."""
    matrix = np.eye(size, dtype=np.float32)
    for a, b in links:
        matrix[[a, b], [a, b]] = matrix[[a, b], [b, a]] = .5
    return matrix


# --- commands ---------------------------------------------------------------


@contextmanager
def files_of(size: int):
    """No file may become larger, as on a full disk."""
    import resource  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refusal(capsys, main: Callable, *arguments) -> str:
    """What a tool says when it refuses its arguments: one message, no trace.

    Args:
        capsys: pytest's fixture.
        main: Of the tool, called with the list of arguments.
        arguments: Of the command line; they are made strings.
    """
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        assert stop.code == 2, stop.code
    else:
        raise AssertionError(f'{arguments} were not refused')
    message = capsys.readouterr().err
    assert message.startswith('usage: ') and 'Traceback' not in message
    return message.partition(': error: ')[2].strip()


def table_rows(text: str) -> list:
    """The cells of a markdown table, row by row, without the line of dashes.

    Args:
        text: With one table; lines that do not begin with | are skipped.
    """
    rows = [[cell.strip() for cell in line.strip().split('|')[1:-1]]
            for line in text.splitlines() if line.strip().startswith('|')]
    return [row for row in rows if not set(''.join(row)) <= set(':-')]

"""From a config, weights and image files to persons, pictures and JSON."""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

import copy
import pickle
from pathlib import Path
from typing import List, Sequence, Union
from urllib.error import URLError

import mmcv
import numpy as np
import pycocotools.mask as coco_mask
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.runner import load_checkpoint
from mmpose.apis import inference_bottomup, init_model
from mmpose.structures import PoseDataSample

from ..datasets.coco import LoadCheckedImage
from ..decoding.coordinates import input_from_image
from ..decoding.masks import maps_on_image
from ..evaluation.mask_metric import PERSON_ID
from .visualizer import (Skeleton, draw_attention, draw_persons,
                         sample_keypoints, side_by_side)


def load_model(config: Union[str, Config],
               checkpoint: str,
               device: str = 'cpu') -> nn.Module:
    """Build an SSA model that also hands on the keypoints' attention.

    Args:
        config: The config, or its file.
        checkpoint: File or address of its weights.
        device: As PyTorch names it.

    Returns:
        As :func:`load_estimator`.

    Raises:
        FileNotFoundError: If there is no such checkpoint or config.
        ValueError: If the weights are not those of the config's model.
    """
    cfg = read_config(config)
    cfg.model.test_cfg.output_attention = True
    return load_estimator(cfg, checkpoint, device)


def read_config(config: Union[str, Config]) -> Config:
    """A config of its own, from a file or another one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as a config.
    """
    if isinstance(config, Config):
        return copy.deepcopy(config)
    _check_config_file(config)
    try:
        return Config.fromfile(config)
    except (NameError, OSError, SyntaxError) as error:
        raise ValueError(f'{config} cannot be read as a config, give the .py '
                         f'file of one: {error}') from error


def check_files(config: Union[str, Config], checkpoint: str) -> None:
    """Raise FileNotFoundError unless the files exist; read nothing.

    Args:
        config: The config, or its file.
        checkpoint: File or address of the weights; of an address, nothing
            is asked.
    """
    if not isinstance(config, Config):
        _check_config_file(config)
    if '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'checkpoint {checkpoint} does not exist: give the file of a '
            'training, e.g. work_dirs/NAME/epoch_240.pth')


def _check_config_file(config: str) -> None:
    if not Path(config).is_file():
        raise FileNotFoundError(
            f'config {config} does not exist: give the file of a config, '
            'e.g. configs/ssa/ssa_r101_640.py')


def check_device(device: str) -> None:
    """Raise ValueError unless PyTorch finds a device."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f'device {device!r} cannot be used: give cpu, or cuda where there '
            f'is a GPU ({str(error).splitlines()[0]})') from error


def load_estimator(cfg: Config,
                   checkpoint: str,
                   device: str = 'cpu') -> nn.Module:
    """Build any of MMPose's estimators with exactly the weights given.

    Args:
        cfg: The config; MMPose changes it.
        checkpoint: File or address of the weights.
        device: As PyTorch names it.

    Returns:
        The estimator in evaluation mode, with ``cfg`` and ``dataset_meta``
        (the checkpoint's, or else the config's), for MMPose's own functions.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the weights are damaged, cannot be fetched, hold code,
            or are not those of the config's model.
    """
    check_files(cfg, checkpoint)
    model = init_model(cfg, None, device)
    try:
        loaded = load_checkpoint(model, str(checkpoint), 'cpu', strict=True)
    except RuntimeError as error:
        raise ValueError(
            f'{checkpoint} does not fit the model of {cfg.filename}: give '
            f'the config with which it was trained ({error})') from error
    except pickle.UnpicklingError as error:  # it names file and cure
        raise ValueError(str(error)) from error
    except (URLError, ConnectionError, TimeoutError) as error:
        raise ValueError(
            f'{checkpoint} cannot be fetched: check the address and the '
            f'network, or give a file ({error})') from error
    except PermissionError as error:
        raise ValueError(f'{checkpoint} may not be read: change its '
                         f'permissions ({error})') from error
    except (EOFError, IndexError, OSError) as error:
        raise ValueError(
            f'{checkpoint} cannot be read as a checkpoint: it is damaged or '
            f'was not written to the end ({error})') from error
    model.dataset_meta = loaded.get('meta', {}).get('dataset_meta',
                                                    model.dataset_meta)
    return model


def write_predictions(model: nn.Module,
                      images: Sequence[str],
                      out_dir: str,
                      kpt_thr: float = 0.1) -> List[dict]:
    """Predict images and write pictures and results.

    For each image ``NAME_persons.jpg``, its persons, and
    ``NAME_attention.jpg``, these and the attention of four keypoints (Fig. 9);
    for all ``predictions.json``, see :func:`coco_results`.

    Args:
        model: What :func:`load_model` returns.
        images: Image files.
        out_dir: Folder to write to.
        kpt_thr: Keypoints of a lower score are not drawn.

    Returns:
        What stands in the JSON.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If there are no images, two of one name, or one that
            cannot be read.
    """
    names = [Path(path).stem for path in images]
    if not names:
        raise ValueError('no image given: give one file at least')
    if len(set(names)) < len(names):
        double = max(names, key=names.count)
        raise ValueError(f'two images are named {double!r} and would '
                         'overwrite each other: predict them apart')
    results = []
    for path, name in zip(images, names):
        image = LoadCheckedImage()(dict(img_path=str(path)))['img']
        sample = inference_bottomup(model, image)[0]
        for kind, picture in pictures(model, image, sample, kpt_thr).items():
            mmcv.imwrite(picture, str(Path(out_dir) / f'{name}_{kind}.jpg'))
        results += coco_results(sample, path)
    dump(results, str(Path(out_dir) / 'predictions.json'))
    return results


def coco_results(sample: PoseDataSample, path: str) -> List[dict]:
    """Write the persons of one image as COCO results.

    Args:
        sample: The predictions.
        path: The image file. Its name is COCO's image id if it is a number
            (000000000785.jpg is image 785), and else the id itself.

    Returns:
        For each person ``image_id``, ``file_name``, ``category_id``,
        ``keypoints`` (x, y and score of each of the K), ``keypoint_scores``,
        ``score``, ``bbox`` (x, y, width, height) and ``segmentation``, an
        RLE; all in original image pixels.
    """
    name, found = Path(path).stem, sample.pred_instances
    scores = found.keypoint_scores
    corners = np.asarray(found.bboxes, float).reshape(-1, 2, 2)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], 1)
    points = np.concatenate([found.keypoints, scores[..., None]], axis=2)
    return [
        dict(
            image_id=int(name) if name.isdecimal() else name,
            file_name=Path(path).name,
            category_id=PERSON_ID,
            keypoints=points[p].ravel().tolist(),
            keypoint_scores=scores[p].tolist(),
            score=float(found.bbox_scores[p]),
            bbox=boxes[p].tolist(),
            segmentation=found.masks[p]) for p in range(len(points))
    ]


def pictures(model: nn.Module, image: np.ndarray, sample: PoseDataSample,
             kpt_thr: float) -> dict:
    """Draw one image's persons and the attention of four keypoints.

    Args:
        model: What :func:`load_model` returns.
        image: (H, W, 3) BGR, the original.
        sample: Its predictions, with ``keypoint_attention``.
        kpt_thr: Keypoints of a lower score are not drawn.

    Returns:
        'persons' and 'attention', BGR images.
    """
    skeleton = Skeleton.from_meta(model.dataset_meta)
    found = sample.pred_instances
    masks = [coco_mask.decode(rle) for rle in found.masks]
    persons = draw_persons(image, found.keypoints, found.keypoint_scores,
                           masks, skeleton, kpt_thr)
    panels, captions = [persons], ['persons']
    # A refiner's keypoints have no attention
    attended = found.keypoint_attention.any(axis=(2, 3))
    for p, k in sample_keypoints(found.keypoint_scores * attended):
        row = found.keypoint_attention[p, k]
        attention, = maps_on_image(
            row[None] / row.max(), image.shape[:2],
            *input_from_image(sample.metainfo),
            model.head.decoder.token_stride)
        panels.append(draw_attention(image, attention, found.keypoints[p, k]))
        captions.append(f'person {p + 1}: {skeleton.names[k]}')
    return dict(persons=persons, attention=side_by_side(panels, captions))

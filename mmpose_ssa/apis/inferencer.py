"""From a config, weights and image files to persons, pictures and JSON."""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

from pathlib import Path
from typing import List, Sequence, Union

import mmcv
import numpy as np
import pycocotools.mask as coco_mask
import torch.nn as nn
from mmengine.config import Config
from mmengine.fileio import dump
from mmpose.apis import inference_bottomup
from mmpose.structures import PoseDataSample

from ..datasets.coco import LoadCheckedImage
from ..decoding.coordinates import input_from_image
from ..decoding.masks import maps_on_image
from ..engine.loading import load_estimator, read_config
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

"""The top-down model that refines each person (section 3.1).

The paper does not say from which pixels. Here boxes are cut from the original
image, with the padding and the aspect of the top-down model's own pipeline.
"""
from functools import cached_property
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmpose.apis import inference_topdown
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS

from ..decoding.refinement import person_boxes, refine_keypoints
from ..engine.loading import load_estimator, read_config


class Refiner:
    """Any top-down model of MMPose, used by another model.

    It is not a module, and is loaded when it is first asked for: its weights
    are neither in the state dict nor in the optimizer of the model that it
    serves, and training that model needs none of its files.

    Args:
        config: Config of a :class:`TopdownPoseEstimator`, or its file.
        checkpoint: File or address of its weights.
        batch_size: Most boxes per forward pass.

    Raises:
        ValueError: If ``batch_size`` is not positive.
    """

    def __init__(self,
                 config: Union[str, Config],
                 checkpoint: str,
                 batch_size: int = 32) -> None:
        if batch_size < 1:
            raise ValueError(
                f'batch_size must be 1 or more boxes, got {batch_size}')
        self.config = config
        self.checkpoint = checkpoint
        self.batch_size = batch_size

    @cached_property
    def model(self) -> nn.Module:
        """The frozen top-down model.

        Raises:
            FileNotFoundError: If there is no such config or checkpoint.
            ValueError: If the config is not of a top-down model, or the
                weights are those of another one.
        """
        cfg = read_config(self.config)
        _check_topdown(cfg)
        return load_estimator(cfg, self.checkpoint).requires_grad_(False)

    def check_keypoints(self,
                        num_keypoints: int,
                        flip_indices: Optional[List[int]] = None,
                        names: Optional[List[str]] = None,
                        sigmas: Optional[Sequence[float]] = None) -> None:
        """Raise ValueError unless refiner and persons have the same keypoints.

        Loads the model, see there for what else it raises.

        Args:
            num_keypoints: K of the persons.
            flip_indices: The mirror image of each keypoint, if known.
            names: The keypoints' names, if known.
            sigmas: The keypoints' sigmas, if known; KS takes the model's.
        """
        meta = self.model.dataset_meta
        own = dict(
            num_keypoints=meta['num_keypoints'],
            flip_indices=list(meta['flip_indices']),
            names=[name for _, name in sorted(
                meta['keypoint_id2name'].items())],
            sigmas=_rounded(meta['sigmas']))
        if sigmas is not None:
            sigmas = _rounded(sigmas)
        asked = dict(num_keypoints=num_keypoints, flip_indices=flip_indices,
                     names=names, sigmas=sigmas)
        for what, wanted in asked.items():
            if wanted is not None and wanted != own[what]:
                raise ValueError(
                    f'the persons have {what} {wanted}, the refiner '
                    f'{self.checkpoint} has {own[what]}: take a top-down '
                    'model that was trained on the same keypoints')

    def predict(self,
                image: np.ndarray,
                boxes: np.ndarray,
                device: Union[str, torch.device] = 'cpu'
                ) -> Tuple[np.ndarray, np.ndarray]:
        """Find the keypoints of one person in each box.

        Args:
            image: (H, W, 3) BGR, the original image.
            boxes: (P, 4) x0, y0, x1, y1 in image pixels, without padding;
                one at least.
            device: Where to run, in float32 whatever the precision around.

        Returns:
            (P, K, 2) locations in image pixels and (P, K) scores.
        """
        model = self.model.to(device)
        samples: List = []
        with torch.autocast(torch.device(device).type, enabled=False):
            for start in range(0, len(boxes), self.batch_size):
                samples += inference_topdown(
                    model, image, boxes[start:start + self.batch_size])
        found = [sample.pred_instances for sample in samples]
        return (np.concatenate([f.keypoints[..., :2] for f in found]),
                np.concatenate([f.keypoint_scores for f in found]))

    def refine(self,
               image: np.ndarray,
               keypoints: np.ndarray,
               scores: np.ndarray,
               masks: Sequence[Optional[dict]],
               extents: np.ndarray,
               fill: bool = True,
               threshold: float = 0.75,
               device: Union[str, torch.device] = 'cpu'
               ) -> Tuple[np.ndarray, np.ndarray]:
        """Refine the persons of an image.

        Args:
            image: (H, W, 3) BGR, the original image.
            keypoints: (P, K, 2) image pixels; of the types that the model
                finds, see :meth:`check_keypoints`.
            scores: (P, K), 0 where missing.
            masks: P compressed RLE dicts; None where there is none.
            extents: (P, 4) boxes for those without mask, image pixels.
            fill: Fill missing keypoints (Refinement#2) or not (#1).
            threshold: The KS above which a location is accepted.
            device: Where to run the top-down model.

        Returns:
            The refined (P, K, 2) locations and (P, K) scores.
        """
        if not len(keypoints):
            return keypoints, scores
        boxes, areas = person_boxes(masks, extents)
        refined, refined_scores = self.predict(image, boxes, device)
        sigmas = self.model.dataset_meta['sigmas']
        return refine_keypoints(keypoints, scores, refined, refined_scores,
                                areas, sigmas, fill, threshold)


def _rounded(sigmas: Sequence[float]) -> List[float]:
    """Sigmas to six digits: those in float32 and in float64 are the same."""
    return np.asarray(sigmas, float).round(6).tolist()


def _check_topdown(cfg: Config) -> None:
    """Raise ValueError unless the config is of a top-down estimator that
    says how images are prepared for it."""
    kind = cfg.get('model', {}).get('type')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type)
            and issubclass(found, TopdownPoseEstimator)):
        raise ValueError(
            f'{cfg.filename} is not the config of a top-down model: its '
            f'model is {kind}, and the refiner must be a '
            'TopdownPoseEstimator')
    loader = cfg.get('test_dataloader') or {}
    if not loader.get('dataset', {}).get('pipeline'):
        raise ValueError(
            f'{cfg.filename} has no test_dataloader.dataset.pipeline, by '
            'which boxes are cut and scaled: give the config with which the '
            'top-down model is tested')

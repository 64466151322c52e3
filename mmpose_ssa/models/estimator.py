"""The pose estimator: MMPose's bottom-up one, masks in image space, and the
second look of section 3.1 at each person."""
import contextlib
from typing import ContextManager, List, Optional, Union

import numpy as np
import torch
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..decoding.coordinates import input_from_image
from ..decoding.masks import encode_rle, image_masks
from ..decoding.refinement import keypoint_extents
from .folding import FoldedNorms
from .refiner import Refiner


@MODELS.register_module()
class FastEstimator(BottomupPoseEstimator):
    """Bottom-up estimator with what makes it faster and changes no result.

    That of the models compared with SSA, which have no masks.

    Args:
        *args: As :class:`BottomupPoseEstimator`.
        channels_last: Keep activations and weights in channels-last memory:
            the same values, several times faster backward on CPUs.
        fold_norms: Predict with the batch norms folded into the convolutions
            before them: the same values within rounding (1e-4 of the largest
            in float32), a twentieth less time on CPUs. The model itself, its
            weights and its training stay as they are; the folded copy needs
            as much memory as the weights. Only where no gradients are
            recorded, as in MMEngine's loops and MMPose's inferencers.
        **kwargs: As :class:`BottomupPoseEstimator`.
    """

    def __init__(self,
                 *args,
                 channels_last: bool = True,
                 fold_norms: bool = True,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format)
        self.to(memory_format=self.memory_format)
        self.folded_norms = FoldedNorms() if fold_norms else None

    def train(self, mode: bool = True) -> 'FastEstimator':
        """As the base class; the loops call it when weights have changed."""
        if self.folded_norms:
            self.folded_norms.discard()
        return super().train(mode)

    def norms_folded(self) -> ContextManager[None]:
        """Within this context no batch norm runs, if that changes nothing."""
        if (self.folded_norms is None or self.training
                or torch.is_grad_enabled()):
            return contextlib.nullcontext()
        return self.folded_norms.lent_to(self)

    def predict(self, inputs: Tensor, data_samples: list) -> list:
        """As the base class, with the batch norms folded."""
        with self.norms_folded():
            return super().predict(inputs, data_samples)

    def extract_feat(self, inputs: Tensor) -> tuple:
        """(B, 3, H, W) -> what the neck gives, or else the backbone."""
        return super().extract_feat(
            inputs.contiguous(memory_format=self.memory_format))


@MODELS.register_module()
class SSAPoseEstimator(FastEstimator):
    """Bottom-up estimator whose persons come with masks.

    Args:
        *args: As :class:`FastEstimator`.
        refiner: ``config`` and ``checkpoint`` of a top-down model, and
            further arguments of :class:`Refiner`. Testing then refines the
            persons, for which its pipeline must carry the original pixels
            (``configs/ssa/ssa_r101_640_refine2.py``), and heeds in
            ``test_cfg`` ``fill_missing`` (True: Refinement#2, False: #1),
            ``rescore`` (False: the instance score stays) and
            ``ks_threshold`` (0.75).
        **kwargs: As :class:`FastEstimator`.
    """

    def __init__(self,
                 *args,
                 refiner: Optional[dict] = None,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.refiner = Refiner(**refiner) if refiner else None

    def test_step(self, data: Union[dict, tuple, list]) -> list:
        """Predict and, if there is a refiner, look again at each person.

        Not so ``val_step``: validation while training is of this model
        alone. The original pixels do not stay in the samples.

        Args:
            data: A batch; with a refiner its samples have ``ori_img``, BGR,
                in the metainfo. What they have of ``flip_indices`` and
                ``sigmas`` must be the refiner's.

        Returns:
            The batch's samples with ``pred_instances``.

        Raises:
            FileNotFoundError: If a file of the refiner does not exist.
            ValueError: If the pixels are missing, or the refiner cannot be
                loaded or has other keypoints.
        """
        samples = super().test_step(data)
        for sample in samples:
            image = sample.pop('ori_img', None)
            if self.refiner:
                self._check_refiner(sample)
                self._refine(sample, image)
        return samples

    def add_pred_to_datasample(self, batch_pred_instances: list,
                               batch_pred_fields: Optional[list],
                               batch_data_samples: list) -> List:
        """Bring persons from the network input to the original image.

        Adds to each sample's ``pred_instances`` ``masks``, P compressed RLE
        dicts of the original image's size; missing keypoints stay (0, 0).
        """
        missing = [p.keypoint_scores == 0 for p in batch_pred_instances]
        samples = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples)
        for sample, zeros in zip(samples, missing):
            persons = sample.pred_instances
            persons.keypoints = np.where(zeros[..., None], 0,
                                         persons.keypoints)
            persons.masks = self._masks(persons.attention_maps,
                                        sample.metainfo)
        return samples

    def _masks(self, maps: np.ndarray, metainfo: dict) -> List[dict]:
        """(P, h, w) maps -> P RLE dicts of the original image."""
        options = self.head.decoder.options
        return encode_rle(
            image_masks(maps, metainfo['ori_shape'],
                        *input_from_image(metainfo), options.token_stride,
                        options.mask_threshold, options.mask_mode))

    def _check_refiner(self, sample: PoseDataSample) -> None:
        """Raise, persons or not, unless the refiner finds the keypoints."""
        try:
            self.refiner.check_keypoints(
                self.head.decoder.num_keypoints,
                flip_indices=sample.get('flip_indices'),
                sigmas=sample.get('sigmas'))
        except (FileNotFoundError, ValueError) as error:
            kind = (FileNotFoundError if isinstance(error, FileNotFoundError)
                    else ValueError)
            raise kind(f'refiner: {error}; it is set by model.refiner.config '
                       'and model.refiner.checkpoint') from error

    def _refine(self, sample: PoseDataSample,
                image: Optional[np.ndarray]) -> None:
        """Replace the keypoints of a sample's persons by refined ones."""
        if image is None:
            raise ValueError(
                'the refiner needs the original pixels, and the sample of '
                f"image {sample.get('img_id')} has none: test with "
                'LoadCheckedImage(keep_original=True) and with ori_img among '
                'the meta_keys of PackPoseInputs, as configs/ssa/'
                'ssa_r101_640_refine2.py does')
        persons = sample.pred_instances
        keypoints, scores = self.refiner.refine(
            image, persons.keypoints, persons.keypoint_scores, persons.masks,
            persons.bboxes, self.test_cfg.get('fill_missing', True),
            self.test_cfg.get('ks_threshold', 0.75),
            next(self.parameters()).device)
        persons.keypoints, persons.keypoint_scores = keypoints, scores
        persons.keypoints_visible = scores
        persons.bboxes = keypoint_extents(keypoints, scores)
        if self.test_cfg.get('rescore', False):
            persons.bbox_scores = scores.mean(axis=1)

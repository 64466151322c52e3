"""The pose estimator: MMPose's bottom-up one, masks in image space, and the
second look of section 3.1 at each person."""
from collections import defaultdict
from typing import Dict, Iterator, List, Optional, Tuple, Union

import numpy as np
import torch
from mmpose.models.heads import CIDHead, DEKRHead
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..decoding.coordinates import input_from_image
from ..decoding.keypoints import keypoint_extents
from ..decoding.masks import encode_rle, image_masks
from .refiner import Refiner

# MMPose's heads that predict one image at a time
ONE_IMAGE_HEADS = (CIDHead, DEKRHead)


@MODELS.register_module()
class FastEstimator(BottomupPoseEstimator):
    """Bottom-up estimator, fast on CPUs, exact for any batch in testing.

    In a batch with larger images an image is padded. The padding would not
    stay without effect: it becomes tokens, positions are normalised to the
    padded grid, and batch norms make it other than 0. So images of each size
    are predicted apart, without the padding: as if each were alone.

    The models compared with SSA use it as it is; they have no masks.

    Args:
        *args: As :class:`BottomupPoseEstimator`.
        channels_last: Keep activations and weights in channels-last memory:
            the same values, several times faster backward on CPUs.
        **kwargs: As :class:`BottomupPoseEstimator`.
    """

    def __init__(self,
                 *args,
                 channels_last: bool = True,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format)
        self.to(memory_format=self.memory_format)

    def forward(self,
                inputs: Tensor,
                data_samples: Optional[list] = None,
                mode: str = 'tensor') -> Union[dict, list, Tensor, tuple]:
        """As the base class; in mode 'predict' by images of one size.

        Args:
            inputs: (B, 3, H, W), images padded on the right and below.
            data_samples: B samples with ``input_size``, (w, h), in the
                metainfo; without it an image fills the batch.
            mode: 'loss', 'predict' or 'tensor'.
        """
        if mode != 'predict' or not data_samples:
            return super().forward(inputs, data_samples, mode)
        results: Dict[int, PoseDataSample] = {}
        for (h, w), images in self._batches_of_one_size(inputs, data_samples):
            found = super().forward(inputs[images, :, :h, :w],
                                    [data_samples[i] for i in images], mode)
            results.update(zip(images, found))
        return [results[i] for i in range(len(data_samples))]

    def _batches_of_one_size(
            self, inputs: Tensor, data_samples: list
    ) -> Iterator[Tuple[Tuple[int, int], List[int]]]:
        """(H, W) that images would have alone, and their indices."""
        divisor = getattr(self.data_preprocessor, 'pad_size_divisor', 1)
        same = defaultdict(list)
        for i, sample in enumerate(data_samples):
            size = sample.get('input_size', inputs.shape[:1:-1])[::-1]
            same[tuple(-(-side // divisor) * divisor
                       for side in size)].append(i)
        for size, images in same.items():
            most = 1 if isinstance(self.head, ONE_IMAGE_HEADS) else len(images)
            for start in range(0, len(images), most):
                yield size, images[start:start + most]

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
            persons. Its pipeline must keep the original pixels
            (``configs/ssa/ssa_r101_640_refine2.py``). ``test_cfg`` may have
            ``fill_missing`` (True: the refiner also finds missing keypoints,
            Refinement#2; False: it does not, #1; the codec's option of this
            name is another), ``rescore`` (False: the instance score stays)
            and ``ks_threshold`` (0.75).
        **kwargs: As :class:`FastEstimator`.
    """

    def __init__(self,
                 *args,
                 refiner: Optional[dict] = None,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.refiner = Refiner(**refiner) if refiner else None

    def test_step(self, data: Union[dict, tuple, list]) -> list:
        """Predict and, if there is a refiner, refine each person.

        ``val_step`` does not refine: validation during training is of this
        model alone. The original pixels do not stay in the samples.

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
                self._check_refiner(self.refiner, sample)
                self._refine(self.refiner, sample, image)
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

    def _check_refiner(self, refiner: Refiner,
                       sample: PoseDataSample) -> None:
        """Raise, persons or not, unless the refiner finds the keypoints."""
        try:
            refiner.check_keypoints(
                self.head.decoder.num_keypoints,
                flip_indices=sample.get('flip_indices'),
                sigmas=sample.get('sigmas'))
        except (FileNotFoundError, ValueError) as error:
            kind = (FileNotFoundError if isinstance(error, FileNotFoundError)
                    else ValueError)
            raise kind(f'refiner: {error}; it is set by model.refiner.config '
                       'and model.refiner.checkpoint') from error

    def _refine(self, refiner: Refiner, sample: PoseDataSample,
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
        keypoints, scores = refiner.refine(
            image, persons.keypoints, persons.keypoint_scores, persons.masks,
            persons.bboxes, self.test_cfg.get('fill_missing', True),
            self.test_cfg.get('ks_threshold', 0.75),
            next(self.parameters()).device)
        persons.keypoints, persons.keypoint_scores = keypoints, scores
        persons.keypoints_visible = scores
        persons.bboxes = keypoint_extents(keypoints, scores)
        if self.test_cfg.get('rescore', False):
            persons.bbox_scores = scores.mean(axis=1)

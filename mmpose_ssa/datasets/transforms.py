"""Pipeline steps of training: the paper's affine and the person masks.

Order in a pipeline: ``SeedAugmentation``, ``LoadCheckedImage``,
``SSARandomAffine``, ``SSARandomFlip``, ``GeneratePersonMasks``,
``GenerateTarget``, ``PackPoseInputs``.

Deviations from MMPose, whose transforms these extend or replace:

- ``BottomupRandomAffine`` draws from a truncated normal and shifts by a
  share of each side of the original image; A.1 of the paper is uniform and
  gives 40 pixels.
- ``BottomupGetHeatmapMask`` skips crowd regions (RLE) and masks the padding
  out; here crowds are masked and the padding counts.
- ``results['segmentation']`` of bottom-up data loses which polygon belongs
  to whom; the masks are drawn from ``raw_ann_info``.
- ``RandomFlip`` takes ``input_size``, (W, H), for (H, W), and so mirrors
  keypoints and boxes of inputs that are not square about another line than the
  image; here all are mirrored about the image's middle.
- It leaves a view that reads backwards, for ``PackPoseInputs`` to copy pixel
  by pixel; here OpenCV mirrors the image, some 50 times faster.
"""
from typing import Dict, List, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmpose.datasets.transforms import (BottomupRandomAffine, BottomupResize,
                                        RandomFlip)
from mmpose.registry import TRANSFORMS
from mmpose.structures.bbox import bbox_xyxy2corner, get_warp_matrix

from ..decoding.keypoints import AREA_OF_BOX
from ..encoding.masks import image_to_heatmap, rasterize, valid_region


@TRANSFORMS.register_module()
class SSARandomAffine(BottomupRandomAffine):
    """Scale, rotate and translate at random, as the paper's A.1.

    The source crop has the aspect of the input; its side is the image's
    short side times a factor drawn from ``scale_factor`` (1.5 zooms out).
    Everything is drawn uniformly. Keys are those of
    :class:`BottomupRandomAffine`.

    Args:
        input_size (tuple): Network input (W, H) in pixels.
        max_translate (float): Largest shift along each axis of the image,
            in the unit below. Defaults to 40.
        translate_unit (str): ``'input'``: in network input pixels, as the
            paper's words say. ``'crop'``: in 1/200 of the crop's sides, as
            HigherHRNet's code, whose number it is, reads it (40 is 20 % of
            the crop). Defaults to ``'input'``.
        scale_factor (tuple): Range of the factor on the crop's side.
            Defaults to (0.75, 1.5).
        rotate_factor (float): Largest rotation in degrees. Defaults to 30.
        around_people (float): Probability that the crop, before it is
            translated, is placed on the box of a person with labelled
            keypoints, any of them, and not on the middle of the image. Small
            crops then seldom show nobody. Defaults to 0.
        **kwargs: ``shift_prob``, ``scale_prob``, ``scale_type``,
            ``rotate_prob`` or ``pad_val`` of :class:`BottomupRandomAffine`.

    Raises:
        TypeError: If another argument is given.
        ValueError: If ``translate_unit`` is unknown.
    """

    OPTIONS = ('shift_prob', 'scale_prob', 'scale_type', 'rotate_prob',
               'pad_val')

    def __init__(self,
                 input_size: Tuple[int, int],
                 max_translate: float = 40.,
                 translate_unit: str = 'input',
                 scale_factor: Tuple[float, float] = (0.75, 1.5),
                 rotate_factor: float = 30.,
                 around_people: float = 0.,
                 **kwargs) -> None:
        if translate_unit not in ('input', 'crop'):
            raise ValueError("translate_unit must be 'input' or 'crop', got "
                             f'{translate_unit!r}')
        unknown = sorted(kwargs.keys() - set(self.OPTIONS))
        if unknown:
            raise TypeError(f'SSARandomAffine has no {unknown}: give '
                            f'{", ".join(self.OPTIONS)}')
        super().__init__(
            input_size=tuple(input_size),
            shift_factor=max_translate,
            scale_factor=scale_factor,
            rotate_factor=rotate_factor,
            distribution='uniform',
            **kwargs)
        self.translate_unit = translate_unit
        self.around_people = around_people

    def transform(self, results: Dict) -> Dict:
        """Warp image, keypoints and boxes; keys as in the base class.

        Args:
            results (dict): The pipeline's dict.

        Returns:
            dict: The dict with ``img``, ``keypoints``, ``bbox`` and ``area``
            warped, and ``input_size`` and ``warp_mat`` added.
        """
        image_size = np.array(results['img_shape'][1::-1])  # (w, h)
        w, h = self.input_size
        translate, scale, rotate, _ = self._get_transform_params()
        crop = self._fix_aspect_ratio(scale * image_size, w / h)
        unit = self.input_size if self.translate_unit == 'input' else 200
        center = self._center(results, image_size) + translate * crop / unit
        matrix = get_warp_matrix(center, crop, rotate, (w, h))
        results['img'] = self._transform(results['img'], matrix, (w, h))
        if 'keypoints' in results:  # (N, K, 2)
            results['keypoints'] = cv2.transform(results['keypoints'], matrix)
        if 'bbox' in results:  # (N, 4) -> corners (N, 4, 2)
            results['bbox'] = cv2.transform(
                bbox_xyxy2corner(results['bbox']), matrix)
        if 'area' in results:
            results['area'] *= np.linalg.det(matrix[:, :2])
        results.update(input_size=self.input_size, warp_mat=matrix)
        return results

    def _center(self, results: Dict, image_size: np.ndarray) -> np.ndarray:
        """(x, y) of the crop before it is translated."""
        people = ()
        # With 0 no random number is drawn: those of other recipes stay as
        # they were before there was this option
        if self.around_people and np.random.rand() < self.around_people:
            people = np.flatnonzero(results['keypoints_visible'].any(axis=1))
        if not len(people):
            return (image_size / 2).astype(np.float32)
        box = results['bbox'][np.random.choice(people)]
        return (box[:2] + box[2:]) / 2


@TRANSFORMS.register_module()
class SSARandomFlip(RandomFlip):
    """Flip at random: MMPose's, of inputs of any shape.

    The image lies in memory as it reads. Arguments and keys are those of
    :class:`RandomFlip`.
    """

    CODES = dict(horizontal=1, vertical=0, diagonal=-1)  # of cv2.flip

    def transform(self, results: Dict) -> Dict:
        """Flip image, boxes and keypoints, or do not; see the base class.

        Raises:
            ValueError: If the flip is one of other keypoints.
        """
        image = results['img']
        _check_flip_indices(results)
        # The base class reads `input_size`, which is (W, H), as (H, W)
        flipped = super().transform(dict(results, input_size=image.shape[:2]))
        del flipped['input_size']
        if 'input_size' in results:
            flipped['input_size'] = results['input_size']
        if flipped['flip']:
            mirrored = cv2.flip(image, self.CODES[flipped['flip_direction']])
            flipped['img'] = mirrored.reshape(image.shape)  # of one channel
        return flipped


@TRANSFORMS.register_module()
class GeneratePersonMasks(BaseTransform):
    """Draw the persons' masks and the valid region at heatmap size.

    A region is not valid (``heatmap_mask`` 0) inside persons that are a
    crowd, have no labelled keypoint, or are smaller than ``min_area``; it is
    valid (1) elsewhere, the padding included.

    Required Keys:

        - raw_ann_info (N annotations, None for an image without persons)
        - keypoints (N, K, 2); keypoints_visible (N, K), or (N, K, 2) with
          the weights of :class:`KeypointConverter`
        - img_shape, ori_shape
        - warp_mat, input_size
        - flip, flip_direction (optional)

    Added Keys:

        - instance_masks (np.ndarray): uint8 in shape (N, H/4, W/4); empty
          for crowds and for persons without a visible keypoint, who cannot
          supervise
        - heatmap_mask (np.ndarray): uint8 in shape (1, H/4, W/4); or
          (K, H/4, W/4), 0 for types that the converted data do not have

    Args:
        heatmap_size (tuple): Heatmap (W/4, H/4) in cells, the codec's.
        min_area (float): Persons whose annotated area, in square pixels of
            the original image, is below this are left out of the heatmap
            loss. Defaults to 32 ** 2, COCO's limit for small objects.
        missing (str): What to do with an annotation without segmentation:
            ``'error'``, or ``'empty'`` for an empty mask that neither
            supervises nor invalidates anything. Defaults to ``'error'``.
    """

    def __init__(self,
                 heatmap_size: Tuple[int, int],
                 min_area: float = 32**2,
                 missing: str = 'error') -> None:
        super().__init__()
        if missing not in ('error', 'empty'):
            raise ValueError(
                f"missing must be 'error' or 'empty', got {missing!r}")
        self.heatmap_size = tuple(heatmap_size)
        self.min_area = min_area
        self.missing = missing

    def transform(self, results: Dict) -> Dict:
        """Add ``instance_masks`` and ``heatmap_mask``.

        Args:
            results (dict): The pipeline's dict after affine and flip.

        Returns:
            dict: A new dict with the two keys added.

        Raises:
            ValueError: If annotations and keypoints differ in number, a
                segmentation is missing or damaged, the flip is not
                horizontal, or the image was resized before the affine.
        """
        annotations = _annotations(results)
        labelled, known = _labelled(results)
        canvas = (results['ori_shape'], _matrix(results, self.heatmap_size),
                  self.heatmap_size)
        shape = self.heatmap_size[::-1]
        masks = np.zeros((len(annotations), *shape), dtype=np.uint8)
        valid = np.ones(shape, dtype=np.uint8)
        for i, annotation in enumerate(annotations):
            segmentation = annotation.get('segmentation')
            if not segmentation:
                self._check_missing(annotation)
                continue
            try:
                if labelled[i] and not annotation.get('iscrowd', 0):
                    masks[i] = rasterize(segmentation, *canvas)
                if self._is_ignored(annotation, labelled[i]):
                    valid &= valid_region([segmentation], *canvas)
            except (TypeError, ValueError) as error:
                raise ValueError(f'{_name(annotation)}: {error}') from error
        valid = valid[None]  # (1, H/4, W/4)
        if not known.all():
            valid = valid * known[:, None, None].astype(np.uint8)
        return dict(results, instance_masks=masks, heatmap_mask=valid)

    def _check_missing(self, annotation: dict) -> None:
        """Raise for a missing segmentation unless it may be missing."""
        if self.missing == 'error':
            raise ValueError(
                f"{_name(annotation)} has no 'segmentation', which the mask "
                'loss needs: provide polygons or RLE, or train the naive '
                "variant with GeneratePersonMasks(missing='empty')")

    def _is_ignored(self, annotation: dict, labelled: bool) -> bool:
        """Whether the heatmap loss leaves this person's region out."""
        # as the dataset, where COCO's area is missing
        area = annotation.get(
            'area', AREA_OF_BOX * np.prod(annotation['bbox'][2:]))
        return bool(
            annotation.get('iscrowd', 0) or not labelled
            or area < self.min_area)


@TRANSFORMS.register_module()
class SSAResize(BottomupResize):
    """Resize for testing, with a limit to what a long side may cost.

    Keys are those of :class:`BottomupResize`. With ``resize_mode='expand'``
    the short side becomes the input size; where the long side would then
    exceed ``max_ratio`` times the input size, the image is scaled down
    further, and the log says so.

    Args:
        input_size (tuple): (W, H) in pixels.
        max_ratio (float): Limit on the long side over the input size.
            Defaults to 4.
        **kwargs: Further arguments of :class:`BottomupResize`.
    """

    def __init__(self,
                 input_size: Tuple[int, int],
                 max_ratio: float = 4.,
                 **kwargs) -> None:
        super().__init__(input_size=input_size, **kwargs)
        self.max_ratio = max_ratio

    def _get_input_size(self, img_size, input_size):
        """Actual and padded (W, H), see the base class."""
        actual, padded = super()._get_input_size(img_size, input_size)
        excess = max(np.divide(actual, input_size)) / self.max_ratio
        if excess <= 1:
            return actual, padded
        actual = tuple(side / excess for side in actual)
        print_log(
            f'image of {img_size} pixels: short side scaled to '
            f'{min(actual):.0f} instead of {min(input_size)}, as the long '
            f'side would exceed {self.max_ratio} times the input size',
            logger='current')
        return actual, self._ceil_to_multiple(actual, self.size_factor)


def _check_flip_indices(results: Dict) -> None:
    """Raise ValueError unless there is one index for each keypoint."""
    keypoints, indices = (results.get('keypoints'),
                          results.get('flip_indices'))
    if keypoints is not None and indices is not None and (
            len(indices) != keypoints.shape[1]):
        raise ValueError(
            f'{len(indices)} flip_indices for {keypoints.shape[1]} keypoints: '
            'after a KeypointConverter the metainfo is that of other '
            'keypoints; flip before it, or put the data set into a '
            'CombinedDataset with the metainfo of the new ones')


def _annotations(results: Dict) -> List[dict]:
    """Take the N raw annotations; they must be those of the keypoints."""
    annotations = results.get('raw_ann_info') or []
    persons = len(results.get('keypoints', ()))
    if len(annotations) != persons:
        raise ValueError(
            f'{len(annotations)} raw_ann_info but {persons} persons in '
            f"keypoints (image {results.get('img_id')}): a step before "
            'dropped persons from one of them; drop none or from both')
    return annotations


def _labelled(results: Dict) -> Tuple[np.ndarray, np.ndarray]:
    """(N,) whether a person has labels, (K,) whether the data have a type."""
    visible = results.get('keypoints_visible', np.zeros((0, 1)))
    known = np.ones(visible.shape[1], bool)
    if visible.ndim == 3:  # visibilities and weights
        known = visible[..., 1].any(axis=0) if len(visible) else known
        visible = visible[..., 0]
    return (visible > 0).any(axis=1), known


def _matrix(results: Dict, heatmap_size: Tuple[int, int]) -> np.ndarray:
    """Affine from image to heatmap of what the pipeline did so far."""
    ori_shape, img_shape = results['ori_shape'], results['img_shape']
    if tuple(ori_shape[:2]) != tuple(img_shape[:2]):
        raise ValueError(
            f'the image was {tuple(ori_shape)} and is {tuple(img_shape)} '
            'before the affine: polygons would miss it; remove the step '
            'that resizes or crops')
    flip = bool(results.get('flip', False))
    if flip and results['flip_direction'] != 'horizontal':
        raise ValueError("RandomFlip must be 'horizontal', got "
                         f"{results['flip_direction']!r}")
    return image_to_heatmap(results['warp_mat'], results['input_size'],
                            heatmap_size, flip)


def _name(annotation: dict) -> str:
    """Name an annotation in a message."""
    return (f"annotation {annotation.get('id')} of image "
            f"{annotation.get('image_id')}")

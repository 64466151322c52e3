"""The codec: from annotations to targets, and from outputs to persons.

It is the only place where the sizes, strides, skeleton and thresholds of a
model are set.
"""
from typing import Any, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.codecs.utils import generate_unbiased_gaussian_heatmaps
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from ..decoding import DecodedPersons, DecodeOptions, decode
from ..decoding.coordinates import token_grid, tokens_at
from ..encoding.heatmaps import gaussian_heatmaps
from ..encoding.pair_targets import pair_targets
from .attention import Attention


@KEYPOINT_CODECS.register_module()
class AttentionGrouping(BaseKeypointCodec):
    """Heatmaps and attention: targets from persons, persons from outputs.

    Args:
        input_size: (W, H) of the training input in pixels.
        heatmap_size: (W/4, H/4) of the heatmaps in cells.
        token_stride: r, input pixels per token.
        sigma: Of the target Gaussians, in heatmap cells.
        pair_targets: Make targets also for persons without a mask, see
            :mod:`pair_targets`.
        **decoding: Skeleton and thresholds, see :class:`DecodeOptions`;
            ``num_keypoints`` and ``unbiased`` hold for the targets too.

    Attributes:
        options: The :class:`DecodeOptions`.

    Raises:
        ValueError: If sizes are not multiples of the stride, or as in
            :class:`DecodeOptions`.
    """

    auxiliary_encode_keys = {'instance_masks'}
    field_mapping_table = dict(
        heatmaps='heatmaps',
        heatmap_mask='heatmap_mask',
        instance_masks='instance_masks')
    label_mapping_table = dict(
        keypoint_tokens='keypoint_tokens',
        keypoint_weights='keypoint_weights',
        pair_targets='pair_targets')

    def __init__(self,
                 input_size: Tuple[int, int],
                 heatmap_size: Tuple[int, int],
                 token_stride: int = 16,
                 sigma: float = 2,
                 pair_targets: bool = False,
                 **decoding: Any) -> None:
        super().__init__()
        _check_sizes(input_size, heatmap_size, token_stride)
        self.input_size = input_size[0], input_size[1]
        self.heatmap_size = heatmap_size[0], heatmap_size[1]
        self.sigma = sigma
        self.pair_targets = pair_targets
        if pair_targets:
            self.auxiliary_encode_keys = {
                'instance_masks', 'bbox', 'area', 'iscrowd', 'skeleton_links'}
        self.options = DecodeOptions(
            heatmap_stride=input_size[0] // heatmap_size[0],
            token_stride=token_stride,
            **decoding)

    @property
    def num_keypoints(self) -> int:
        return self.options.num_keypoints

    @property
    def heatmap_stride(self) -> int:
        return self.options.heatmap_stride

    @property
    def token_stride(self) -> int:
        return self.options.token_stride

    # --- annotations -> targets ---

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: Optional[np.ndarray] = None,
               instance_masks: Optional[np.ndarray] = None,
               **persons: Any) -> dict:
        """Targets of one image with N annotated persons.

        Args:
            keypoints: (N, K, 2) in ``_inp`` pixels.
            keypoints_visible: (N, K), positive where labelled.
            instance_masks: (N, H/4, W/4) person masks of 0 and 1.
            **persons: With ``pair_targets`` also ``bbox``, (N, 4) or its
                corners (N, 4, 2) in ``_inp`` pixels, ``area`` (N,) in square
                pixels of the input, ``iscrowd`` (N,), and ``skeleton_links``,
                pairs of types.

        Returns:
            - heatmaps: (K, H/4, W/4) float32, of all persons.
            - Of the N' persons that can supervise the attention, those with a
                visible keypoint inside and a mask that is not empty:
                keypoint_tokens (N', K) int64, keypoint_weights (N', K)
                float32 (1 where visible and inside), instance_masks
                (N', H/4, W/4).
            - With ``pair_targets`` after them tokens and weights of those
                without a mask who have a visible keypoint inside and are no
                crowd; and pair_targets (N'', h, w) int8 of all of these.

        Raises:
            ValueError: If there are no masks, or not N of them.
        """
        n, k = keypoints.shape[:2]
        if keypoints_visible is None:
            keypoints_visible = np.ones((n, k), np.float32)
        if k != self.num_keypoints:
            raise ValueError(f'{k} keypoints per person, but the codec has '
                             f'num_keypoints={self.num_keypoints}')
        if instance_masks is None or len(instance_masks) != n:
            raise ValueError(
                f'{n} persons need as many instance_masks, got '
                f'{None if instance_masks is None else len(instance_masks)}: '
                'put GeneratePersonMasks before GenerateTarget')
        labelled = keypoints_visible > 0  # confidences, too
        points_hm = keypoints / self.heatmap_stride
        visible = labelled.astype(np.float32)
        if self.options.unbiased:
            heatmaps, _ = generate_unbiased_gaussian_heatmaps(
                self.heatmap_size, points_hm, visible, self.sigma)
        else:
            heatmaps = gaussian_heatmaps(self.heatmap_size, points_hm, visible,
                                         self.sigma)
        inside = ((keypoints >= 0) & (keypoints < self.input_size)).all(-1)
        weights = (labelled & inside).astype(np.float32)
        masked, others = self._supervisors(weights, instance_masks, persons)
        chosen = np.append(masked, others)
        w, h = self.heatmap_size
        grid = token_grid((h, w), self.heatmap_stride, self.token_stride)
        encoded = dict(
            heatmaps=heatmaps,
            instance_masks=instance_masks[masked],
            keypoint_tokens=self.tokens(keypoints[chosen], grid),
            keypoint_weights=weights[chosen])
        if self.pair_targets:
            encoded['pair_targets'] = self._pair_targets(
                keypoints, weights, grid, **persons)[chosen]
        return encoded

    def _supervisors(self, weights: np.ndarray, instance_masks: np.ndarray,
                     persons: dict) -> Tuple[np.ndarray, np.ndarray]:
        """Indices of those who supervise by masks; of those by pairs only."""
        labelled = weights.any(1)
        masked = labelled & instance_masks.any((1, 2))
        others = np.zeros_like(masked)
        if self.pair_targets:
            others = labelled & ~masked & (
                np.array(persons['iscrowd']) == 0)
        return np.flatnonzero(masked), np.flatnonzero(others)

    def _pair_targets(self, keypoints: np.ndarray, weights: np.ndarray,
                      grid: Tuple[int, int], bbox: np.ndarray,
                      area: np.ndarray, skeleton_links: Sequence,
                      **_: Any) -> np.ndarray:
        """(N, h, w) of all persons, see :func:`pair_targets`."""
        corners = np.reshape(bbox, (len(keypoints), -1, 2))
        boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
        return pair_targets(keypoints, weights > 0, boxes, area,
                            skeleton_links, grid, self.token_stride)

    def tokens(self, points_inp: np.ndarray,
               grid: Tuple[int, int]) -> np.ndarray:
        """Row-major token index of points (..., 2), clamped to (h, w)."""
        return tokens_at(points_inp, self.token_stride, grid)

    def check_grid(self, grid: Tuple[int, int],
                   heatmap_shape: Tuple[int, int]) -> None:
        """Raise ValueError unless tokens and heatmaps cover one input.

        Args:
            grid: (h, w) of the attention.
            heatmap_shape: (H/4, W/4) of the heatmaps.
        """
        expected = token_grid(heatmap_shape, self.heatmap_stride,
                              self.token_stride)
        if tuple(grid) != expected:
            raise ValueError(
                f'the attention has a grid of {tuple(grid)} tokens, but '
                f'heatmaps of {tuple(heatmap_shape)} cells and token_stride '
                f'{self.token_stride} need {expected}: set token_stride to '
                'the stride of the backbone')

    # --- outputs -> persons ---

    def decode(self,
               heatmaps: Tensor,
               attention: Attention,
               image: int = 0,
               content_inp: Optional[Sequence[float]] = None
               ) -> DecodedPersons:
        """Persons from the outputs for one image (sections 2.4 and 2.5).

        Args:
            heatmaps: (K, H/4, W/4) of any size.
            attention: Asked for the rows of the candidates.
            image: Index of the image in ``attention``'s batch.
            content_inp: (x0, y0, x1, y1) of the image inside the padded
                input, in pixel indices; all of the input by default.

        Returns:
            The persons, see :class:`DecodedPersons`.

        Raises:
            ValueError: As :meth:`check_grid` and :func:`decode`.
        """
        self.check_grid(attention.grid, (heatmaps.shape[1], heatmaps.shape[2]))

        def rows_of(tokens: np.ndarray) -> np.ndarray:
            asked = torch.from_numpy(tokens).to(heatmaps.device)
            return attention.rows(image, asked).detach().cpu().numpy()

        # NumPy knows no bfloat16
        return decode(heatmaps.detach().float().cpu().numpy(), rows_of,
                      self.options, content_inp)


def _check_sizes(input_size: Tuple[int, int], heatmap_size: Tuple[int, int],
                 token_stride: int) -> None:
    """Raise ValueError for sizes that do not fit each other."""
    if any(size % token_stride for size in input_size):
        raise ValueError(f'input_size {tuple(input_size)} must be a multiple '
                         f'of the token stride {token_stride}')
    strides = [i / hm for i, hm in zip(input_size, heatmap_size)]
    if strides[0] != strides[1] or strides[0] % 1:
        raise ValueError(
            f'input_size {tuple(input_size)} over heatmap_size '
            f'{tuple(heatmap_size)} must be one whole number, got {strides}')

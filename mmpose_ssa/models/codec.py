"""Between annotations and network outputs, both ways.

The one place for strides, the number, order and graph of the keypoints, and
the thresholds of sections 2.4 and 2.5. Decided where the paper is silent: no
candidate lies outside the image's content; at most ``max_persons`` per image
are kept; locations are refined inside the cell.
"""
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.codecs.utils import generate_unbiased_gaussian_heatmaps
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from ..decoding.candidates import (Candidates, find_candidates, quarter_offset,
                                   taylor_offset)
from ..decoding.grouping import (check_order, group_body_first,
                                 group_part_first, search_path)
from ..decoding.heatmaps import gaussian_heatmaps
from ..decoding.merging import instance_scores, merge_persons
from .encoder import Attention

# Decided: trunk before limbs, so that limbs meet well-founded skeletons.
COCO_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
# The kinematic graph of A.2; MMPose's COCO skeleton has 19 other links.
COCO_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (3, 5), (4, 6), (5, 7), (5, 11),
              (6, 8), (6, 12), (7, 9), (8, 10), (11, 13), (13, 15), (12, 14),
              (14, 16), (5, 6), (15, 16), (13, 14), (11, 12))


class DecodedPersons(NamedTuple):
    """P persons of one image, best first.

    Attributes:
        keypoints: (P, K, 2) in ``_inp`` pixels, (0, 0) where missing.
        keypoint_scores: (P, K), 0 where missing.
        scores: (P,) instance scores.
        maps: (P, h, w) person attention maps with maximum 1, token cells.
        candidates: (P, K) index into ``rows``, -1 where missing.
        rows: (M, h, w) attention of every candidate, token cells.
    """
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    candidates: np.ndarray
    rows: np.ndarray


@KEYPOINT_CODECS.register_module()
class AttentionGrouping(BaseKeypointCodec):
    """Heatmaps and attention: targets from persons, persons from outputs.

    Args:
        input_size: (W, H) of the training input in pixels.
        heatmap_size: (W/4, H/4) of the heatmaps in cells.
        token_stride: r, input pixels per token.
        sigma: Of the target Gaussians, in heatmap cells.
        unbiased: Gaussians centred between the cells, and decoding by a
            Taylor expansion (DARK), instead of rounded centres and a shift by
            a quarter of a cell.
        grouping: 'part_first' or 'body_first'.
        score_threshold: t, the least heatmap value of a candidate.
        attraction_threshold: lambda, the least Attraction that joins.
        mask_threshold: sigma of section 2.5, on person maps.
        merge_threshold: Intersection over the larger area above which two
            persons are merged.
        mask_mode: 'soft' or 'binary', see :func:`person_masks.image_masks`.
        nms_kernel: Odd window of the local maxima, in cells.
        max_candidates: Most candidates per type; 0 for no limit.
        max_persons: Most persons per image.
        refine_location: Refine locations inside the cell.
        num_keypoints: K.
        order: All types in the order of the part-first grouping.
        edges: The kinematic graph of the body-first grouping.

    Raises:
        ValueError: If sizes are no multiples of the stride, order or edges
            do not fit K or are missing where K is not 17.
    """

    auxiliary_encode_keys = {'instance_masks'}
    field_mapping_table = dict(
        heatmaps='heatmaps',
        heatmap_mask='heatmap_mask',
        instance_masks='instance_masks')
    label_mapping_table = dict(
        keypoint_tokens='keypoint_tokens',
        keypoint_weights='keypoint_weights')

    def __init__(self,
                 input_size: Tuple[int, int],
                 heatmap_size: Tuple[int, int],
                 token_stride: int = 16,
                 sigma: float = 2,
                 unbiased: bool = False,
                 grouping: str = 'part_first',
                 score_threshold: float = 0.0025,
                 attraction_threshold: float = 0.0025,
                 mask_threshold: float = 0.4,
                 merge_threshold: float = 0.3,
                 mask_mode: str = 'soft',
                 nms_kernel: int = 7,
                 max_candidates: int = 100,
                 max_persons: int = 30,
                 refine_location: bool = True,
                 num_keypoints: int = 17,
                 order: Optional[Sequence[int]] = None,
                 edges: Optional[Sequence[Tuple[int, int]]] = None) -> None:
        super().__init__()
        if num_keypoints == 17:
            order = COCO_ORDER if order is None else order
            edges = COCO_EDGES if edges is None else edges
        _check_codec(input_size, heatmap_size, token_stride, grouping,
                     mask_mode, nms_kernel, num_keypoints, order, edges)
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.heatmap_stride = input_size[0] // heatmap_size[0]
        self.token_stride = token_stride
        self.sigma = sigma
        self.unbiased = unbiased
        self.grouping = grouping
        self.score_threshold = score_threshold
        self.attraction_threshold = attraction_threshold
        self.mask_threshold = mask_threshold
        self.merge_threshold = merge_threshold
        self.mask_mode = mask_mode
        self.nms_kernel = nms_kernel
        self.max_candidates = max_candidates
        self.max_persons = max_persons
        self.refine_location = refine_location
        self.num_keypoints = num_keypoints
        self.order = order
        self.edges = edges

    # --- annotations -> targets ---

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: Optional[np.ndarray] = None,
               instance_masks: Optional[np.ndarray] = None) -> dict:
        """Targets of one image with N annotated persons.

        Args:
            keypoints: (N, K, 2) in ``_inp`` pixels.
            keypoints_visible: (N, K), positive where labelled.
            instance_masks: (N, H/4, W/4) person masks of 0 and 1.

        Returns:
            - heatmaps: (K, H/4, W/4) float32, of all persons.
            - Of the N' persons that can supervise the attention, those with a
              visible keypoint inside and a mask that is not empty:
              keypoint_tokens (N', K) int64, keypoint_weights (N', K) float32
              (1 where visible and inside), instance_masks (N', H/4, W/4).

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
        given = (self.heatmap_size, keypoints[..., :2] / self.heatmap_stride,
                 keypoints_visible, self.sigma)
        if self.unbiased:
            heatmaps, _ = generate_unbiased_gaussian_heatmaps(*given)
        else:
            heatmaps = gaussian_heatmaps(*given)
        inside = ((keypoints >= 0) & (keypoints < self.input_size)).all(-1)
        weights = ((keypoints_visible > 0) & inside).astype(np.float32)
        able = weights.any(1) & instance_masks.any((1, 2))
        grid = (self.input_size[1] // self.token_stride,
                self.input_size[0] // self.token_stride)
        return dict(
            heatmaps=heatmaps,
            keypoint_tokens=self.tokens(keypoints[able], grid),
            keypoint_weights=weights[able],
            instance_masks=instance_masks[able])

    def tokens(self, points_inp: np.ndarray,
               grid: Tuple[int, int]) -> np.ndarray:
        """Row-major token index of points (..., 2), clamped to (h, w)."""
        h, w = grid
        cells = np.floor(points_inp / self.token_stride).astype(np.int64)
        return cells[..., 1].clip(0, h - 1) * w + cells[..., 0].clip(0, w - 1)

    def check_grid(self, grid: Tuple[int, int],
                   heatmap_shape: Tuple[int, int]) -> None:
        """Raise ValueError unless tokens and heatmaps cover one input.

        Args:
            grid: (h, w) of the attention.
            heatmap_shape: (H/4, W/4) of the heatmaps.
        """
        expected = tuple(
            -(-side * self.heatmap_stride // self.token_stride)
            for side in heatmap_shape)
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
        """
        heatmaps = heatmaps.detach().float()
        self.check_grid(attention.grid, heatmaps.shape[1:])
        found = self.candidates(heatmaps, content_inp)
        grid = attention.grid
        tokens = self.tokens(found.cells * self.heatmap_stride, grid)
        rows = attention.rows(image, torch.from_numpy(tokens).to(
            heatmaps.device)).detach().cpu().numpy()
        persons = self.group(found.types, found.scores, rows[:, tokens])
        persons, maps = merge_persons(persons, found.scores, rows,
                                      self.mask_threshold,
                                      self.merge_threshold)
        scores = instance_scores(persons, found.scores)
        best = np.argsort(-scores, kind='stable')[:self.max_persons]
        persons, here = persons[best], persons[best] >= 0
        points = self._locations(heatmaps.cpu().numpy(), found)
        return DecodedPersons(
            keypoints=np.where(here[..., None], points[persons], 0),
            keypoint_scores=np.where(here, found.scores[persons], 0),
            scores=scores[best],
            maps=maps[best].reshape(-1, *grid),
            candidates=persons,
            rows=rows.reshape(-1, *grid))

    def candidates(self,
                   heatmaps: Tensor,
                   content_inp: Optional[Sequence[float]] = None
                   ) -> Candidates:
        """The candidates of one image (section 2.4).

        Args:
            heatmaps: (K, H/4, W/4).
            content_inp: As in :meth:`decode`.

        Returns:
            The candidates, see :class:`Candidates`.
        """
        return find_candidates(
            heatmaps.cpu().numpy(), self.score_threshold, self.nms_kernel,
            self.max_candidates,
            self._content_cells(heatmaps.shape, content_inp))

    def group(self, types: np.ndarray, scores: np.ndarray,
              affinity: np.ndarray) -> np.ndarray:
        """(P, K) candidate indices by the configured view of section 2.4."""
        if self.grouping == 'part_first':
            return group_part_first(types, scores, affinity, self.order,
                                    self.attraction_threshold)
        return group_body_first(types, scores, affinity, self.edges,
                                self.num_keypoints, self.attraction_threshold)

    def _content_cells(self, shape, content_inp) -> Tuple[int, ...]:
        """Half-open cell range (x0, y0, x1, y1) of the content."""
        h, w = shape[-2:]
        if content_inp is None:
            return 0, 0, w, h
        x0, y0, x1, y1 = np.asarray(content_inp) / self.heatmap_stride
        return (max(int(np.ceil(x0)), 0), max(int(np.ceil(y0)), 0),
                min(int(np.floor(x1)) + 1, w), min(int(np.floor(y1)) + 1, h))

    def _locations(self, heatmaps: np.ndarray,
                   found: Candidates) -> np.ndarray:
        """(M, 2) locations in ``_inp``, with (0, 0) appended for index -1."""
        points = found.cells.astype(np.float64)
        if self.refine_location and len(points):
            refine = taylor_offset if self.unbiased else quarter_offset
            points = points + refine(heatmaps, found.types, found.cells)
        return np.concatenate([points * self.heatmap_stride, np.zeros((1, 2))])


def _check_codec(input_size, heatmap_size, token_stride, grouping, mask_mode,
                 nms_kernel, num_keypoints, order, edges) -> None:
    """Raise ValueError for arguments that do not fit each other."""
    if any(size % token_stride for size in input_size):
        raise ValueError(f'input_size {tuple(input_size)} must be a multiple '
                         f'of the token stride {token_stride}')
    strides = [i / hm for i, hm in zip(input_size, heatmap_size)]
    if strides[0] != strides[1] or strides[0] % 1:
        raise ValueError(
            f'input_size {tuple(input_size)} over heatmap_size '
            f'{tuple(heatmap_size)} must be one whole number, got {strides}')
    if grouping not in ('part_first', 'body_first'):
        raise ValueError("grouping must be 'part_first' or 'body_first', got "
                         f'{grouping!r}')
    if mask_mode not in ('soft', 'binary'):
        raise ValueError("mask_mode must be 'soft' or 'binary', got "
                         f'{mask_mode!r}')
    if nms_kernel < 1 or nms_kernel % 2 != 1:
        raise ValueError(f'nms_kernel must be odd and positive, got '
                         f'{nms_kernel}')
    if order is None or edges is None:
        raise ValueError(f'{num_keypoints} keypoints need their own `order` '
                         'and `edges`: the paper gives them for 17 only')
    check_order(order, num_keypoints)
    search_path(edges, num_keypoints, 0)

"""Between annotations and tags, both ways.

Newell et al., "Associative Embedding" (2017), as HigherHRNet's code (Cheng et
al., 2020) trains and tests it. Deviations from that code:

- Gaussians end at three sigma, not a cell farther out.
- A keypoint outside the input has no target. Theirs has one in the first cell
  if it is less than a cell left of the input or above it.
- Keypoints are mirrored in input pixels. Theirs are mirrored in cells, which
  moves nearly all to the cell beside their own.
- Of equal neighbours only the first is a candidate.
- Candidates are matched to all groups, and the best ``max_persons`` are kept.
  Theirs are matched to the first 30, and all are kept.
- No step of a quarter pixel between equal neighbours, nor across the first
  two and the last rows and columns.
- A missing keypoint is filled even where the heatmap is not positive, so that
  none stays missing.

Deviations from MMPose's codec of the name, which this one extends:

- Targets lie in the cell that contains the keypoint, as in HigherHRNet;
  decoding adds the half pixel. MMPose rounds to the nearest cell and adds it,
  too: its targets decode to half a cell beside the keypoint.
- There are targets at several resolutions, each with the crowds masked.
- A keypoint outside the input has no target. MMPose's Gaussian may reach in.
- Of equal neighbours only the first is a candidate.
- Of more than ``max_persons`` the best are kept, not the first.
- A missing keypoint is filled as in HigherHRNet: where the heatmap minus the
  rounded distance of the tags is largest, refined inside the pixel.
"""
from typing import List, Optional, Sequence, Tuple

import numpy as np
from mmpose.codecs import AssociativeEmbedding
from mmpose.codecs.utils import generate_gaussian_heatmaps, refine_keypoints
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from ..decoding.graph import COCO_ORDER, check_order


@KEYPOINT_CODECS.register_module()
class TagGrouping(AssociativeEmbedding):
    """Heatmaps and tags: targets from persons, persons from outputs.

    Args:
        input_size: (W, H) of the training input in pixels.
        heatmap_size: (W, H) of the finest heatmaps in cells.
        num_resolutions: R. Each is half as fine as the next; the tags have
            the coarsest.
        sigma: Of the target Gaussians, in cells of any resolution. Three of
            them must be whole: otherwise MMPose places Gaussians at the left
            and upper edge a cell beside their own.
        keypoint_threshold: What the heatmap of a candidate must exceed.
        tag_threshold: Tags that differ by more belong to two persons.
        nms_kernel: Odd window of the local maxima, in input pixels.
        max_candidates: Most candidates per type.
        max_persons: Most persons per image.
        num_keypoints: K.
        order: All types in the order of the grouping.

    Raises:
        ValueError: If a size or number is not whole and positive, the sizes
            do not fit each other, three sigma are not whole, or the order
            does not fit K or is missing where K is not 17.
    """

    auxiliary_encode_keys = {'heatmap_mask'}
    field_mapping_table = dict(
        heatmaps='heatmaps', heatmap_mask='heatmap_mask')
    label_mapping_table = dict(keypoint_indices='keypoint_indices')

    def __init__(self,
                 input_size: Tuple[int, int],
                 heatmap_size: Tuple[int, int],
                 num_resolutions: int = 1,
                 sigma: float = 2,
                 keypoint_threshold: float = 0.1,
                 tag_threshold: float = 1.,
                 nms_kernel: int = 5,
                 max_candidates: int = 30,
                 max_persons: int = 30,
                 num_keypoints: int = 17,
                 order: Optional[Sequence[int]] = None) -> None:
        if order is None and num_keypoints == 17:
            order = COCO_ORDER
        _check_whole(
            input_size=input_size,
            heatmap_size=heatmap_size,
            num_resolutions=num_resolutions,
            max_candidates=max_candidates,
            max_persons=max_persons)
        _check_codec(input_size, heatmap_size, num_resolutions, sigma,
                     nms_kernel, num_keypoints, order)
        # The outputs are decoded at the size of the input
        super().__init__(
            tuple(input_size),
            tuple(input_size),
            sigma=sigma,
            decode_keypoint_order=list(order),
            decode_nms_kernel=nms_kernel,
            decode_keypoint_thr=keypoint_threshold,
            decode_tag_thr=tag_threshold,
            decode_topk=max_candidates,
            decode_center_shift=0.5)
        self.heatmap_size = tuple(heatmap_size)
        self.heatmap_stride = input_size[0] // heatmap_size[0]
        self.num_resolutions = num_resolutions
        self.max_persons = max_persons
        self.num_keypoints = num_keypoints

    # --- annotations -> targets ---

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: Optional[np.ndarray] = None,
               heatmap_mask: Optional[np.ndarray] = None) -> dict:
        """Targets of one image with N annotated persons.

        Args:
            keypoints: (N, K, 2) in ``_inp`` pixels.
            keypoints_visible: (N, K), positive where labelled.
            heatmap_mask: (1, H, W) of the finest heatmaps, 0 where a cell
                does not count.

        Returns:
            - heatmaps: R arrays (K, h, w) float32, the coarsest first.
            - heatmap_mask: R arrays (1, h, w) uint8, the coarsest first.
            - keypoint_indices: (N', K, 2) int64, of the N' persons with a
                labelled keypoint inside: its row-major cell in the coarsest
                heatmap, and whether it is one.

        Raises:
            ValueError: If K is another, or there is no mask of that size.
        """
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        self._check_targets(keypoints, heatmap_mask)
        inside = ((keypoints >= 0) & (keypoints < self.input_size)).all(-1)
        labelled = (keypoints_visible > 0) & inside
        coarser = [2**i for i in reversed(range(self.num_resolutions))]
        return dict(
            heatmaps=[self._heatmaps(keypoints, labelled, c) for c in coarser],
            heatmap_mask=[_shrink(heatmap_mask, c) for c in coarser],
            keypoint_indices=self._indices(keypoints, labelled,
                                           coarser[0])[labelled.any(1)])

    def _heatmaps(self, keypoints: np.ndarray, labelled: np.ndarray,
                  coarser: int) -> np.ndarray:
        """(K, h, w) Gaussians, so many times coarser than the finest."""
        size = tuple(side // coarser for side in self.heatmap_size)
        cells = np.floor(keypoints / (self.heatmap_stride * coarser))
        return generate_gaussian_heatmaps(size, cells, labelled, self.sigma)[0]

    def _indices(self, keypoints: np.ndarray, labelled: np.ndarray,
                 coarser: int) -> np.ndarray:
        """(N, K, 2) row-major cells, 0 where not labelled; and labelled."""
        cells = keypoints // (self.heatmap_stride * coarser)
        width = self.heatmap_size[0] // coarser
        indices = cells[..., 1] * width + cells[..., 0]
        return np.stack([np.where(labelled, indices, 0), labelled],
                        axis=-1).astype(np.int64)

    def _check_targets(self, keypoints: np.ndarray,
                       heatmap_mask: Optional[np.ndarray]) -> None:
        if keypoints.shape[1] != self.num_keypoints:
            raise ValueError(
                f'{keypoints.shape[1]} keypoints per person, but the codec '
                f'has num_keypoints={self.num_keypoints}')
        shape = (1, *self.heatmap_size[::-1])
        if heatmap_mask is None or heatmap_mask.shape != shape:
            raise ValueError(
                f'the targets need a heatmap_mask of shape {shape}, got '
                f'{None if heatmap_mask is None else heatmap_mask.shape}: put '
                "GeneratePersonMasks with the codec's heatmap_size before "
                'GenerateTarget')

    # --- outputs -> persons ---

    def _get_batch_topk(self, batch_heatmaps: Tensor, batch_tags: Tensor,
                        k: int) -> Tuple[Tensor, Tensor, Tensor]:
        """Best candidates of each type, see the base class.

        Of peaks in one window, which are equal, the first in row-major order
        stays. Four times as many as are wanted are looked at: a peak between
        two cells becomes one of 2 x 2 pixels.
        """
        h, w = batch_heatmaps.shape[2:]
        vals, tags, locs = super()._get_batch_topk(batch_heatmaps, batch_tags,
                                                   min(4 * k, h * w))
        apart = (locs[..., None, :] - locs[..., None, :, :]).abs()
        near = (apart <= self.decode_nms_kernel // 2).all(-1)
        index = locs[..., 1] * w + locs[..., 0]
        earlier = (index[..., None, :] < index[..., None]) & (
            vals > 0)[..., None, :]
        vals = vals.masked_fill((near & earlier).any(-1), 0)
        vals, best = vals.topk(min(k, h * w))
        best = best[..., None]
        return vals, *(
            values.gather(2, best.expand(-1, -1, -1, values.shape[-1]))
            for values in (tags, locs))

    def _group_keypoints(self, batch_vals: np.ndarray, batch_tags: np.ndarray,
                         batch_locs: np.ndarray) -> List[np.ndarray]:
        """(P, K, 3) locations and scores per image, see the base class.

        Raises:
            ValueError: If a candidate's heatmap or tag is not finite.
        """
        if not (np.isfinite(batch_vals).all()
                and np.isfinite(batch_tags).all()):
            raise ValueError(
                'the heatmaps or tags are not finite: the training diverged; '
                'take an earlier checkpoint, or train with a smaller lr')
        groups = super()._group_keypoints(batch_vals, batch_tags, batch_locs)
        return [
            persons[np.argsort(-persons[..., 2].mean(axis=1),
                               kind='stable')[:self.max_persons]]
            for persons in groups
        ]

    def _fill_missing_keypoints(self, keypoints: np.ndarray,
                                keypoint_scores: np.ndarray,
                                heatmaps: np.ndarray, tags: np.ndarray
                                ) -> Tuple[np.ndarray, np.ndarray]:
        """Give every person all keypoints.

        Args:
            keypoints: (P, K, 2) in pixels of the heatmaps.
            keypoint_scores: (P, K), 0 where missing.
            heatmaps: (K, H, W).
            tags: (L K, H, W), L tags for each type.

        Returns:
            New keypoints and scores.
        """
        tags = tags.reshape(-1, *heatmaps.shape)
        cells = np.zeros_like(keypoints)
        missing = keypoint_scores <= 0
        scores = np.where(missing, 0, keypoint_scores)
        for person, kind in np.argwhere(missing):
            mean = _mean_tag(tags, keypoints[person], ~missing[person])
            distance = np.linalg.norm(tags[:, kind] - mean, axis=0)
            best = np.argmax(heatmaps[kind] - np.round(distance))
            y, x = np.unravel_index(best, distance.shape)
            cells[person, kind] = x, y
            scores[person, kind] = max(heatmaps[kind, y, x], 0)
        filled = refine_keypoints(cells, heatmaps) + self.decode_center_shift
        return np.where(missing[..., None], filled, keypoints), scores


def _mean_tag(tags: np.ndarray, points: np.ndarray,
              found: np.ndarray) -> np.ndarray:
    """(L, 1, 1) mean of tags (L, K, H, W) at a person's found (K, 2)."""
    h, w = tags.shape[2:]
    x, y = points[found].astype(np.int64).T
    at = tags[:, found.nonzero()[0], y.clip(0, h - 1), x.clip(0, w - 1)]
    return at.mean(axis=1)[:, None, None]


def _shrink(mask: np.ndarray, factor: int) -> np.ndarray:
    """(1, H, W) -> (1, H/f, W/f), 1 where half of the cells are 1."""
    _, h, w = mask.shape
    blocks = mask.reshape(1, h // factor, factor, w // factor, factor)
    return (blocks.mean(axis=(2, 4)) >= 0.5).astype(mask.dtype)


def _check_whole(**numbers) -> None:
    """Raise ValueError unless all, or all of each, are whole and positive."""
    for name, number in numbers.items():
        if np.min(number) < 1 or np.any(np.mod(number, 1)):
            raise ValueError(
                f'{name} must be whole and above 0, got {number}')


def _check_codec(input_size, heatmap_size, num_resolutions, sigma, nms_kernel,
                 num_keypoints, order) -> None:
    """Raise ValueError for arguments that do not fit each other."""
    strides = [i / hm for i, hm in zip(input_size, heatmap_size)]
    if strides[0] != strides[1] or strides[0] % 1:
        raise ValueError(
            f'input_size {tuple(input_size)} over heatmap_size '
            f'{tuple(heatmap_size)} must be one whole number, got {strides}')
    if any(side % 2**(num_resolutions - 1) for side in heatmap_size):
        raise ValueError(
            f'heatmap_size {tuple(heatmap_size)} must be a multiple of '
            f'{2**(num_resolutions - 1)} for {num_resolutions} resolutions')
    if sigma <= 0 or (3 * sigma) % 1:
        raise ValueError('3 * sigma must be whole and positive, or Gaussians '
                         f'at the edge are shifted; got sigma {sigma}')
    if nms_kernel < 1 or nms_kernel % 2 != 1:
        raise ValueError(f'nms_kernel must be odd and positive, got '
                         f'{nms_kernel}')
    if order is None:
        raise ValueError(
            f'{num_keypoints} keypoints need their own `order`; in a config, '
            'refit(_base_, metainfo=...) finds it')
    check_order(order, num_keypoints)

"""All constants that determine how outputs are decoded to persons."""
from dataclasses import Field, dataclass, fields
from numbers import Integral, Real
from typing import Any, Sequence, Tuple, Union

from .graph import (COCO_EDGES, COCO_ORDER, check_order, outward_order,
                    search_path)


@dataclass(frozen=True)
class DecodeOptions:
    """Strides, skeleton and thresholds; the paper's by default.

    Args:
        heatmap_stride: Input pixels per heatmap cell.
        token_stride: r, input pixels per token.
        num_keypoints: K.
        order: All types in the order of the part-first grouping; by default
            trunk first, see :func:`graph.outward_order`.
        edges: The kinematic graph of the body-first grouping, pairs of types
            that connect all K; A.2's by default if K is 17.
        grouping: 'part_first' or 'body_first', the views of section 2.4.
        matching: The quantity whose sum the part-first assignment maximises:
            'attraction', as in the paper, or 'score_attraction', the
            attraction times the candidate's score, as in Eq. (5) of the
            body-first view.
        fill_missing: 'attention' fills missing keypoints with the best
            heatmap cell on the person's own map, see :mod:`filling`; False,
            as in the paper, leaves them missing. Do not confuse it with the
            switch of the refiner, ``test_cfg.fill_missing`` of
            :class:`~mmpose_ssa.models.estimator.SSAPoseEstimator`.
        score_threshold: t, which a candidate's heatmap value must exceed.
        nms_kernel: Odd window of the local maxima, in cells.
        max_candidates: Most candidates per type; 0 for no limit.
        attraction_threshold: lambda, the smallest attraction at which a
            candidate joins a skeleton.
        fill_threshold: The heatmap value that a filled keypoint must exceed.
        fill_map_threshold: What a person's map must exceed where it is filled.
        mask_threshold: sigma of section 2.5, on person maps.
        merge_threshold: Intersection over the larger area above which two
            persons are merged.
        size_exponent: A person's score is multiplied by the share of the
            image that its map covers above sigma, to this power, because
            large people are found more reliably than small ones with equal
            heatmap values. 0, as in the paper, leaves the score unchanged.
        max_persons: Most persons per image.
        refine_location: Refine locations inside the cell.
        unbiased: The heatmaps' Gaussians are centred between the cells:
            locations come from a Taylor expansion (DARK) instead of a shift
            by a quarter of a cell.
        mask_mode: 'soft' or 'binary', see :func:`masks.image_masks`.

    Raises:
        ValueError: If a value is impossible, order or edges do not fit K, or
            there are no edges and K is not 17.
    """
    heatmap_stride: int = 4
    token_stride: int = 16
    num_keypoints: int = 17
    order: Sequence[int] = ()
    edges: Sequence[Tuple[int, int]] = ()
    grouping: str = 'part_first'
    matching: str = 'attraction'
    fill_missing: Union[bool, str] = False
    score_threshold: float = 0.0025
    nms_kernel: int = 7
    max_candidates: int = 100
    attraction_threshold: float = 0.0025
    fill_threshold: float = 0.001
    fill_map_threshold: float = 0.2
    mask_threshold: float = 0.4
    merge_threshold: float = 0.3
    size_exponent: float = 0.
    max_persons: int = 30
    refine_location: bool = True
    unbiased: bool = False
    mask_mode: str = 'soft'

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_number(field, getattr(self, field.name))
        edges, order, k = self.edges, self.order, self.num_keypoints
        if k == len(COCO_ORDER):
            edges, order = edges or COCO_EDGES, order or COCO_ORDER
        elif not edges and k > 1:
            raise ValueError(f'{k} keypoints need their own `edges`: the '
                             'paper gives them for 17 only')
        search_path(edges, k, 0)
        order = order or outward_order(edges, k)
        check_order(order, k)
        # how a frozen class sets what it derives from its arguments
        object.__setattr__(self, 'edges', tuple((a, b) for a, b in edges))
        object.__setattr__(self, 'order', tuple(order))
        _check_choice('grouping', self.grouping, 'part_first', 'body_first')
        _check_choice('matching', self.matching, 'attraction',
                      'score_attraction')
        _check_choice('fill_missing', self.fill_missing, False, 'attention')
        _check_choice('mask_mode', self.mask_mode, 'soft', 'binary')
        if self.nms_kernel < 1 or self.nms_kernel % 2 != 1:
            raise ValueError('nms_kernel must be odd and positive, got '
                             f'{self.nms_kernel}')
        if not 0 <= self.mask_threshold < 1:
            raise ValueError('mask_threshold must be at least 0 and less than '
                             f"1, a map's maximum; got {self.mask_threshold}")
        if not self.merge_threshold >= 0:
            raise ValueError('merge_threshold must be 0 or more, got '
                             f'{self.merge_threshold}')
        if not 0 <= self.size_exponent < float('inf'):
            raise ValueError('size_exponent must be 0 or more, got '
                             f'{self.size_exponent}')


def _check_number(field: Field, value: Any) -> None:
    """NaN would pass every comparison and find nobody."""
    if field.type is int:
        low = 0 if field.name.startswith('max_') else 1
        if not isinstance(value, Integral) or value < low:
            raise ValueError(f'{field.name} must be a whole number of at '
                             f'least {low}, got {value!r:.80}')
    if field.type is float and not (isinstance(value, Real)
                                    and value == value):
        raise ValueError(f'{field.name} must be a number, got {value!r:.80}')


def _check_choice(name: str, value: Union[bool, str],
                  *choices: Union[bool, str]) -> None:
    if value not in choices:
        raise ValueError(f'{name} must be {" or ".join(map(repr, choices))}, '
                         f'got {value!r}')

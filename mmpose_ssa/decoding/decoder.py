"""From the outputs for one image to its persons (sections 2.4 and 2.5).

Decided where the paper is silent: no candidate lies outside the image's
content; at most ``max_persons`` per image are kept; locations are refined
inside the cell. Pure: arrays in, arrays out; no argument is changed.
"""
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .candidates import (Candidates, find_candidates, quarter_offset,
                         taylor_offset)
from .coordinates import content_cells, token_grid, tokens_at
from .filling import fill_missing
from .grouping import descending, group_body_first, group_part_first
from .merging import instance_scores, merge_persons
from .options import DecodeOptions


class DecodedPersons(NamedTuple):
    """P persons of one image, best first.

    Attributes:
        keypoints: (P, K, 2) in ``_inp`` pixels, (0, 0) where missing.
        keypoint_scores: (P, K), 0 where missing.
        scores: (P,) instance scores.
        maps: (P, h, w) person attention maps with maximum 1, token cells.
        candidates: (P, K) index into ``rows``, -1 where missing.
        rows: (M, h, w) attention of every candidate, token cells.
        filled: (P, K), whether a keypoint is no candidate but was filled from
            the person's map.
    """
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    candidates: np.ndarray
    rows: np.ndarray
    filled: np.ndarray


def decode(heatmaps: np.ndarray,
           rows_of: Callable[[np.ndarray], np.ndarray],
           options: DecodeOptions,
           content_inp: Optional[Sequence[float]] = None) -> DecodedPersons:
    """Persons from the heatmaps and the attention of one image.

    Args:
        heatmaps: (K, H/4, W/4) of any size and float type.
        rows_of: Called once with (M,) row-major indices of tokens; returns
            their attention to all tokens, (M, h * w), rows summing to 1.
        options: Strides, skeleton and thresholds.
        content_inp: (x0, y0, x1, y1) of the image inside the padded input, in
            pixel indices, see :func:`coordinates.content_box`; all of the
            input by default.

    Returns:
        The persons, see :class:`DecodedPersons`.

    Raises:
        ValueError: If heatmaps or rows do not fit the options, or a heatmap
            value is not finite.
    """
    heatmaps = _checked_heatmaps(heatmaps, options.num_keypoints)
    shape = heatmaps.shape[1], heatmaps.shape[2]
    grid = token_grid(shape, options.heatmap_stride, options.token_stride)

    # Section 2.4. The peaks of the heatmaps are M candidates ...
    cells = content_cells(content_inp, options.heatmap_stride, shape)
    found = find_candidates(
        heatmaps, options.score_threshold, options.nms_kernel,
        options.max_candidates, cells)
    # ... whose tokens attend to all L = h * w tokens, (M, L)
    tokens = tokens_at(found.cells * options.heatmap_stride,
                       options.token_stride, grid)
    rows = _checked_rows(rows_of(tokens), len(tokens), grid)
    # ... and so to each other, (M, M), which makes skeletons of them, (P, K)
    persons = group(found.types, found.scores, rows[:, tokens], options)

    # Section 2.5. Skeletons whose attention overlaps become one
    persons, maps = merge_persons(persons, found.scores, rows,
                                  options.mask_threshold,
                                  options.merge_threshold)
    scores = instance_scores(persons, found.scores)
    if options.size_exponent:
        scores = scores * size_factors(maps, cells, options)
    best = descending(scores)[:options.max_persons]
    persons, maps, scores = persons[best], maps[best], scores[best]

    # Candidates in input pixels, (M, 2), and those of each person, (P, K, 2)
    points = locations(heatmaps, found, options)
    here = persons >= 0
    decoded = DecodedPersons(
        keypoints=np.where(here[..., None], points[persons], 0),
        keypoint_scores=np.where(here, found.scores[persons], 0),
        scores=scores,
        maps=maps.reshape(-1, *grid),
        candidates=persons,
        rows=rows.reshape(-1, *grid),
        filled=np.zeros_like(here))
    if options.fill_missing:
        return fill(decoded, heatmaps, options, content_inp)
    return decoded


def group(types: np.ndarray, scores: np.ndarray, affinity: np.ndarray,
          options: DecodeOptions) -> np.ndarray:
    """Make skeletons of candidates by the view that the options name.

    Args:
        types: (M,) keypoint types.
        scores: (M,) heatmap values.
        affinity: (M, M) attention between the candidates' tokens.
        options: Skeleton and thresholds.

    Returns:
        (P, K) candidate indices, -1 where a person lacks the type.
    """
    if options.grouping == 'part_first':
        return group_part_first(types, scores, affinity, options.order,
                                options.attraction_threshold,
                                options.matching)
    return group_body_first(types, scores, affinity, options.edges,
                            options.num_keypoints,
                            options.attraction_threshold)


def size_factors(maps: np.ndarray, cells: Sequence[int],
                 options: DecodeOptions) -> np.ndarray:
    """(P,) share of the image on each map, to the options' power.

    Args:
        maps: (P, L) person attention maps with maximum 1.
        cells: (x0, y0, x1, y1) of the image in heatmap cells, ends excluded.
        options: Strides, sigma and the exponent.
    """
    x0, y0, x1, y1 = cells
    cells_per_token = (options.token_stride / options.heatmap_stride)**2
    covered = (maps > options.mask_threshold).sum(axis=1) * cells_per_token
    share = covered / ((x1 - x0) * (y1 - y0))
    # a map may reach into the padding
    return np.minimum(share, 1)**options.size_exponent


def fill(persons: DecodedPersons, heatmaps: np.ndarray,
         options: DecodeOptions,
         content_inp: Optional[Sequence[float]]) -> DecodedPersons:
    """Fill the persons' missing keypoints from their own maps.

    Instance scores and maps stay those of the candidates.

    Args:
        persons: The persons.
        heatmaps: (K, H/4, W/4).
        options: Strides and thresholds.
        content_inp: As in :func:`decode`.
    """
    stride = options.heatmap_stride
    shape = heatmaps.shape[1], heatmaps.shape[2]
    filling = fill_missing(
        persons.candidates < 0, persons.maps, heatmaps,
        content_cells(content_inp, stride, shape),
        options.fill_map_threshold, options.fill_threshold)
    where = filling.persons, filling.types
    keypoints, scores, filled = (part.copy() for part in (
        persons.keypoints, persons.keypoint_scores, persons.filled))
    keypoints[where] = locations(
        heatmaps, Candidates(filling.types, filling.cells, filling.scores),
        options)
    scores[where] = filling.scores
    filled[where] = True
    return persons._replace(
        keypoints=keypoints, keypoint_scores=scores, filled=filled)


def locations(heatmaps: np.ndarray, found: Candidates,
              options: DecodeOptions) -> np.ndarray:
    """(M, 2) candidates in ``_inp`` pixels, refined inside their cells."""
    points = found.cells.astype(np.float64)
    if options.refine_location:
        refine = taylor_offset if options.unbiased else quarter_offset
        points += refine(heatmaps, found.types, found.cells)
    return points * options.heatmap_stride


def _checked_heatmaps(heatmaps: np.ndarray, num_keypoints: int) -> np.ndarray:
    """Heatmaps in float32."""
    heatmaps = np.asarray(heatmaps, np.float32)
    if heatmaps.ndim != 3 or len(heatmaps) != num_keypoints:
        raise ValueError(
            f'heatmaps of shape {heatmaps.shape} must be those of one image, '
            f'(K, H/4, W/4), with num_keypoints={num_keypoints}')
    if not np.isfinite(heatmaps).all():
        raise ValueError('the heatmaps hold values that are not finite: use '
                         'other weights, or float32 if float16 overflows')
    return heatmaps


def _checked_rows(rows: np.ndarray, number: int,
                  grid: Tuple[int, int]) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.shape != (number, grid[0] * grid[1]):
        raise ValueError(
            f'attention rows of shape {rows.shape}, but {number} candidates '
            f'on a grid of {grid} tokens need {(number, grid[0] * grid[1])}: '
            'set token_stride to the stride of the backbone')
    return rows

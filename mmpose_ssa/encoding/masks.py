"""Person masks at heatmap size, from polygons and RLEs; the valid region.

Frames. Two conventions meet in this module and differ by half a pixel:

- *edge* coordinates: pixel ``i`` spans ``[i, i + 1)``. COCO polygons are
  written in them.
- *index* (centre) coordinates: pixel ``i`` lies at ``i``. Keypoints,
  ``cv2.warpAffine`` and the ``warp_mat`` of MMPose's pipelines use them.

Pure: arrays in, arrays out; no argument is changed.
"""
from typing import List, Sequence, Tuple, Union

import cv2
import numpy as np
import pycocotools.mask as coco_mask

FARTHEST = 1e6  # pixels: no vertex of an image is farther away

Polygons = List[Sequence[float]]
Segmentation = Union[Polygons, dict]


def image_to_heatmap(warp_mat: np.ndarray,
                     input_size: Tuple[int, int],
                     heatmap_size: Tuple[int, int],
                     flip: bool = False) -> np.ndarray:
    """Compose the affine from image edges to heatmap edges.

    The augmentation's matrix maps index coordinates, and its image is
    mirrored afterwards (index x -> W - 1 - x, which is W - x for edges).

    Args:
        warp_mat (np.ndarray): Affine from ``_img`` to ``_inp`` in index
            coordinates, in shape (2, 3).
        input_size (tuple): Network input (W, H) in pixels.
        heatmap_size (tuple): Heatmap (W/4, H/4) in cells.
        flip (bool): Whether the input was mirrored left to right after the
            warp. Defaults to False.

    Returns:
        np.ndarray: Affine from ``_img`` to ``_hm``, both in edge
        coordinates, float64 in shape (2, 3).

    Raises:
        ValueError: If ``warp_mat`` is not an affine in shape (2, 3).
    """
    warp_mat = np.asarray(warp_mat, dtype=np.float64)
    if warp_mat.shape != (2, 3):
        raise ValueError(
            f'warp_mat must be an affine in shape (2, 3), got '
            f'{warp_mat.shape}; use a transform without perspective')
    linear, shift = warp_mat[:, :2], warp_mat[:, 2]
    shift = shift + 0.5 - linear @ (0.5, 0.5)
    if flip:
        linear = linear * [[-1], [1]]
        shift = np.array([input_size[0] - shift[0], shift[1]])
    cells = np.divide(heatmap_size, input_size)
    return np.column_stack([linear, shift]) * cells[:, None]


def rasterize(segmentation: Segmentation, img_shape: Tuple[int, int],
              matrix: np.ndarray,
              heatmap_size: Tuple[int, int]) -> np.ndarray:
    """Draw one COCO segmentation straight at heatmap size.

    Polygons are drawn from their mapped vertices, which is some 35 times
    cheaper than to warp a full image mask. An RLE is decoded and warped
    once; a cell belongs to it where the mask, read at the cell's centre, is
    at least one half. Parts outside the map are cut off.

    Args:
        segmentation (list | dict): Polygons ``[[x0, y0, x1, y1, ...], ...]``
            in ``_img`` edge coordinates (their union is drawn), or an RLE
            ``{'size': [H, W], 'counts': ...}``, compressed or not.
        img_shape (tuple): Original image (height, width, ...) in pixels.
        matrix (np.ndarray): What :func:`image_to_heatmap` returns, in shape
            (2, 3).
        heatmap_size (tuple): Heatmap (w, h) in cells.

    Returns:
        np.ndarray: Mask of 0 and 1, uint8 in shape (h, w).

    Raises:
        ValueError: If a polygon has fewer than three vertices or half a
            vertex, or an RLE does not fit the image.
        TypeError: If the segmentation is neither polygons nor RLE.
    """
    if isinstance(segmentation, dict):
        mask = _decode_rle(segmentation, img_shape)
        return _warp_mask(mask, matrix, heatmap_size)
    if isinstance(segmentation, (list, tuple)) and len(segmentation):
        return _draw_polygons(segmentation, matrix, heatmap_size)
    raise TypeError(
        'segmentation must be a list of polygons or an RLE dict, got '
        f'{segmentation!r}')


def valid_region(segmentations: Sequence[Segmentation],
                 img_shape: Tuple[int, int], matrix: np.ndarray,
                 heatmap_size: Tuple[int, int]) -> np.ndarray:
    """Draw the region M in which the heatmap loss counts (Eq. 1).

    Args:
        segmentations (sequence): Segmentations to leave out of the loss, as
            :func:`rasterize` takes them.
        img_shape (tuple): Original image (height, width, ...) in pixels.
        matrix (np.ndarray): What :func:`image_to_heatmap` returns, in shape
            (2, 3).
        heatmap_size (tuple): Heatmap (w, h) in cells.

    Returns:
        np.ndarray: 0 inside the given segmentations and 1 elsewhere, the
        padding outside the image included; uint8 in shape (h, w).
    """
    valid = np.ones(heatmap_size[::-1], dtype=np.uint8)
    for segmentation in segmentations:
        valid[rasterize(segmentation, img_shape, matrix, heatmap_size) > 0] = 0
    return valid


def _draw_polygons(polygons: Polygons, matrix: np.ndarray,
                   heatmap_size: Tuple[int, int]) -> np.ndarray:
    """Union of polygons, drawn from their mapped vertices."""
    w, h = heatmap_size
    mapped = [(_vertices(polygon) @ matrix[:, :2].T + matrix[:, 2]).ravel()
              for polygon in polygons]
    rles = coco_mask.frPyObjects([m.tolist() for m in mapped], h, w)
    return coco_mask.decode(coco_mask.merge(rles))


def _vertices(polygon: Sequence[float]) -> np.ndarray:
    """Check a polygon ``[x0, y0, ...]`` and shape it to (V, 2)."""
    vertices = np.asarray(polygon, dtype=np.float64)
    if vertices.ndim != 1 or vertices.size < 6 or vertices.size % 2:
        raise ValueError(
            'a polygon must be a flat list [x0, y0, x1, y1, ...] of at '
            f'least three vertices, got {polygon!r}')
    # NaN is not near, either; pycocotools would draw all the way to a vertex
    if not (np.abs(vertices) < FARTHEST).all():
        raise ValueError('polygon has a number that is not finite or too '
                         f'large: {polygon!r:.200}')
    return vertices.reshape(-1, 2)


def _decode_rle(rle: dict, img_shape: Tuple[int, int]) -> np.ndarray:
    """Decode an RLE, compressed or not, to a mask at image size."""
    h, w = img_shape[:2]
    if 'counts' not in rle or 'size' not in rle:
        raise ValueError("an RLE needs 'size' and 'counts', got the keys "
                         f'{sorted(rle)}')
    if list(rle['size']) != [h, w]:
        raise ValueError(
            f"RLE of size {list(rle['size'])} on an image of size {[h, w]} "
            '(height, width): annotation and image do not belong together')
    if not isinstance(rle['counts'], (str, bytes)):
        if sum(rle['counts']) != h * w:
            raise ValueError(
                f"RLE counts add up to {sum(rle['counts'])} pixels, not to "
                f'{h} x {w} = {h * w}: the annotation is damaged')
        rle = coco_mask.frPyObjects(rle, h, w)
    return coco_mask.decode(rle)


def _warp_mask(mask: np.ndarray, matrix: np.ndarray,
               heatmap_size: Tuple[int, int]) -> np.ndarray:
    """Warp an image mask to the map in one step and binarise it."""
    shift = matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5) - 0.5
    index_matrix = np.column_stack([matrix[:, :2], shift])
    # 254 rather than 255: one half is then a whole number, 127
    warped = cv2.warpAffine(
        mask * np.uint8(254), index_matrix, heatmap_size,
        flags=cv2.INTER_LINEAR)
    return (warped >= 127).astype(np.uint8)

"""Masks of persons: attention maps -> image masks -> RLE.

The maps are those of merged persons, see ``merging.py``. Pure: arrays in,
arrays out; no argument is changed.
"""
from typing import Iterator, List, Tuple

import numpy as np
import pycocotools.mask as coco_mask


def maps_on_image(maps: np.ndarray, img_shape: Tuple[int, int],
                  scale: np.ndarray, offset: np.ndarray,
                  stride: int) -> Iterator[np.ndarray]:
    """Resize maps on the token grid to the original image, one by one.

    Bilinear with half-pixel centres; padding and resizing of the network
    input are undone on the way, so only the image's own pixels are computed.

    Args:
        maps: (P, h, w).
        img_shape: (height, width) of the original image.
        scale: (x, y) factors and
        offset: (x, y) offsets of ``x_inp = scale * x_img + offset``, pixel
            indices on both sides.
        stride: Input pixels per token, r.

    Yields:
        P maps (H, W), float32.
    """
    down, across = _axes(maps, img_shape, scale, offset, stride)
    for token_map in maps.astype(np.float32):
        yield (across @ token_map.T @ down.T).T


def image_masks(maps: np.ndarray,
                img_shape: Tuple[int, int],
                scale: np.ndarray,
                offset: np.ndarray,
                stride: int,
                threshold: float,
                mode: str = 'soft') -> np.ndarray:
    """Person maps on the token grid -> binary masks of the original image.

    Args:
        maps: (P, h, w), maximum 1.
        img_shape: (height, width) of the original image.
        scale: As in :func:`maps_on_image`.
        offset: As in :func:`maps_on_image`.
        stride: Input pixels per token, r.
        threshold: sigma.
        mode: 'soft' resizes the map and thresholds it at sigma; 'binary',
            the paper's wording, resizes the token mask and thresholds at 0.5.

    Returns:
        (H, W, P) uint8, Fortran order as RLE encoding wants it.
    """
    if mode not in ('soft', 'binary'):
        raise ValueError(f"mask mode must be 'soft' or 'binary', got {mode!r}")
    if mode == 'binary':
        maps, threshold = maps > threshold, 0.5
    down, across = _axes(maps, img_shape, scale, offset, stride)
    masks = np.zeros((len(maps), img_shape[1], img_shape[0]), np.uint8)
    # A pixel is between the tokens around it, but for rounding: only pixels
    # near tokens above the threshold can be above it
    above = (maps > (1 - 1e-5) * threshold).astype(np.float32)
    for mask, token_map, x, y in zip(masks, maps.astype(np.float32),
                                     above.max(axis=1), above.max(axis=2)):
        columns, rows = _reach(across, x), _reach(down, y)
        image_map = across[columns] @ token_map.T @ down[rows].T
        mask[columns, rows] = image_map > threshold
    return masks.transpose(2, 1, 0)


def _reach(weights: np.ndarray, tokens: np.ndarray) -> slice:
    """The pixels along an axis whose value depends on any of some tokens."""
    pixels = np.flatnonzero(weights @ tokens)
    return slice(pixels[0], pixels[-1] + 1) if len(pixels) else slice(0)


def _axes(maps: np.ndarray, img_shape: Tuple[int, int],
          scale: np.ndarray, offset: np.ndarray,
          stride: int) -> List[np.ndarray]:
    """(H, h) and (W, w) weights that resize maps (P, h, w) to the image."""
    return [
        bilinear_weights(size, n, s, o, stride) for size, n, s, o in zip(
            img_shape, maps.shape[1:], scale[::-1], offset[::-1])]


def bilinear_weights(size_img: int, size_tok: int, scale: float,
                     offset: float, stride: float) -> np.ndarray:
    """(size_img, size_tok) matrix of bilinear weights along one axis."""
    x_inp = np.arange(size_img) * scale + offset
    x_tok = np.clip((x_inp + 0.5) / stride - 0.5, 0, size_tok - 1)
    left = np.minimum(x_tok.astype(np.int64), max(size_tok - 2, 0))
    weights = np.zeros((size_img, size_tok), np.float32)
    pixels = np.arange(size_img)
    weights[pixels, left] = 1 - (x_tok - left)
    weights[pixels, np.minimum(left + 1, size_tok - 1)] += x_tok - left
    return weights


def encode_rle(masks: np.ndarray) -> List[dict]:
    """(H, W, P) uint8 masks -> P compressed RLE dicts, ready for JSON."""
    rles = coco_mask.encode(np.asfortranarray(masks))
    return [dict(size=list(rle['size']), counts=rle['counts'].decode())
            for rle in rles]

"""The only primitive of scenes: convex hulls of circles with a texture.

Limbs, heads and shoes are such hulls, and so are furniture and floors. Circles
are rows (x, y, radius) in pixels, in index coordinates: (0, 0) is the centre
of the first pixel. Colours are BGR from 0 to 255.
"""
import colorsys
from dataclasses import dataclass
from typing import Optional, Tuple

import cv2
import numpy as np

SKIN_RGB = np.array([(255, 224, 196), (241, 194, 160), (224, 172, 128),
                     (198, 134, 96), (161, 102, 68), (120, 76, 50),
                     (88, 56, 40), (60, 40, 32)], np.float32)
HAIR_RGB = np.array([(20, 18, 18), (60, 40, 28), (110, 70, 40),
                     (190, 140, 70), (225, 200, 140), (150, 60, 30),
                     (170, 170, 170)], np.float32)

_PATTERNS = ('stripes', 'hoops', 'checks', 'dots', 'noise', 'slant')
_NOISE = np.random.default_rng(0).random((64, 64)).astype(np.float32)
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_RING = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)  # a circle's outline
_SUBPIXEL_BITS = 4  # fraction of the coordinates given to cv2's drawing

# A painted region: rows and columns, and (h, w) bool within them
Covered = Tuple[Tuple[slice, slice], np.ndarray]


@dataclass(frozen=True)
class Texture:
    """Two colours, mixed by a pattern along the axis of a hull.

    Attributes:
        pattern: 'plain', 'stripes', 'hoops', 'checks', 'dots', 'noise' or
            'slant'.
        inks: (2, 3) float32, BGR.
        period: Of the pattern [px].
        light: Brightness gained towards one side of the axis and lost on the
            other, as a fraction.
        outline: Darkness of the outline, 0 (none) to 1 (black).
    """
    pattern: str
    inks: np.ndarray
    period: float
    light: float = 0.15
    outline: float = 0.0


def random_colour(rng: np.random.Generator,
                  palette: Optional[np.ndarray] = None) -> np.ndarray:
    """(3,) float32 BGR: any colour, or one near a row of a palette (RGB)."""
    if palette is None:
        rgb = colorsys.hsv_to_rgb(rng.random(), rng.random() ** .8,
                                  rng.uniform(.12, 1))
        return 255 * np.array(rgb[::-1], np.float32)
    rgb = palette[rng.integers(len(palette))] * rng.uniform(.9, 1.1)
    return np.clip(rgb + rng.normal(0, 5, 3), 5, 250)[::-1].astype(np.float32)


def random_texture(rng: np.random.Generator, extent: float,
                   palette: Optional[np.ndarray] = None, plain: float = .45,
                   outline: float = 0.) -> Texture:
    """Draw a texture.

    Args:
        rng: Source of all choices; it is advanced.
        extent: The size to which the pattern's period is proportional, such
            as the height of a person [px].
        palette: (n, 3) RGB, colours to choose from; None for all colours.
        plain: Probability of no pattern.
        outline: Darkness of the outline, 0 to 1.

    Returns:
        Texture: Its period is at least 2.5 px.
    """
    pattern = 'plain' if rng.random() < plain else str(rng.choice(_PATTERNS))
    inks = np.stack([random_colour(rng, palette) for _ in range(2)])
    period = max(2.5, extent * rng.uniform(.025, .09))
    return Texture(pattern, inks, period, rng.uniform(-.3, .3), outline)


def paint(canvas: np.ndarray, circles_img: np.ndarray,
          texture: Texture) -> Covered:
    """Draw the hull of some circles onto ``canvas``, in place.

    Args:
        canvas: (H, W, 3) float32, BGR.
        circles_img: (n, 3) x, y, radius [px]; the texture's axis runs from
            the first to the last.
        texture: Of the hull.

    Returns:
        tuple: A window (two slices) of the canvas and (h, w) bool, the pixels
        in it that are at least half covered; both empty if the hull lies
        outside.
    """
    rings = circles_img[:, None, :2] + circles_img[:, None, 2:] * _RING
    hull = cv2.convexHull(rings.reshape(-1, 2).astype(np.float32))[:, 0]
    low = np.maximum(np.floor(hull.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(hull.max(0)).astype(int) + 2,
                      canvas.shape[1::-1])
    if (high <= low).any():
        return (slice(0), slice(0)), np.zeros((0, 0), bool)
    window = slice(low[1], high[1]), slice(low[0], high[0])
    cols, rows = (np.arange(*ends, dtype=np.float32)
                  for ends in zip(low, high))
    colours = _fill(texture, circles_img, rows[:, None], cols)
    alpha = np.zeros(colours.shape[:2], np.uint8)
    corners = np.round((hull - low) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(alpha, corners, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    if texture.outline:
        edge = np.zeros_like(alpha)
        cv2.polylines(edge, [corners], True, 255, 1, cv2.LINE_AA,
                      _SUBPIXEL_BITS)
        colours *= 1 - texture.outline / 255 * edge[..., None]
    share = alpha[..., None].astype(np.float32) / 255
    canvas[window] += (colours - canvas[window]) * share
    return window, alpha > 127


def covered_mask(canvas: np.ndarray, covered: Covered) -> np.ndarray:
    """The region that :func:`paint` covered, as (H, W) bool."""
    window, inside = covered
    mask = np.zeros(canvas.shape[:2], bool)
    mask[window] = inside
    return mask


def _fill(texture: Texture, circles_img: np.ndarray, rows: np.ndarray,
          cols: np.ndarray) -> np.ndarray:
    """(h, w, 3) colours at rows (h, 1) and columns (w,), with shading."""
    start, end = circles_img[0, :2], circles_img[-1, :2]
    axis = end - start
    length = np.hypot(*axis)
    axis = axis / length if length > 1e-3 else np.array([0., 1.])
    x, y = cols - start[0], rows - start[1]
    along = x * axis[0] + y * axis[1]
    across = y * axis[0] - x * axis[1]
    radius = circles_img[:, 2].max() + 1.
    rim = np.clip(across / radius, -1.2, 1.2)
    shade = 1. + texture.light * rim - .12 * rim * rim  # round, lit aside
    mix = _pattern(texture, along, across)[..., None]
    colours = texture.inks[0] + (texture.inks[1] - texture.inks[0]) * mix
    return np.clip(colours * shade[..., None], 0, 255)


def _pattern(texture: Texture, along: np.ndarray,
             across: np.ndarray) -> np.ndarray:
    """(h, w) share of the second colour at texture coordinates [px]."""
    a, b = along / texture.period, across / texture.period
    if texture.pattern == 'hoops':
        return (a % 1 < .5).astype(np.float32)
    if texture.pattern == 'stripes':
        return (b % 1 < .4).astype(np.float32)
    if texture.pattern == 'slant':
        return ((a + b) % 1.6 < .6).astype(np.float32)
    if texture.pattern == 'checks':
        return ((a % 1 < .5) ^ (b % 1 < .5)).astype(np.float32)
    if texture.pattern == 'dots':
        return ((a % 1 - .5)**2 + (b % 1 - .5)**2 < .09).astype(np.float32)
    if texture.pattern == 'noise':
        rows, cols = (3 * a).astype(int) & 63, (3 * b).astype(int) & 63
        return _NOISE[rows, cols]
    return np.zeros_like(a)

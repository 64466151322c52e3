"""Backgrounds of scenes: wall and floor, shapes, loose limbs.

The clutter keeps a network from finding people by edges or skin colour alone.
"""
import cv2
import numpy as np

from .hull import SKIN_RGB, paint, random_colour, random_texture
from .skeleton import rotation


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a wall, in some images a floor, up to 13 shapes and 4 limbs.

    Args:
        rng: Source of all choices; it is advanced.
        size: Width and height [px].

    Returns:
        (size, size, 3) float32, BGR: The canvas for people.
    """
    canvas = _wall(rng, size)
    if rng.random() < .6:  # floor or wall with a pattern
        texture = random_texture(rng, size, plain=.3)
        top = rng.uniform(.4, .9) * size if rng.random() < .7 else -size
        paint(canvas, np.array([(-size, top, 1.), (2 * size, top, 1.),
                                (2 * size, 3 * size, 1.),
                                (-size, 3 * size, 1.)]), texture)
    for _ in range(rng.integers(0, 14)):
        paint(canvas, random_shape(rng, size), random_texture(rng, size))
    for _ in range(rng.integers(0, 5)):
        _draw_loose_limb(rng, canvas)
    return canvas


def random_shape(rng: np.random.Generator, size: int, low: float = .05,
                 high: float = .4) -> np.ndarray:
    """Choose a box, a round thing or a triangle at a random place.

    Args:
        rng: Source of all choices; it is advanced.
        size: Width and height of the image [px].
        low: Smallest width and height, as a fraction of ``size``.
        high: Largest width and height, as a fraction of ``size``.

    Returns:
        (n, 3) x, y, radius [px]: Circles, as :func:`hull.paint` takes them.
    """
    at = rng.uniform(-.05, 1.05, 2) * size
    w, h = rng.uniform(low, high, 2) * size
    corner = rng.uniform(.5, .03 * size)
    kind = rng.random()
    if kind < .4:  # box, slightly turned
        box = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
        spin = rotation(roll=rng.normal(0, 6))[:2, :2]
        return np.column_stack([box @ spin.T + at, np.full(4, corner)])
    if kind < .6:  # round
        return np.array([(*at, w / 2), (*(at + (h / 3, 0)), w / 2)])
    return np.column_stack([at + rng.normal(0, .12 * size, (3, 2)),
                            np.full(3, corner)])


def _wall(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) float32: a few random colours, blended."""
    cells = rng.integers(2, 7)
    colours = np.stack([random_colour(rng) for _ in range(cells * cells)])
    base, spread = random_colour(rng), rng.uniform(.05, .6)
    grid = base + (colours.reshape(cells, cells, 3) - base) * spread
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR)


def _draw_loose_limb(rng: np.random.Generator,
                         canvas: np.ndarray) -> None:
    """Draw a bent chain of strokes like a limb, in place."""
    size = len(canvas)
    at, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
    length = rng.uniform(.06, .2) * size
    texture = random_texture(rng, size / 2,
                             SKIN_RGB if rng.random() < .5 else None)
    for _ in range(rng.integers(1, 4)):
        step = at + length * np.array([np.cos(angle), np.sin(angle)])
        paint(canvas, np.array([(*at, length * .22), (*step, length * .16)]),
              texture)
        at, angle = step, angle + rng.uniform(-1.6, 1.6)
        length *= .9

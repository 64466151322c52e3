"""Scenes of drawn people: people in front of people, among things.

Painted from far to near: background, crowd, then people with what they sit on
and what hides them. Each person and thing is a layer; from near to far, what
is left of every layer is annotated.

Pure: arrays out, all choices from one random generator; numpy and cv2 only.
"""
from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from .drawn_annotation import crowd_annotation, person_annotation
from .drawn_figure import Placed, draw_person
from .drawn_hull import (SKIN_RGB, covered_mask, paint, random_colour,
                         random_texture)
from .drawn_skeleton import HIP, random_skeleton, rotation

MIN_SIZE = 64  # [px]

_PEOPLE_COUNTS = (.04, .22, .28, .25, .14, .07)  # P(0 people), P(1), ... P(5)


@dataclass(frozen=True)
class Scene:
    """One drawn image and its people.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        annotations: COCO annotations without ``id`` and ``image_id``: the N
            persons, then at most one crowd region.
        silhouettes: (N, H, W) bool, each person as if nothing stood in front.
        visible: (N, H, W) bool, what is left of it.
        yaws: (N,) degrees, 0 faces the viewer, 180 shows the back.
    """
    image: np.ndarray
    annotations: List[dict]
    silhouettes: np.ndarray
    visible: np.ndarray
    yaws: np.ndarray


class _Layer(NamedTuple):
    """A thing, or a person with keypoints as nothing in front hides them."""
    mask: np.ndarray  # (H, W) bool
    keypoints: Optional[np.ndarray] = None  # (17, 3) x, y [px], v
    yaw: Optional[float] = None  # degrees


class _Shown(NamedTuple):
    """A person of whom something is visible."""
    annotation: dict
    silhouette: np.ndarray  # (H, W) bool
    visible: np.ndarray  # (H, W) bool
    yaw: float  # degrees


def draw_scene(seed: Any, size: int = 320, max_people: int = 5,
               min_height: float = .25) -> Scene:
    """Draw one image with its people.

    Args:
        seed: Whatever ``numpy.random.default_rng`` takes: an int, a sequence
            of ints, or a generator, which is advanced.
        size: Width and height of the image [px].
        max_people: Most people in the foreground.
        min_height: Least height of a person standing upright, as a share of
            the image's.

    Returns:
        Scene: Image, annotations and masks, farthest person first. People of
        whom nothing is visible are left out.

    Raises:
        ValueError: If ``size`` is below 64 or not a whole number, or
            ``max_people`` or ``min_height`` out of range.
    """
    check_scene(size, max_people, min_height)
    rng = np.random.default_rng(seed)
    canvas = _background(rng, size)
    number = min(int(rng.choice(len(_PEOPLE_COUNTS), p=_PEOPLE_COUNTS)),
                 max_people)
    people = _place(rng, size, number, min_height)
    crowd = np.zeros((size, size), bool)
    if number and rng.random() < .08:
        crowd = _draw_crowd(rng, canvas)
    layers = _draw_layers(rng, canvas, people)
    shown, hidden = _peel(layers, size)
    annotations = [person.annotation for person in shown]
    region = crowd & ~hidden
    if region.any():
        annotations.append(crowd_annotation(region))
    masks = np.zeros((2, len(shown), size, size), bool)
    for i, person in enumerate(shown):
        masks[:, i] = person.silhouette, person.visible
    return Scene(_finish(rng, canvas), annotations, *masks,
                 np.array([person.yaw for person in shown]))


def check_scene(size: int, max_people: int, min_height: float) -> None:
    """Raise ValueError for what :func:`draw_scene` cannot draw."""
    check_whole('size', size, MIN_SIZE)
    check_whole('max_people', max_people, 1)
    if not .25 <= min_height <= 1:
        raise ValueError(f'min_height is {min_height!r}: give a share of the '
                         "image's height between 0.25 and 1")


def check_whole(name: str, value: Any, low: int) -> None:
    """Raise ValueError unless ``value`` is a whole number from ``low`` on."""
    if type(value) is not int or value < low:  # True is an int as well
        raise ValueError(f'{name} is {value!r}: give a whole number of at '
                         f'least {low}')


# ------------------------------------------------------------------ people


def _place(rng: np.random.Generator, size: int, number: int,
           least: float) -> List[Placed]:
    """Choose people and their places, far to near.

    Most stand beside somebody already there, about as tall: people hide
    each other, and neither place nor scale tells their limbs apart.
    """
    people = []
    for _ in range(number):
        body = random_skeleton(rng)
        if people and rng.random() < .35:
            beside = people[rng.integers(len(people))]
            height, at = _beside(rng, beside)
            height = np.clip(height, least * size, 1.2 * size)
        else:
            ...
    return people


def _standing_height(rng: np.random.Generator, least: float) -> float:
    """Share of the image's height: ``least`` to 1.2, mostly 0.4 to 0.9."""
    low, high = ((.4, .9), (.25, .4), (.9, 1.2))[
        rng.choice(3, p=(.72, .16, .12))]
    return rng.uniform(max(low, least), max(high, least))

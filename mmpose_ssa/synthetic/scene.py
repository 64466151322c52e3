"""Scenes of synthetic people: people in front of people, among things.

A scene is painted from far to near: background, crowd, then people with their
seats and with things in front of them. Each person or thing is a layer. The
part of a person that no nearer layer covers is annotated. All choices come
from one random generator.
"""
from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from .annotation import crowd_annotation, person_annotation
from .background import draw_background, random_shape
from .hull import covered_mask, paint, random_texture
from .person import Placed, draw_person
from .skeleton import HIP, Skeleton, random_skeleton

MIN_SIZE = 64  # [px]
MAX_SIZE = 8192  # [px]

_PEOPLE_COUNTS = (.04, .22, .28, .25, .14, .07)  # P(0 people), P(1), ... P(5)
MOST_PEOPLE = len(_PEOPLE_COUNTS) - 1
MOST_IN_CROWD = 12  # where the least number is given, too


@dataclass(frozen=True)
class Scene:
    """An image and its people.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        annotations: COCO annotations without ``id`` and ``image_id``: the N
            persons, then at most one crowd region.
        silhouettes: (N, H, W) bool, ignoring what stands in front.
        visible: (N, H, W) bool, the parts that nothing hides.
        yaws: (N,) degrees, 0 faces the viewer, 180 shows the back.
    """
    image: np.ndarray
    annotations: List[dict]
    silhouettes: np.ndarray
    visible: np.ndarray
    yaws: np.ndarray


class _Layer(NamedTuple):
    """A thing, or a person with keypoints that ignore what is in front."""
    mask: np.ndarray  # (H, W) bool
    keypoints: Optional[np.ndarray] = None  # (17, 3) x, y [px], v
    yaw: Optional[float] = None  # degrees


class _Shown(NamedTuple):
    """A person who is at least partly visible."""
    annotation: dict
    silhouette: np.ndarray  # (H, W) bool
    visible: np.ndarray  # (H, W) bool
    yaw: float  # degrees


def draw_scene(seed: Any, size: int = 320, max_people: int = 5,
               min_height: float = .25, min_people: int = 0) -> Scene:
    """Draw one image with its people.

    Args:
        seed: Anything that ``numpy.random.default_rng`` takes: an int, a
            sequence of ints, or a generator, which is advanced.
        size: Width and height of the image [px].
        max_people: Most people in the foreground, 1 to 5; to 12 with
            ``min_people``.
        min_height: Smallest height of a person standing upright, as a
            fraction of the image's.
        min_people: Fewest people. 0 draws their number as it is in photos,
            mostly 1 to 3; else each number up to ``max_people`` is as likely.

    Returns:
        Scene: Image, annotations and masks, farthest person first, without
        people who are hidden completely.

    Raises:
        ValueError: If ``size`` is below 64 or not a whole number, or
            ``max_people``, ``min_height`` or ``min_people`` out of range.
    """
    check_scene(size, max_people, min_height, min_people)
    rng = np.random.default_rng(seed)
    canvas = draw_background(rng, size)
    if min_people:
        number = int(rng.integers(min_people, max_people + 1))
    else:
        number = min(int(rng.choice(len(_PEOPLE_COUNTS), p=_PEOPLE_COUNTS)),
                     max_people)
    people = _place(rng, size, number, min_height)
    crowd = np.zeros((size, size), bool)
    if number and rng.random() < .08:
        crowd = _draw_crowd(rng, canvas)
    shown, hidden = _peel(_draw_layers(rng, canvas, people), size)
    annotations = [person.annotation for person in shown]
    region = crowd & ~hidden
    if region.any():
        annotations.append(crowd_annotation(region))
    masks = np.zeros((2, len(shown), size, size), bool)
    for i, person in enumerate(shown):
        masks[:, i] = person.silhouette, person.visible
    return Scene(photograph(rng, canvas), annotations, masks[0], masks[1],
                 np.array([person.yaw for person in shown]))


def check_scene(size: int, max_people: int, min_height: float,
                min_people: int = 0) -> None:
    """Raise ValueError for what :func:`draw_scene` cannot draw."""
    check_whole('size', size, MIN_SIZE)
    if size > MAX_SIZE:
        raise ValueError(f'size is {size}: give at most {MAX_SIZE} pixels')
    check_whole('min_people', min_people, 0)
    most = MOST_IN_CROWD if min_people else MOST_PEOPLE
    # True is an int as well
    if type(max_people) is not int or not 1 <= max_people <= most:
        raise ValueError(f'max_people is {max_people!r}: give a whole number '
                         f'between 1 and {most}')
    if min_people > max_people:
        raise ValueError(f'min_people is {min_people} and max_people '
                         f'{max_people}: give a smaller min_people')
    if not .25 <= min_height <= 1:
        raise ValueError(f'min_height is {min_height!r}: give a fraction of '
                         "the image's height between 0.25 and 1")


def check_whole(name: str, value: Any, low: int) -> None:
    """Raise ValueError unless ``value`` is a whole number from ``low`` on."""
    if type(value) is not int or value < low:  # True is an int as well
        raise ValueError(f'{name} is {value!r}: give a whole number of at '
                         f'least {low}')


# --- places -----------------------------------------------------------------


def _place(rng: np.random.Generator, size: int, number: int,
           least: float) -> List[Placed]:
    """Choose people and their places, far to near.

    A third of them stand next to someone placed earlier. So people hide each
    other, and neither place nor scale is enough to assign limbs to people.
    """
    people: List[Placed] = []
    for _ in range(number):
        body = random_skeleton(rng)
        if people and rng.random() < .35:
            other = people[rng.integers(len(people))]
            people.append(_place_beside(rng, other, body, size, least))
        else:
            people.append(_place_anywhere(rng, body, size, least))
    # The taller in the image, the nearer, but not strictly
    nearness = [p.height * rng.uniform(.8, 1.25) for p in people]
    return [people[i] for i in np.argsort(nearness)]


def _place_beside(rng: np.random.Generator, other: Placed, body: Skeleton,
                  size: int, least: float) -> Placed:
    """Place somebody of a similar height close to another person."""
    x, y = other.hips_img
    x = x + rng.choice([-1, 1]) * rng.uniform(.08, .4) * other.height
    y = y + rng.normal(0, .07) * other.height
    height = np.clip(other.height * rng.uniform(.8, 1.25), least * size,
                     1.2 * size)
    return Placed(body, float(height), np.array([x, y]))


def _place_anywhere(rng: np.random.Generator, body: Skeleton, size: int,
                    least: float) -> Placed:
    """Place somebody inside the image, or sometimes across its border."""
    top, bottom = body.joints[:, 1].min() - .08, body.joints[:, 1].max()
    height = _standing_height(rng, least) * size
    x = rng.uniform(.06, .94) * size
    free = size - (bottom - top + .06) * height
    y = rng.uniform(0, 1) * free - top * height
    if rng.random() < .2:
        y += rng.normal(0, .25) * height
    return Placed(body, float(height), np.array([x, y]))


def _standing_height(rng: np.random.Generator, least: float) -> float:
    """Fraction of the image's height: ``least`` to 1.2, mostly .4 to .9."""
    low, high = ((.4, .9), (.25, .4), (.9, 1.2))[
        rng.choice(3, p=(.72, .16, .12))]
    return rng.uniform(max(low, least), max(high, least))


# --- drawing ----------------------------------------------------------------


def _draw_layers(rng: np.random.Generator, canvas: np.ndarray,
                 people: List[Placed]) -> List[_Layer]:
    """Draw people and the things around them in place, far to near."""
    layers = []
    for i, placed in enumerate(people):
        body = placed.skeleton
        if body.pose == 'sit' and rng.random() < .6:
            layers.append(_Layer(_draw_seat(rng, canvas, placed)))
        silhouette, keypoints = draw_person(rng, canvas, placed)
        layers.append(_Layer(silhouette, keypoints, body.yaw))
        if rng.random() < .12:
            hidden = people[rng.integers(i + 1)]
            layers.append(_Layer(_draw_occluder(rng, canvas, hidden)))
    return layers


def _draw_crowd(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Draw a row of tiny people far away; (H, W) bool of their region."""
    size = len(canvas)
    region = np.zeros(canvas.shape[:2], bool)
    height, y = rng.uniform(.07, .13) * size, rng.uniform(.15, .6) * size
    left = rng.uniform(0, .6) * size
    gaps = rng.uniform(.1, .4, rng.integers(6, 14))
    for x in left + np.cumsum(gaps) * height:
        hips_img = np.array([x, y + rng.normal(0, .15) * height])
        placed = Placed(random_skeleton(rng), height * rng.uniform(.85, 1.15),
                        hips_img)
        region |= draw_person(rng, canvas, placed)[0]
    kernel = np.ones((3, 3), np.uint8)
    return cv2.dilate(region.astype(np.uint8), kernel) > 0


def _draw_seat(rng: np.random.Generator, canvas: np.ndarray,
               placed: Placed) -> np.ndarray:
    """Draw a box to sit on behind a person; (H, W) bool."""
    height = placed.height
    hips_img = placed.project(placed.skeleton.pair(HIP))
    w, h = rng.uniform(.1, .3) * height, rng.uniform(.1, .3) * height
    box = np.array([(-w, 0), (w, 0), (w, h), (-w, h)])
    box = box + hips_img.mean(0) + (0, .05 * height)
    texture = random_texture(rng, len(canvas))
    return covered_mask(canvas, paint(
        canvas, np.column_stack([box, np.full(4, 2.)]), texture))


def _draw_occluder(rng: np.random.Generator, canvas: np.ndarray,
                   placed: Placed) -> np.ndarray:
    """Draw a thing in front of a person; (H, W) bool."""
    size, height = len(canvas), placed.height
    shape = random_shape(rng, size, .08, .3)
    aim = placed.hips_img + rng.normal(0, .25, 2) * height + (0, .1 * height)
    shape[:, :2] += aim - shape[:, :2].mean(0)
    texture = random_texture(rng, size)
    return covered_mask(canvas, paint(canvas, shape, texture))


def photograph(rng: np.random.Generator, canvas: np.ndarray,
               grain: Optional[np.random.Generator] = None) -> np.ndarray:
    """Add light, blur and sensor noise; returns (H, W, 3) uint8.

    Args:
        rng: Source of light, blur, and the strength of the noise.
        canvas: (H, W, 3) float32.
        grain: Source of the noise, so that it differs between the frames of
            a video; ``rng`` by default.
    """
    size = len(canvas)
    light = cv2.resize(rng.uniform(.75, 1.2, (2, 2)).astype(np.float32),
                       (size, size), interpolation=cv2.INTER_LINEAR)
    canvas = canvas * light[..., None]
    if rng.random() < .25:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(.4, .9))
    noise = (grain or rng).standard_normal(canvas.shape, np.float32)
    canvas = canvas + noise * np.float32(rng.uniform(0, 9))
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


# --- occlusion --------------------------------------------------------------


def _peel(layers: List[_Layer], size: int) -> Tuple[List[_Shown], np.ndarray]:
    """Annotate the visible parts of people, from near to far.

    Returns:
        tuple: The people who are at least partly visible, far to near, and
        (size, size) bool, the pixels that any layer covers.
    """
    shown, hidden = [], np.zeros((size, size), bool)
    for layer in reversed(layers):
        visible = layer.mask & ~hidden
        hidden = hidden | layer.mask
        if layer.keypoints is None:
            continue
        annotation = person_annotation(layer.mask, visible, layer.keypoints)
        if annotation['area'] > 0:
            shown.append(_Shown(annotation, layer.mask, visible, layer.yaw))
    return shown[::-1], hidden

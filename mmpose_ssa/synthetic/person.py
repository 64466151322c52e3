"""Synthetic people: skeletons, dressed and painted part by part.

A part (limb, trunk, head, shoe, hair) is the hull of a few circles around
points of the skeleton. Parts are painted from far to near. The part painted
last at a pixel decides whether a keypoint there counts as seen, so that
silhouette and keypoints follow from the same geometry.
"""
from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional, Tuple

import numpy as np

from .hull import HAIR_RGB, SKIN_RGB, Texture, paint, random_texture
from .skeleton import (ELBOW, HIP, KEYPOINT_NAMES, KNEE, SHOULDER, WRIST,
                       Skeleton)

# The parts of one's own body on which a keypoint counts as seen, if they are
# of its side or of none. Any other part hides it.
_CARRIERS = dict(
    nose={'head'}, eye={'head'}, ear={'head', 'hair'},
    shoulder={'upper_arm', 'torso'}, elbow={'upper_arm', 'forearm'},
    wrist={'forearm', 'hand'}, hip={'thigh', 'torso', 'pelvis'},
    knee={'thigh', 'shank', 'pelvis'}, ankle={'shank', 'foot'})


@dataclass(frozen=True)
class Placed:
    """A skeleton with its place in the image.

    Attributes:
        skeleton: In units of the standing height.
        height: Standing height [px].
        hips_img: (2,) x, y of the centre between the hips [px].
    """
    skeleton: Skeleton
    height: float
    hips_img: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2 or more) of the view frame to (n, 2) [px]."""
        return points[:, :2] * self.height + self.hips_img


@dataclass(frozen=True)
class _Part:
    """A hull of circles, painted at once."""
    name: str  # as in `_CARRIERS`; something worn on a part has its name
    side: str  # 'left', 'right', or '' for the middle
    circles: np.ndarray  # (n, 4) x, y, z, radius in the view frame
    texture: Texture
    order: float  # painted by increasing order, roughly the depth


@dataclass(frozen=True)
class _Wardrobe:
    """A person's clothes and stoutness (a factor on radii)."""
    skin: Texture
    top: Texture
    bottom: Texture
    shoe: Texture
    hair: Texture
    upper_arm: Texture
    forearm: Texture
    thigh: Texture
    shank: Texture
    skirt: Optional[Texture]
    pack: Optional[Texture]
    badge: Optional[Texture]
    fringe: bool
    long_hair: bool
    watch: bool
    stout: float


def draw_person(rng: np.random.Generator, canvas: np.ndarray,
                placed: Placed) -> Tuple[np.ndarray, np.ndarray]:
    """Dress a person and draw it in place.

    Args:
        rng: Source of the clothes; it is advanced.
        canvas: (H, W, 3) float32, BGR.
        placed: The person and the place.

    Returns:
        tuple: (H, W) bool silhouette, and (17, 3) keypoints x, y [px], v,
        ignoring everybody else: 2 seen, 1 behind another part of the person's
        own body, 0 outside the image or on the far side of the head.
    """
    body, wear = placed.skeleton, _random_wardrobe(rng, placed.height)
    parts = sorted([*_limbs(body, wear), *_trunk(body, wear),
                    *_head(body, wear), *_face(body, wear)],
                   key=lambda part: part.order)
    owner = np.zeros(canvas.shape[:2], np.uint8)  # number of the part, or 0
    for number, part in enumerate(parts, 1):
        circles_img = np.column_stack([placed.project(part.circles),
                                       part.circles[:, 3] * placed.height])
        window, inside = paint(canvas, circles_img, part.texture)
        owner[window][inside] = number
    return owner > 0, _keypoints(placed, parts, owner)


def _keypoints(placed: Placed, parts: List[_Part],
               owner: np.ndarray) -> np.ndarray:
    """(17, 3) x, y [px] rounded to a tenth, v; see :func:`draw_person`."""
    points_img = np.round(placed.project(placed.skeleton.joints), 1)
    limit = np.array(owner.shape[::-1]) - 1
    inside = ((points_img >= 0) & (points_img <= limit)).all(1)
    keypoints = np.zeros((17, 3))
    shown = inside & _faces_viewer(placed.skeleton)
    for k in np.flatnonzero(shown).tolist():
        x, y = np.round(points_img[k]).astype(int)
        seen = owner[y, x] and _carries(parts[owner[y, x] - 1], k)
        keypoints[k] = *points_img[k], 2 if seen else 1
    return keypoints


def _carries(part: _Part, keypoint: int) -> bool:
    """Whether a keypoint counts as seen where this part is on top."""
    side, _, joint = KEYPOINT_NAMES[keypoint].rpartition('_')
    return part.name in _CARRIERS[joint] and part.side in ('', side)


def _faces_viewer(body: Skeleton) -> np.ndarray:
    """(17,) bool: False for face features on the far side of the head."""
    shows = np.ones(17, bool)
    shows[:3] = (body.joints[:3, 2] - body.head[2]) / body.skull > .1
    shows[3:5] = _ear_shows(body, 1), _ear_shows(body, -1)
    return shows


def _ear_shows(body: Skeleton, side: int) -> bool:
    """Whether the left (1) or right (-1) ear is not behind the head."""
    return (body.head_turn @ (side * .98, .06, -.05))[2] > -.5


# --- clothes ----------------------------------------------------------------


def _random_wardrobe(rng: np.random.Generator, height: float) -> _Wardrobe:
    """Textures of one person, ``height`` px tall."""
    outline = rng.choice([0., .3, .6])
    cloth = partial(random_texture, rng, height, outline=outline)
    skin, top, bottom = cloth(SKIN_RGB, 1.), cloth(), cloth(plain=.7)
    sleeve, legwear = rng.random(), rng.random()
    return _Wardrobe(
        skin, top, bottom, shoe=cloth(plain=.9), hair=cloth(HAIR_RGB, .6),
        upper_arm=skin if sleeve < .2 else top,
        forearm=top if sleeve > .6 else skin,
        thigh=bottom if legwear > .08 else skin,
        shank=bottom if legwear > .4 else skin,
        skirt=cloth() if rng.random() < .15 else None,
        pack=cloth() if rng.random() < .2 else None,
        badge=cloth() if rng.random() < .35 else None,
        fringe=rng.random() < .7, long_hair=rng.random() < .35,
        watch=rng.random() < .3, stout=rng.uniform(.85, 1.3))


# --- parts ------------------------------------------------------------------


def _circles(*points_and_radii: Tuple[np.ndarray, float]) -> np.ndarray:
    """(n, 4) x, y, z, radius."""
    return np.array([(*point, radius) for point, radius in points_and_radii])


def _limbs(body: Skeleton, wear: _Wardrobe) -> Iterator[_Part]:
    """Legs and arms, ordered by the depth of the middle of each.

    ``nearer`` decides where two parts meet: thighs are painted before the
    shirt, feet before the shanks, and hands on top.
    """
    def limb(name, side, texture, nearer, *points_and_radii):
        circles = _circles(*points_and_radii)
        circles[:, 3] *= wear.stout
        return _Part(name, side, circles, texture,
                     circles[:, 2].mean() + nearer)

    joints = body.joints
    for i, side in enumerate(('left', 'right')):
        shoulder, elbow, wrist, hip, knee, ankle = joints[SHOULDER + i::2]
        yield limb('thigh', side, wear.thigh, -.03, (hip, .058), (knee, .042))
        yield limb('foot', side, wear.shoe, 0., (body.heels[i], .026),
                   (body.toes[i], .02))
        yield limb('shank', side, wear.shank, -.02, (knee, .041),
                   (ankle, .026))
        yield limb('upper_arm', side, wear.upper_arm, .01, (shoulder, .04),
                   (elbow, .031))
        yield limb('forearm', side, wear.forearm, .02, (elbow, .03),
                   (wrist, .022))
        yield limb('hand', side, wear.skin, .03, (wrist, .02),
                   (body.hands[i], .024))
    if wear.watch:
        wrist = joints[WRIST]
        above = wrist * .85 + joints[ELBOW] * .15
        yield limb('forearm', 'left', wear.shoe, .06, (wrist, .021),
                   (above, .023))


def _trunk(body: Skeleton, wear: _Wardrobe) -> Iterator[_Part]:
    """Pelvis, neck, shirt, and things worn on chest or back."""
    hips, shoulders = body.pair(HIP), body.pair(SHOULDER)
    aside, down, ahead = body.trunk_turn.T
    chest = shoulders.mean(0) + down * .08
    stout = wear.stout
    yield _Part('pelvis', '', _circles(*((hip, .06 * stout) for hip in hips)),
                wear.bottom, -.012)
    yield _Part('neck', '', _circles((body.neck + down * .03, .035),
                                     (body.head, .03)), wear.skin, -.011)
    yield _Part('torso', '', _circles(
        *((shoulder, .04) for shoulder in shoulders),
        (chest + ahead * .02, .07 * stout),
        *((hip, .05 * stout) for hip in hips)), wear.top, -.01)
    if wear.skirt:
        hem = body.pair(KNEE) * .8 + hips * .2
        yield _Part('pelvis', '', _circles(
            *((hip, .06) for hip in hips), *((end, .065) for end in hem)),
            wear.skirt, max(-.011, hem[:, 2].mean() + .02))
    if wear.pack:
        pack, half = chest - ahead * .1, aside * .05
        yield _Part('pack', '', _circles(
            (pack + half, .04), (pack - half, .04),
            (pack + half + down * .13, .045),
            (pack - half + down * .13, .045)), wear.pack, pack[2])
    if wear.badge and ahead[2] > .3:
        spot = chest + ahead * .07
        yield _Part('torso', '', _circles(
            (spot, .03), (spot + down * .05, .03)), wear.badge, -.009)


def _on_head(body: Skeleton, name: str, texture: Texture, nearer: float,
             *spots: Tuple[float, float, float, float]) -> _Part:
    """Part of the head; spots are x, y, z, radius in radii of the skull."""
    circles = _circles(*(
        (body.head + body.skull * (body.head_turn @ spot[:3]),
         body.skull * spot[3]) for spot in spots))
    return _Part(name, '', circles, texture, body.head[2] + nearer)


def _head(body: Skeleton, wear: _Wardrobe) -> Iterator[_Part]:
    """Head and hair."""
    back = -body.head_turn[2, 2]  # 1 seen from behind, -1 from the front
    yield _on_head(body, 'head', wear.skin, 0., (0, -.1, 0, 1.),
                   (0, .5, .15, .62))
    ends = (0, 1.3, -.55, .55) if wear.long_hair else (0, .2, -.35, .8)
    yield _on_head(body, 'hair', wear.hair, .0015 if back > -.1 else -.0015,
                   (0, -.27, -.14, 1.08), ends)
    if wear.fringe and back < .3:
        yield _on_head(body, 'hair', wear.hair, .0016, (-.5, -.72, .45, .3),
                       (0, -.85, .55, .28), (.5, -.72, .45, .3))


def _face(body: Skeleton, wear: _Wardrobe) -> Iterator[_Part]:
    """Ears, eyes, nose and mouth where they face the viewer."""
    def plain(bgr):
        return Texture('plain', np.stack([bgr] * 2), period=9., light=0.)

    def depth(*spot):
        return (body.head_turn @ spot)[2]

    skin = wear.skin.inks[0]
    white, black = (plain(np.full(3, v, np.float32)) for v in (245, 15))
    for x in (-1, 1):
        if _ear_shows(body, x):
            yield _on_head(body, 'head', wear.skin, .002,
                           (x * .98, 0, -.05, .15), (x * .98, .15, -.05, .13))
        if depth(x * .38, -.12, .88) > .12:
            yield _on_head(body, 'head', white, .003, (x * .38, -.12, .88,
                                                       .18))
            yield _on_head(body, 'head', black, .004, (x * .38, -.12, .92,
                                                       .1))
    if depth(0, .2, 1.) > .1:
        yield _on_head(body, 'head', plain(skin * .72), .005,
                       (0, .02, .98, .05), (0, .24, 1.05, .11))
        yield _on_head(body, 'head', plain(skin * (.5, .5, .8)), .003,
                       (-.22, .62, .75, .07), (.22, .62, .75, .07))

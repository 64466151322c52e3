"""Data to try without COCO: drawn scenes of people in COCO format.

A figure is a small 3D skeleton with joint limits, turned, projected in
parallel, and drawn part by part from far to near. Every part (limb, trunk,
head, shoe, also furniture) is the convex hull of a few circles, filled with
a texture. Keypoints, silhouettes and occlusion follow from the same geometry.

Frames: keypoints are in pixel-index coordinates (0, 0 is the centre of the
first pixel, as MMPose reads COCO), polygons in edge coordinates (0, 0 is its
corner, as pycocotools rasterises). The body frame has x to the person's left,
y down, z forward, in units of the standing height; after turning, x points
right in the image and z to the viewer, so that a person seen from the front
has the left side on the right of the image.

Where this differs from COCO: keypoints are not rounded to whole pixels;
every part inside the image is labelled (v=1 if hidden), except the face
features on the far side of the head (v=0); holes of a person's region are
kept, by polygons with a slit of no width.
"""
import colorsys
import json
import multiprocessing
import os
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

KEYPOINT_NAMES = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear',
    'left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow',
    'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
    'right_knee', 'left_ankle', 'right_ankle')
SKELETON = ((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12),
            (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11), (2, 3),
            (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7))
SPLITS = ('train', 'val')
MIN_SIZE = 64
# A person less tall than this (visible pixels), or of whom less than this
# share is visible, gets a mask and no keypoints, as COCO's small people do.
MIN_LABELLED_HEIGHT = 14
MIN_LABELLED_SHARE = 0.15
# Two silhouettes overlap if they share this part of the smaller one.
MIN_OVERLAP = 0.02

DRAWING_VERSION = 1  # raise it when the same seed gives other bytes

_PEOPLE_COUNTS = (0.04, 0.22, 0.28, 0.25, 0.14, 0.07)  # P(0), P(1), ... P(5)
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_RING = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)
_NOISE = np.random.default_rng(0).random((64, 64)).astype(np.float32)
_SKIN_RGB = np.array([(255, 224, 196), (241, 194, 160), (224, 172, 128),
                      (198, 134, 96), (161, 102, 68), (120, 76, 50),
                      (88, 56, 40), (60, 40, 32)], np.float32)
_HAIR_RGB = np.array([(20, 18, 18), (60, 40, 28), (110, 70, 40),
                      (190, 140, 70), (225, 200, 140), (150, 60, 30),
                      (170, 170, 170)], np.float32)

# Joint limits in degrees, per pose: P(pose), then hip flexion, hip spread,
# knee flexion, arm raised from hanging, arm turned from sideways (0) to
# forward (90), elbow flexion, trunk bent forward.
_POSES = {
    'stand': (.28, (-8, 12), (1, 11), (0, 10), (4, 35), (-20, 70), (0, 80),
              (-5, 10)),
    'walk': (.22, (12, 38), (0, 6), (4, 45), (8, 35), (60, 100), (10, 80),
             (-2, 14)),
    'reach': (.18, (-10, 25), (2, 22), (0, 30), (75, 172), (-10, 80),
              (0, 100), (-10, 12)),
    'sit': (.14, (65, 100), (2, 24), (55, 110), (5, 50), (20, 95), (15, 110),
            (-15, 20)),
    'crouch': (.08, (75, 120), (4, 30), (90, 140), (15, 70), (20, 95),
               (10, 110), (5, 40)),
    'free': (.10, (-20, 95), (0, 40), (0, 120), (5, 165), (-20, 95), (0, 135),
             (-12, 30)),
}


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
    annotations: list
    silhouettes: np.ndarray
    visible: np.ndarray
    yaws: np.ndarray


@dataclass(frozen=True)
class _Cloth:
    """A texture: two BGR colours, mixed by a pattern of this period [px]."""
    pattern: str
    inks: np.ndarray
    period: float
    light: float = 0.15
    outline: float = 0.0


@dataclass(frozen=True)
class _Part:
    """Hull of circles (n, 4): x, y, z, radius; ``order`` sorts far to near."""
    name: str
    circles: np.ndarray
    cloth: _Cloth
    order: float


@dataclass(frozen=True)
class _Skeleton:
    """Turned skeleton, units of standing height, hips' centre at 0."""
    joints: np.ndarray  # (17, 3)
    extras: dict        # neck, head, hands, toes: (3,)
    head_turn: np.ndarray  # (3, 3) head frame to image frame
    skull: float        # radius
    yaw: float
    pose: str
    body_turn: np.ndarray  # (3, 3) body frame to image frame
    trunk_turn: np.ndarray  # (3, 3) trunk frame to image frame


# ---------------------------------------------------------------- skeleton

def _rotation(yaw=0., pitch=0., roll=0.):
    """(3, 3) turn in degrees; positive pitch bends the head forward."""
    (sa, sb, sc) = np.sin(np.radians((yaw, pitch, roll)))
    (ca, cb, cc) = np.cos(np.radians((yaw, pitch, roll)))
    about_y = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    about_x = np.array([[1, 0, 0], [0, cb, sb], [0, -sb, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def _arm(rng, side, limits):
    """Unit directions of upper arm and forearm, body frame."""
    raised, turned, bent = np.radians([rng.uniform(*x) for x in limits])
    upper = np.array([side * np.sin(raised) * np.cos(turned), np.cos(raised),
                      np.sin(raised) * np.sin(turned)])
    # An elbow bends forward, inward and up, never backward.
    aim = np.array([-side * rng.uniform(0, 1.), -rng.uniform(0, .6), 1.])
    aim -= upper * (aim @ upper)
    aim /= np.linalg.norm(aim) + 1e-9
    return upper, upper * np.cos(bent) + aim * np.sin(bent)


def _leg(rng, side, flexion, spread, bend):
    """Unit directions of thigh, shank and foot, body frame."""
    flexion, spread = np.radians(flexion), np.radians(rng.uniform(*spread))
    bend = np.radians(bend)
    thigh = np.array([side * np.sin(spread), np.cos(spread) * np.cos(flexion),
                      np.cos(spread) * np.sin(flexion)])
    ahead = np.array([0, -np.sin(flexion), np.cos(flexion)])
    shank = thigh * np.cos(bend) - ahead * np.sin(bend)
    foot = ahead * np.cos(bend) + thigh * np.sin(bend)
    foot = foot + np.array([side * rng.uniform(0, .5), 0, 0])
    return thigh, shank, foot / np.linalg.norm(foot)


def _view(rng):
    """Yaw in degrees: mostly front, many backs, some from the side."""
    kind = rng.random()
    if kind < .58:
        return np.clip(rng.normal(0, 28), -75, 75)
    if kind < .9:
        return 180 + np.clip(rng.normal(0, 28), -75, 75)
    return rng.choice([-90., 90.]) + rng.uniform(-20, 20)


def _skeleton(rng):
    """Draw a pose, a build and a view."""
    pose = str(rng.choice(list(_POSES), p=[x[0] for x in _POSES.values()]))
    _, flexion, spread, knee, raised, turned, elbow, bent = _POSES[pose]
    leg, arm = rng.uniform(.92, 1.08), rng.uniform(.92, 1.08)
    shoulder = .105 * rng.uniform(.85, 1.15)
    hip = .07 * rng.uniform(.85, 1.15)
    skull = rng.uniform(.066, .08) * (1.3 if rng.random() < .2 else 1.)
    trunk = _rotation(rng.normal(0, 10), rng.uniform(*bent), rng.normal(0, 5))
    yaw = _view(rng)
    tilt = rng.normal(0, 18 if pose == 'free' else 5)
    turn = _rotation(0, rng.uniform(-6, 18), tilt) @ _rotation(yaw)
    look = trunk @ _rotation(rng.normal(0, 18), rng.normal(0, 10),
                             rng.normal(0, 7))

    joints, extras = np.zeros((17, 3)), {}
    neck = trunk @ (0, -.29, 0)
    head = neck + trunk @ (0, -.035, .01) + look @ (0, -skull * .9, .0)
    features = np.array([(0, .2, 1.02), (.38, -.12, .88), (-.38, -.12, .88),
                         (.98, .06, -.05), (-.98, .06, -.05)])
    joints[:5] = head + skull * features @ look.T
    ahead = rng.choice([-1, 1])  # which leg is in front when walking
    for i, side in enumerate((1, -1)):
        flex = rng.uniform(*flexion)
        bend, turns = rng.uniform(*knee), turned
        if pose == 'walk' and side != ahead:
            flex, bend = -.6 * flex, bend + 10
        if pose == 'walk' and side == ahead:  # the other arm swings ahead
            turns = (-100, -60)
        thigh, shank, foot = _leg(rng, side, flex, spread, bend)
        upper, fore = _arm(rng, side, (raised, turns, elbow))
        upper, fore = trunk @ upper, trunk @ fore
        joints[5 + i] = neck + trunk @ (side * shoulder, .015, 0)
        joints[7 + i] = joints[5 + i] + upper * .155 * arm
        joints[9 + i] = joints[7 + i] + fore * .135 * arm
        joints[11 + i] = side * hip, 0, 0
        joints[13 + i] = joints[11 + i] + thigh * .235 * leg
        joints[15 + i] = joints[13 + i] + shank * .23 * leg
        extras[f'hand{i}'] = joints[9 + i] + fore * .035
        extras[f'heel{i}'] = joints[15 + i] + shank * .02
        extras[f'toe{i}'] = joints[15 + i] + shank * .03 + foot * .075
    extras.update(neck=neck, head=head)
    extras = {name: turn @ point for name, point in extras.items()}
    return _Skeleton(joints @ turn.T, extras, turn @ look, skull, float(yaw),
                     pose, turn, turn @ trunk)


# ------------------------------------------------------------ cloth, parts

def _colour(rng, base=None):
    """Random BGR colour, or one near a row of ``base`` (RGB)."""
    if base is None:
        rgb = colorsys.hsv_to_rgb(rng.random(), rng.random() ** .8,
                                  rng.uniform(.12, 1))
        return 255 * np.array(rgb[::-1], np.float32)
    rgb = base[rng.integers(len(base))] * rng.uniform(.9, 1.1)
    return np.clip(rgb + rng.normal(0, 5, 3), 5, 250)[::-1].astype(np.float32)


def _cloth(rng, unit, base=None, plain=.45, outline=0.):
    """Random texture; ``unit`` [px] scales its period."""
    pattern = 'plain' if rng.random() < plain else str(
        rng.choice(['stripes', 'hoops', 'checks', 'dots', 'noise', 'slant']))
    return _Cloth(pattern, np.stack([_colour(rng, base), _colour(rng, base)]),
                  max(2.5, unit * rng.uniform(.025, .09)),
                  rng.uniform(-.3, .3), outline)


def _mix(cloth, along, across):
    """(h, w) share of the second colour at texture coordinates [px]."""
    a, b = along / cloth.period, across / cloth.period
    if cloth.pattern == 'hoops':
        return (a % 1 < .5).astype(np.float32)
    if cloth.pattern == 'stripes':
        return (b % 1 < .4).astype(np.float32)
    if cloth.pattern == 'slant':
        return ((a + b) % 1.6 < .6).astype(np.float32)
    if cloth.pattern == 'checks':
        return ((a % 1 < .5) ^ (b % 1 < .5)).astype(np.float32)
    if cloth.pattern == 'dots':
        return ((a % 1 - .5)**2 + (b % 1 - .5)**2 < .09).astype(np.float32)
    if cloth.pattern == 'noise':
        rows, cols = (3 * a).astype(int) & 63, (3 * b).astype(int) & 63
        return _NOISE[rows, cols]
    return np.zeros_like(a)


def _texture(cloth, circles_img, rows, cols):
    """(h, w, 3) float32 colours of a part, in the frame of its axis."""
    start, end = circles_img[0, :2], circles_img[-1, :2]
    axis = end - start
    length = np.hypot(*axis)
    axis = axis / length if length > 1e-3 else np.array([0., 1.])
    x, y = (cols - start[0]), (rows - start[1])
    along = x * axis[0] + y * axis[1]
    across = y * axis[0] - x * axis[1]
    radius = circles_img[:, 2].max() + 1.
    rim = np.clip(across / radius, -1.2, 1.2)
    shade = 1. + cloth.light * rim - .12 * rim * rim
    mix = _mix(cloth, along, across)[..., None]
    colours = cloth.inks[0] + (cloth.inks[1] - cloth.inks[0]) * mix
    return np.clip(colours * shade[..., None], 0, 255)


def _paint(canvas, circles_img, cloth):
    """Draw one hull of circles onto ``canvas`` in place.

    Args:
        canvas: (H, W, 3) float32, BGR.
        circles_img: (n, 3) x, y, radius [px].
        cloth: the texture.

    Returns:
        Window (two slices) and (h, w) bool of the pixels it covers, or None
        if it lies outside the canvas.
    """
    ring = circles_img[:, None, :2] + circles_img[:, None, 2:] * _RING
    hull = cv2.convexHull(ring.reshape(-1, 2).astype(np.float32))[:, 0]
    low = np.maximum(np.floor(hull.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(hull.max(0)).astype(int) + 2,
                      canvas.shape[1::-1])
    if (high <= low).any():
        return None
    alpha = np.zeros((high - low)[::-1], np.uint8)
    points = np.round((hull - low) * 16).astype(np.int32)
    cv2.fillConvexPoly(alpha, points, 255, cv2.LINE_AA, 4)
    rows, cols = np.ogrid[low[1]:high[1], low[0]:high[0]]
    rows, cols = rows.astype(np.float32), cols.astype(np.float32)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    colours = _texture(cloth, circles_img, rows, cols)
    if cloth.outline:
        edge = np.zeros_like(alpha)
        cv2.polylines(edge, [points], True, 255, 1, cv2.LINE_AA, 4)
        colours *= 1 - cloth.outline / 255 * edge[..., None]
    share = alpha[..., None].astype(np.float32) / 255
    canvas[window] += (colours - canvas[window]) * share
    return window, alpha > 127


def _wardrobe(rng, height):
    """Textures of one person, ``height`` px tall."""
    outline = rng.choice([0., .3, .6])
    skin = _cloth(rng, height, _SKIN_RGB, 1., outline)
    make = partial(_cloth, rng, height, outline=outline)
    top, bottom = make(), make(plain=.7)
    sleeve, legwear = rng.random(), rng.random()
    return dict(
        skin=skin, top=top, bottom=bottom, shoe=make(plain=.9),
        hair=_cloth(rng, height, _HAIR_RGB, .6, outline),
        upper_arm=skin if sleeve < .2 else top,
        forearm=top if sleeve > .6 else skin,
        thigh=bottom if legwear > .08 else skin,
        shank=bottom if legwear > .4 else skin,
        skirt=make() if rng.random() < .15 else None,
        pack=make() if rng.random() < .2 else None,
        badge=make() if rng.random() < .35 else None,
        fringe=rng.random() < .7, long_hair=rng.random() < .35,
        watch=rng.random() < .3, stout=rng.uniform(.85, 1.3))


def _circles(*points_and_radii):
    return np.array([(*p, r) for p, r in points_and_radii])


def _limbs(body, wear):
    """Arms and legs; order is the depth of the middle of each."""
    def add(name, cloth, *circles, bias=0.):
        circles = _circles(*circles)
        circles[:, 3] *= wear['stout']
        parts.append(_Part(name, circles, cloth,
                           circles[:, 2].mean() + bias))

    parts, j, e = [], body.joints, body.extras
    for i in range(2):
        # Thighs before the shirt, feet before the shanks, hands on top.
        add(f'thigh{i}', wear['thigh'], (j[11 + i], .058), (j[13 + i], .042),
            bias=-.03)
        add(f'foot{i}', wear['shoe'], (e[f'heel{i}'], .026),
            (e[f'toe{i}'], .02))
        add(f'shank{i}', wear['shank'], (j[13 + i], .041), (j[15 + i], .026),
            bias=-.02)
        add(f'upper_arm{i}', wear['upper_arm'], (j[5 + i], .04),
            (j[7 + i], .031), bias=.01)
        add(f'forearm{i}', wear['forearm'], (j[7 + i], .03),
            (j[9 + i], .022), bias=.02)
        add(f'hand{i}', wear['skin'], (j[9 + i], .02), (e[f'hand{i}'], .024),
            bias=.03)
    if wear['watch']:
        arm = (j[9] * .85 + j[7] * .15)
        add('forearm0', wear['shoe'], (j[9], .021), (arm, .023), bias=.06)
    return parts


def _trunk(body, wear):
    """Pelvis, shirt, neck; things worn on chest or back."""
    j, stout = body.joints, wear['stout']
    along, ahead = body.trunk_turn[:, 1], body.trunk_turn[:, 2]
    chest = j[5:7].mean(0) + along * .08
    back = body.extras['neck'] + along * .03
    parts = [
        _Part('pelvis', _circles((j[11], .06 * stout), (j[12], .06 * stout)),
              wear['bottom'], -.012),
        _Part('neck', _circles((back, .035), (body.extras['head'], .03)),
              wear['skin'], -.011),
        _Part('torso', _circles(
            (j[5], .04), (j[6], .04), (chest + ahead * .02, .07 * stout),
            (j[11], .05 * stout), (j[12], .05 * stout)), wear['top'], -.01)]
    if wear['skirt']:
        hem = j[13:15] * .8 + j[11:13] * .2
        parts.append(_Part('pelvis', _circles(
            (j[11], .06), (j[12], .06), (hem[0], .065), (hem[1], .065)),
            wear['skirt'], max(-.011, hem[:, 2].mean() + .02)))
    if wear['pack']:
        pack = chest - ahead * .1
        side = body.trunk_turn[:, 0] * .05
        parts.append(_Part('pack', _circles(
            (pack + side, .04), (pack - side, .04),
            (pack + side + along * .13, .045),
            (pack - side + along * .13, .045)), wear['pack'], pack[2]))
    if wear['badge'] and ahead[2] > .3:
        spot = chest + ahead * .07
        parts.append(_Part('torso', _circles((spot, .03),
                                             (spot + along * .05, .03)),
                           wear['badge'], -.009))
    return parts


def _head(body, wear):
    """Head with hair; eyes, nose and mouth where they face the viewer."""
    def place(x, y, z, radius):
        offset = body.head_turn @ (x, y, z)
        return head + r * offset, r * radius, offset[2]

    def add(name, cloth, order, *spots):
        circles = _circles(*[place(*spot)[:2] for spot in spots])
        parts.append(_Part(name, circles, cloth, depth + order))

    parts, head, r = [], body.extras['head'], body.skull
    depth = head[2]
    paint = partial(_Cloth, 'plain', period=9., light=0.)
    skin = wear['skin'].inks[0]
    white = paint(np.full((2, 3), 245, np.float32))
    black = paint(np.full((2, 3), 15, np.float32))
    red = paint(np.stack([skin * (.5, .5, .8)] * 2))
    back = -body.head_turn[2, 2]  # 1 seen from behind, -1 from the front
    add('head', wear['skin'], 0., (0, -.1, 0, 1.), (0, .5, .15, .62))
    low = (0, 1.3, -.55, .55) if wear['long_hair'] else (0, .2, -.35, .8)
    add('hair', wear['hair'], .0015 if back > -.1 else -.0015,
        (0, -.27, -.14, 1.08), low)
    if wear['fringe'] and back < .3:
        add('hair', wear['hair'], .0016, (-.5, -.72, .45, .3),
            (0, -.85, .55, .28), (.5, -.72, .45, .3))
    for x in (-1, 1):
        if _ear_shows(body, x):
            add('head', wear['skin'], .002, (x * .98, .0, -.05, .15),
                (x * .98, .15, -.05, .13))
        if place(x * .38, -.12, .88, 0)[2] > .12:
            add('head', white, .003, (x * .38, -.12, .88, .18))
            add('head', black, .004, (x * .38, -.12, .92, .1))
    if place(0, .2, 1., 0)[2] > .1:
        add('head', paint(np.stack([skin * .72] * 2)), .005,
            (0, .02, .98, .05), (0, .24, 1.05, .11))
        add('head', red, .003, (-.22, .62, .75, .07), (.22, .62, .75, .07))
    return parts


def _ear_shows(body, side):
    """An ear is seen unless it is on the far side of the head."""
    return (body.head_turn @ (side * .98, .06, -.05))[2] > -.5


def _faces_viewer(body):
    """(17,) bool: False for face features on the far side of the head."""
    shows = np.ones(17, bool)
    depth = (body.joints[:3, 2] - body.extras['head'][2]) / body.skull
    shows[:3] = depth > .1
    shows[3:5] = [_ear_shows(body, 1), _ear_shows(body, -1)]
    return shows


# Parts on which a keypoint may lie to count as seen.
_CARRIERS = [{'head'}, {'head'}, {'head'}, {'head', 'hair'}, {'head', 'hair'}]
for _names in (('upper_arm', 'torso'), ('upper_arm', 'forearm'),
               ('forearm', 'hand'), ('thigh', 'torso', 'pelvis'),
               ('thigh', 'shank', 'pelvis'), ('shank', 'foot')):
    _CARRIERS += [{n if n in ('torso', 'pelvis') else f'{n}{_i}'
                   for n in _names} for _i in range(2)]


def _draw_person(rng, canvas, body, height, centre_img):
    """Draw a figure in place.

    Args:
        rng: source of the clothes.
        canvas: (H, W, 3) float32, BGR.
        body: its skeleton.
        height: standing height [px].
        centre_img: (x, y) of the centre between the hips.

    Returns:
        (H, W) bool silhouette and (17, 3) x, y, v with v as if nobody else
        were there: 2 seen, 1 behind another part of the own body, 0 absent.
    """
    wear = _wardrobe(rng, height)
    parts = sorted(_limbs(body, wear) + _trunk(body, wear)
                   + _head(body, wear), key=lambda part: part.order)
    owner = np.zeros(canvas.shape[:2], np.uint8)
    for number, part in enumerate(parts, 1):
        circles_img = part.circles[:, [0, 1, 3]] * height
        circles_img[:, :2] += centre_img
        covered = _paint(canvas, circles_img, part.cloth)
        if covered is not None:
            owner[covered[0]][covered[1]] = number
    points_img = np.round(body.joints[:, :2] * height + centre_img, 1)
    keypoints = np.zeros((17, 3))
    limit = np.array(canvas.shape[1::-1]) - 1
    inside = ((points_img >= 0) & (points_img <= limit)).all(1)
    for k in np.flatnonzero(inside & _faces_viewer(body)):
        x, y = np.round(points_img[k]).astype(int)
        top = owner[y, x] and parts[owner[y, x] - 1].name
        keypoints[k] = *points_img[k], 2 if top in _CARRIERS[k] else 1
    return owner > 0, keypoints


# -------------------------------------------------------------- background

def _blob(rng, size, low=.05, high=.4):
    """Random hull: a bar, a box or a round thing, somewhere: (n, 3) px."""
    at = rng.uniform(-.05, 1.05, 2) * size
    w, h = rng.uniform(low, high, 2) * size
    corner = rng.uniform(.5, .03 * size)
    kind = rng.random()
    if kind < .4:  # box, slightly turned
        box = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
        spin = _rotation(roll=rng.normal(0, 6))[:2, :2]
        return np.column_stack([box @ spin.T + at, np.full(4, corner)])
    if kind < .6:  # round
        return np.array([(*at, w / 2), (*(at + (h / 3, 0)), w / 2)])
    return np.column_stack([at + rng.normal(0, .12 * size, (3, 2)),
                            np.full(3, corner)])


def _distractor_limb(rng, canvas, size):
    """A bent chain of limb-like strokes that belongs to nobody."""
    at, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
    length = rng.uniform(.06, .2) * size
    cloth = _cloth(rng, size / 2, _SKIN_RGB if rng.random() < .5 else None)
    for _ in range(rng.integers(1, 4)):
        step = at + length * np.array([np.cos(angle), np.sin(angle)])
        _paint(canvas, np.array([(*at, length * .22), (*step, length * .16)]),
               cloth)
        at, angle = step, angle + rng.uniform(-1.6, 1.6)
        length *= .9


def _background(rng, size):
    """(size, size, 3) float32: wall and floor, shapes, strokes."""
    grid = rng.integers(2, 7)
    coarse = np.stack([_colour(rng) for _ in range(grid * grid)])
    base, spread = _colour(rng), rng.uniform(.05, .6)
    coarse = base + (coarse.reshape(grid, grid, 3) - base) * spread
    canvas = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < .6:  # floor or wall with a pattern
        floor = _cloth(rng, size, plain=.3)
        top = rng.uniform(.4, .9) * size if rng.random() < .7 else -size
        _paint(canvas, np.array([(-size, top, 1.), (2 * size, top, 1.),
                                 (2 * size, 3 * size, 1.),
                                 (-size, 3 * size, 1.)]), floor)
    for _ in range(rng.integers(0, 14)):
        _paint(canvas, _blob(rng, size), _cloth(rng, size))
    for _ in range(rng.integers(0, 5)):
        _distractor_limb(rng, canvas, size)
    return canvas


def _finish(rng, canvas):
    """Light, blur and sensor noise; returns uint8."""
    size = len(canvas)
    light = cv2.resize(rng.uniform(.75, 1.2, (2, 2)).astype(np.float32),
                       (size, size), interpolation=cv2.INTER_LINEAR)
    canvas = canvas * light[..., None]
    if rng.random() < .25:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(.4, .9))
    noise = rng.standard_normal(canvas.shape, np.float32)
    canvas = canvas + noise * np.float32(rng.uniform(0, 9))
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


# ------------------------------------------------------------------- scene

def _standing_height(rng, least):
    """Share of the image's height: ``least`` to 1.2, mostly 0.4 to 0.9."""
    low, high = ((.4, .9), (.25, .4), (.9, 1.2))[
        rng.choice(3, p=(.72, .16, .12))]
    return rng.uniform(max(low, least), max(high, least))


def _place(rng, size, number, least):
    """Choose people, far to near: list of (skeleton, height, centre) [px].

    Most stand beside somebody already there, about as tall: people hide
    each other, and neither place nor scale tells their limbs apart.
    """
    placed = []
    for _ in range(number):
        body = _skeleton(rng)
        high, low = body.joints[:, 1].min() - .08, body.joints[:, 1].max()
        if placed and rng.random() < .35:
            _, height, (x, y) = placed[rng.integers(len(placed))]
            x = x + rng.choice([-1, 1]) * rng.uniform(.08, .4) * height
            y = y + rng.normal(0, .07) * height
            height = np.clip(height * rng.uniform(.8, 1.25), least * size,
                             1.2 * size)
        else:
            height = _standing_height(rng, least) * size
            x = rng.uniform(.06, .94) * size
            room = size - (low - high + .06) * height
            y = rng.uniform(0, 1) * room - high * height
            if rng.random() < .2:  # cut by the border
                y += rng.normal(0, .25) * height
        placed.append((body, float(height), np.array([x, y])))
    nearness = [h * rng.uniform(.8, 1.25) for _, h, _ in placed]
    return [placed[i] for i in np.argsort(nearness)]


def _occluder(rng, canvas, placed):
    """Draw a thing in front of one of the placed people; (H, W) bool."""
    size = len(canvas)
    _, height, at = placed[rng.integers(len(placed))]
    thing = _blob(rng, size, .08, .3)
    aim = at + rng.normal(0, .25, 2) * height + (0, .1 * height)
    thing[:, :2] += aim - thing[:, :2].mean(0)
    return _full(canvas, _paint(canvas, thing, _cloth(rng, size)))


def _crowd(rng, canvas):
    """Draw a row of tiny people far away; (H, W) bool of their region."""
    size = len(canvas)
    region = np.zeros(canvas.shape[:2], bool)
    height, y = rng.uniform(.07, .13) * size, rng.uniform(.15, .6) * size
    left = rng.uniform(0, .6) * size
    for x in left + np.cumsum(rng.uniform(.1, .4, rng.integers(6, 14))
                              ) * height:
        at = np.array([x, y + rng.normal(0, .15) * height])
        mask, _ = _draw_person(rng, canvas, _skeleton(rng),
                               height * rng.uniform(.85, 1.15), at)
        region |= mask
    kernel = np.ones((3, 3), np.uint8)
    return cv2.dilate(region.astype(np.uint8), kernel) > 0


def _seat(rng, canvas, body, height, at):
    """Draw a box to sit on behind a person; (H, W) bool."""
    size = len(canvas)
    hips = body.joints[11:13, :2] * height + at
    w, h = rng.uniform(.1, .3) * height, rng.uniform(.1, .3) * height
    box = np.array([(-w, 0), (w, 0), (w, h), (-w, h)])
    box = box + hips.mean(0) + (0, .05 * height)
    covered = _paint(canvas, np.column_stack([box, np.full(4, 2.)]),
                     _cloth(rng, size))
    return _full(canvas, covered)


def _full(canvas, covered):
    """What ``_paint`` covered, as (H, W) bool."""
    mask = np.zeros(canvas.shape[:2], bool)
    if covered is not None:
        mask[covered[0]] = covered[1]
    return mask


def draw_scene(seed, size=320, max_people=5, min_height=.25):
    """Draw one image with its people.

    Args:
        seed: whatever ``numpy.random.default_rng`` takes: an int, a sequence
            of ints, or a generator, which is advanced.
        size: width and height of the image [px].
        max_people: most people in the foreground.
        min_height: least height of a person standing upright, as a share of
            the image's.

    Returns:
        Scene: image, annotations and masks, farthest person first. People of
        whom nothing is visible are left out.

    Raises:
        ValueError: ``size`` is below 64 or not a whole number, or
            ``max_people`` or ``min_height`` out of range.
    """
    _check_scene(size, max_people, min_height)
    rng = np.random.default_rng(seed)
    canvas = _background(rng, size)
    number = min(int(rng.choice(len(_PEOPLE_COUNTS), p=_PEOPLE_COUNTS)),
                 max_people)
    placed = _place(rng, size, number, min_height)
    crowd = np.zeros((size, size), bool)
    if number and rng.random() < .08:
        crowd = _crowd(rng, canvas)
    layers = []  # far to near: (H, W) bool, and of persons what they are
    for i, (body, height, at) in enumerate(placed):
        if body.pose == 'sit' and rng.random() < .6:
            layers.append((_seat(rng, canvas, body, height, at), None))
        silhouette, keypoints = _draw_person(rng, canvas, body, height, at)
        layers.append((silhouette, (keypoints, body.yaw)))
        if rng.random() < .12:
            layers.append((_occluder(rng, canvas, placed[:i + 1]), None))
    people, hidden = _peel(layers)
    region = crowd & ~hidden
    annotations = [person[0] for person in people]
    if region.any():
        annotations.append(_crowd_annotation(region))
    masks = np.zeros((2, len(people), size, size), bool)
    for i, (_, silhouette, visible, _) in enumerate(people):
        masks[:, i] = silhouette, visible
    return Scene(_finish(rng, canvas), annotations, *masks,
                 np.array([person[3] for person in people]))


def _peel(layers):
    """Annotate from near to far what nothing hides.

    Returns:
        List, far to near, of (annotation, silhouette, visible, yaw) of the
        people of whom something is visible, and (H, W) bool all layers.
    """
    people, hidden = [], np.zeros_like(layers[0][0]) if layers else False
    for mask, person in reversed(layers):
        visible = mask & ~hidden
        hidden = hidden | mask
        if person is None:
            continue
        keypoints, yaw = person
        annotation = _annotation(mask, visible, keypoints)
        if annotation['area'] > 0:
            people.append((annotation, mask, visible, yaw))
    return people[::-1], hidden


# -------------------------------------------------------------- annotation

def polygons_of(mask, simplify=.6):
    """Outline a mask by COCO polygons.

    Args:
        mask: (H, W) bool.
        simplify: largest deviation of the outline [px].

    Returns:
        List of flat [x, y, x, y, ...] in edge coordinates, one for each
        connected region; holes are joined to their outline by a slit of no
        width. Empty for an empty mask.
    """
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return []
    y, x = ys.min(), xs.min()
    crop = mask[y:ys.max() + 1, x:xs.max() + 1].astype(np.uint8) * 255
    # The outline at four times the size runs between the pixels. A corner
    # belongs to the region if one of its four pixels does: so the contour
    # of corners is one of edges, where findContours gives pixel centres.
    fine = cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    corners = cv2.dilate(np.pad((fine > 127).astype(np.uint8), ((0, 1), ) * 2),
                         np.ones((2, 2), np.uint8), anchor=(1, 1))
    contours, tree = cv2.findContours(corners, cv2.RETR_CCOMP,
                                      cv2.CHAIN_APPROX_NONE)
    rings = [cv2.approxPolyDP(c, 4 * simplify, True)[:, 0] for c in contours]
    polygons = []
    for i, ring in enumerate(rings):
        if tree[0, i, 3] >= 0 or len(ring) < 3:
            continue
        for j, hole in enumerate(rings):
            if tree[0, j, 3] == i and len(hole) > 2:
                ring = _slit(ring, hole)
        polygon = np.round(ring / 4 + (x, y), 2)
        polygons.append(polygon.ravel().tolist())
    return polygons


def _slit(ring, hole):
    """Join a hole (m, 2) to its outline (n, 2) where they are nearest."""
    gaps = ((ring[:, None] - hole) ** 2).sum(-1)
    i, j = np.unravel_index(gaps.argmin(), gaps.shape)
    there = np.concatenate([hole[j:], hole[:j + 1]])
    return np.concatenate([ring[:i + 1], there, ring[i:]])


def _annotation(silhouette, visible, keypoints):
    """COCO annotation of a person; area 0 if nothing of it is visible."""
    polygons = polygons_of(visible)
    area, bbox = 0., [0., 0., 0., 0.]
    if polygons:
        rle = coco_mask.merge(
            coco_mask.frPyObjects(polygons, *visible.shape))
        area = float(coco_mask.area(rle))
        bbox = coco_mask.toBbox(rle).tolist()
    keypoints = keypoints.copy()
    columns, rows = np.round(keypoints[:, :2]).astype(int).T
    keypoints[:, 2] = np.where(visible[rows, columns], keypoints[:, 2],
                               np.minimum(keypoints[:, 2], 1))
    if (bbox[3] < MIN_LABELLED_HEIGHT
            or area < MIN_LABELLED_SHARE * silhouette.sum()):
        keypoints[:] = 0
    flat = [int(v) if v == int(v) else float(v) for v in keypoints.ravel()]
    return dict(segmentation=polygons, area=area, iscrowd=0, category_id=1,
                bbox=bbox, keypoints=flat,
                num_keypoints=int((keypoints[:, 2] > 0).sum()))


def _crowd_annotation(region):
    """COCO annotation of a crowd: uncompressed RLE and no keypoints."""
    flat = np.concatenate([[False], region.ravel(order='F')])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], turns, [region.size]]))
    ys, xs = np.nonzero(region)
    bbox = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    return dict(segmentation=dict(counts=counts.tolist(),
                                  size=list(region.shape)),
                area=float(region.sum()), iscrowd=1, category_id=1,
                bbox=[float(v) for v in bbox], keypoints=[0] * 51,
                num_keypoints=0)


def overlapping(silhouettes):
    """Which people overlap another one.

    Args:
        silhouettes: (N, H, W) bool, unoccluded.

    Returns:
        (N,) bool: shares at least 2 % of the smaller silhouette of a pair.
    """
    overlaps = np.zeros(len(silhouettes), bool)
    for i, j in combinations(range(len(silhouettes)), 2):
        one, other = silhouettes[i], silhouettes[j]
        shared = np.count_nonzero(one & other)
        smaller = min(np.count_nonzero(one), np.count_nonzero(other))
        if shared and shared >= MIN_OVERLAP * smaller:
            overlaps[[i, j]] = True
    return overlaps


# ---------------------------------------------------------------- data set

def write_dataset(root, train=2000, val=200, size=320, seed=0, workers=2,
                  progress=None, max_people=5, min_height=.25):
    """Draw a data set in COCO's layout.

    ``root/annotations/person_keypoints_{train,val}2017.json`` and
    ``root/{train,val}2017/*.jpg``. The same arguments give the same bytes,
    whatever the number of workers; more images leave the first ones as they
    are. Complete sets of the same settings are left alone; anything else
    that this function wrote is drawn again.

    Args:
        root: folder, made if missing.
        train: number of training images.
        val: number of validation images.
        size: width and height of the images [px].
        seed: whole number >= 0.
        workers: number of processes; 1 draws in this one.
        progress: called as ``progress(done, total)`` after each image.
        max_people: as in :func:`draw_scene`.
        min_height: as in :func:`draw_scene`.

    Returns:
        dict: images, persons, overlapping (persons), drawn (images drawn by
        this call, 0 if all was there).

    Raises:
        ValueError: an argument makes no sense.
        FileExistsError: ``root`` holds annotations of somebody else.
    """
    counts = dict(train=train, val=val)
    for name, value, low in (('train', train, 0), ('val', val, 0),
                             ('seed', seed, 0), ('workers', workers, 1)):
        _check_whole(name, value, low)
    scene = dict(size=size, max_people=max_people, min_height=min_height)
    _check_scene(**scene)
    root = Path(root)
    plans = {split: dict(version=DRAWING_VERSION, seed=seed, **scene,
                         images=counts[split]) for split in SPLITS}
    tally = {split: _finished(root, split, plans[split]) for split in SPLITS}
    todo = [split for split in SPLITS if tally[split] is None]
    jobs = [(str(root), split, index, scene, seed)
            for split in todo for index in range(counts[split])]
    for split in todo:
        _clear(root, split)
    records = _run(jobs, workers, progress)
    for split in todo:
        mine = [r for r, job in zip(records, jobs) if job[1] == split]
        tally[split] = _write_annotations(root, split, plans[split], mine)
    return dict(images=train + val, drawn=len(jobs), **{
        key: sum(t[key] for t in tally.values())
        for key in ('persons', 'overlapping')})


def _check_whole(name, value, low):
    if type(value) is not int or value < low:  # True is an int as well
        raise ValueError(f'{name} is {value!r}: give a whole number of at '
                         f'least {low}')


def _check_scene(size, max_people, min_height):
    _check_whole('size', size, MIN_SIZE)
    _check_whole('max_people', max_people, 1)
    if not .25 <= min_height <= 1:
        raise ValueError(f'min_height is {min_height!r}: give a share of the '
                         "image's height between 0.25 and 1")


def _annotation_path(root, split):
    return root / 'annotations' / f'person_keypoints_{split}2017.json'


def _finished(root, split, plan):
    """Tally of a complete split drawn by this plan, else None."""
    path = _annotation_path(root, split)
    if not path.is_file():
        return None
    content = _read_own(path)
    info = content['info']
    folder = root / f'{split}2017'
    if info['drawn_people'] != plan or not all(
            (folder / image['file_name']).is_file()
            for image in content['images']):
        return None
    return info['tally']


def _read_own(path):
    """Content of an annotation file that this module wrote."""
    try:
        content = json.loads(path.read_text())
        content['info']['drawn_people'], content['info']['tally']
    except (ValueError, KeyError, TypeError) as error:
        raise FileExistsError(
            f'{path} exists and was not written by drawn_people: choose '
            'another folder, or delete that file') from error
    return content


def _clear(root, split):
    """Make folders; remove what an earlier call with other settings left."""
    folder = root / f'{split}2017'
    folder.mkdir(parents=True, exist_ok=True)
    path = _annotation_path(root, split)
    path.parent.mkdir(exist_ok=True)
    if path.is_file():
        images = _read_own(path)['images']
        path.unlink()  # first: images without their file are never believed
        for image in images:
            (folder / image['file_name']).unlink(missing_ok=True)


def _run(jobs, workers, progress):
    """Draw all jobs; returns their records, in order."""
    if workers == 1 or len(jobs) < 2:
        return _collect(map(_draw_image, jobs), len(jobs), progress)
    # A forked child that changes OpenCV's number of threads waits for ever
    # for threads that only the parent has. So the parent ends them first.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with multiprocessing.get_context().Pool(
                workers, cv2.setNumThreads, (1, )) as pool:
            return _collect(pool.imap(_draw_image, jobs, chunksize=4),
                            len(jobs), progress)
    finally:
        cv2.setNumThreads(threads)


def _collect(results, total, progress):
    records = []
    for done, record in enumerate(results, 1):
        records.append(record)
        if progress is not None:
            progress(done, total)
    return records


def _draw_image(job):
    """Draw and save one image; returns its records. Safe to fork or spawn."""
    root, split, index, options, seed = job
    number = SPLITS.index(split)
    scene = draw_scene((seed, number, index), **options)
    # Beyond COCO's own ids, so that no file of COCO is ever overwritten.
    image_id = 10_000_000 * (number + 1) + index
    name = f'{image_id:012d}.jpg'
    ok, data = cv2.imencode('.jpg', scene.image,
                            [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise RuntimeError(f'OpenCV could not encode image {name}')
    _write_atomically(Path(root) / f'{split}2017' / name, data.tobytes())
    annotations = [dict(annotation, image_id=image_id, id=image_id * 100 + i)
                   for i, annotation in enumerate(scene.annotations, 1)]
    image = dict(id=image_id, file_name=name, width=options['size'],
                 height=options['size'],
                 license=1)
    return image, annotations, int(overlapping(scene.silhouettes).sum())


def _write_annotations(root, split, plan, records):
    annotations = [a for record in records for a in record[1]]
    tally = dict(persons=sum(not a['iscrowd'] for a in annotations),
                 overlapping=sum(record[2] for record in records))
    category = dict(id=1, name='person', supercategory='person',
                    keypoints=KEYPOINT_NAMES, skeleton=SKELETON)
    content = dict(
        info=dict(description='Drawn people', version=str(DRAWING_VERSION),
                  year=2017, drawn_people=plan, tally=tally),
        licenses=[dict(id=1, name='Apache License 2.0', url='')],
        images=[record[0] for record in records], annotations=annotations,
        categories=[category])
    _write_atomically(_annotation_path(root, split),
                      json.dumps(content).encode())
    return tally


def _write_atomically(path, data):
    """A reader sees the whole file or none."""
    part = path.with_name(path.name + '.part')
    part.write_bytes(data)
    os.replace(part, path)

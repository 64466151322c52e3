"""Skeletons of synthetic people: joint limits, build and view.

A skeleton is posed in the *body frame*: x to the person's left, y down, z
forward, the hips' centre at 0, in units of the standing height. Turned into
the *view frame*, x points right in the image and z to the viewer, so that a
person seen from the front has the left side on the right of the image. Trunk
and head have frames of their own, with the same axes as the body's.

Angles are in degrees.
"""
from dataclasses import dataclass
from typing import Any, NamedTuple, Tuple

import numpy as np

KEYPOINT_NAMES = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear',
    'left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow',
    'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
    'right_knee', 'left_ankle', 'right_ankle')
# The left one of each pair; the right one follows it.
SHOULDER, ELBOW, WRIST, HIP, KNEE, ANKLE = range(5, 17, 2)

Range = Tuple[float, float]


class _Pose(NamedTuple):
    """The probability of a pose, and its joint limits."""
    share: float
    hip_flexion: Range  # thigh raised from hanging
    hip_spread: Range
    knee_flexion: Range
    arm_raised: Range  # from hanging
    arm_turned: Range  # from sideways (0) to forward (90)
    elbow_flexion: Range
    trunk_bent: Range  # forward


_POSES = dict(
    stand=_Pose(.28, (-8, 12), (1, 11), (0, 10), (4, 35), (-20, 70), (0, 80),
                (-5, 10)),
    walk=_Pose(.22, (12, 38), (0, 6), (4, 45), (8, 35), (60, 100), (10, 80),
               (-2, 14)),
    reach=_Pose(.18, (-10, 25), (2, 22), (0, 30), (75, 172), (-10, 80),
                (0, 100), (-10, 12)),
    sit=_Pose(.14, (65, 100), (2, 24), (55, 110), (5, 50), (20, 95),
              (15, 110), (-15, 20)),
    crouch=_Pose(.08, (75, 120), (4, 30), (90, 140), (15, 70), (20, 95),
                 (10, 110), (5, 40)),
    free=_Pose(.10, (-20, 95), (0, 40), (0, 120), (5, 165), (-20, 95),
               (0, 135), (-12, 30)))

# Nose, eyes and ears in the head frame, in radii of the skull.
_FACE = np.array([(0, .2, 1.02), (.38, -.12, .88), (-.38, -.12, .88),
                  (.98, .06, -.05), (-.98, .06, -.05)])


class _Build(NamedTuple):
    """Proportions of a person."""
    leg: float  # factor on its length
    arm: float  # factor on its length
    shoulder: float  # half the width, in standing heights
    hip: float  # half the width, in standing heights
    skull: float  # radius, in standing heights


@dataclass(frozen=True)
class Skeleton:
    """Skeleton in the view frame, in units of the standing height.

    Attributes:
        joints: (17, 3) in COCO's order; those of the face on its surface.
        neck: (3,) point on the spine between the shoulders.
        head: (3,) centre of the skull.
        hands, heels, toes: (2, 3) each, left and right.
        skull: Radius of the skull.
        body_turn, trunk_turn, head_turn: (3, 3) rotations from the frame
            named to the view frame.
        pose: Name of the pose.
        yaw: Degrees; 0 faces the viewer, 180 shows the back.
    """
    joints: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    hands: np.ndarray
    heels: np.ndarray
    toes: np.ndarray
    skull: float
    body_turn: np.ndarray
    trunk_turn: np.ndarray
    head_turn: np.ndarray
    pose: str
    yaw: float

    def pair(self, left: int) -> np.ndarray:
        """(2, 3) left and right joint; ``left`` is the index of the left."""
        return self.joints[left:left + 2]


def rotation(yaw: float = 0., pitch: float = 0.,
             roll: float = 0.) -> np.ndarray:
    """(3, 3) rotation by degrees; a positive pitch bends the head forward."""
    (sa, sb, sc) = np.sin(np.radians((yaw, pitch, roll)))
    (ca, cb, cc) = np.cos(np.radians((yaw, pitch, roll)))
    about_y = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    about_x = np.array([[1, 0, 0], [0, cb, sb], [0, -sb, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def random_skeleton(rng: np.random.Generator) -> Skeleton:
    """Draw a pose, a build and a view.

    Args:
        rng: Source of all choices; it is advanced.

    Returns:
        Skeleton: In the view frame, in units of the standing height.
    """
    shares = [pose.share for pose in _POSES.values()]
    name = str(rng.choice(list(_POSES), p=shares))
    pose, build = _POSES[name], _random_build(rng)
    trunk = rotation(yaw=rng.normal(0, 10),
                     pitch=rng.uniform(*pose.trunk_bent),
                     roll=rng.normal(0, 5))
    yaw = _random_yaw(rng)
    tilt = rng.normal(0, 18 if name == 'free' else 5)
    turn = rotation(pitch=rng.uniform(-6, 18), roll=tilt) @ rotation(yaw)
    look = trunk @ rotation(yaw=rng.normal(0, 18), pitch=rng.normal(0, 10),
                            roll=rng.normal(0, 7))

    leading = rng.choice([-1, 1])  # side of the leg that is ahead in a walk
    step = leading if name == 'walk' else 0
    return _assembled(rng, name, build, (pose, pose), step, trunk, turn, look,
                      float(yaw))


def walking_skeleton(seed: Any, phase: float, yaw: float) -> Skeleton:
    """A person at one moment of a walk.

    Args:
        seed: Who it is, as ``numpy.random.default_rng`` takes it: build and
            bearing are the same at every phase.
        phase: Of the stride in radians; 2 pi is a step of each leg, and at 0
            the left leg is ahead.
        yaw: Where the person walks, in degrees: 0 to the viewer, 90 to the
            right of the image.

    Returns:
        Skeleton: In the view frame, in units of the standing height.
    """
    rng = np.random.default_rng(seed)
    build = _random_build(rng)
    leg, arm = rng.uniform(20, 30), rng.uniform(12, 30)  # swings
    lift, elbow = rng.uniform(30, 50), rng.uniform(10, 45)
    trunk = rotation(pitch=rng.uniform(-2, 10), roll=rng.normal(0, 2))
    turn = rotation(pitch=rng.uniform(-3, 10)) @ rotation(yaw)
    look = trunk @ rotation(yaw=rng.normal(0, 10), pitch=rng.normal(0, 6))

    def pose(angle: float) -> _Pose:
        ahead = np.cos(angle)
        # a leg that swings forward is bent, or its foot would drag
        bend = 6 + lift * max(0., -np.sin(angle))
        return _Pose(1., (leg * ahead + 4, ) * 2, (2, 2), (bend, bend),
                     (-arm * ahead, ) * 2, (82, 82), (elbow, elbow), (0, 0))

    return _assembled(rng, 'walk', build, (pose(phase), pose(phase + np.pi)),
                      0, trunk, turn, look, float(yaw))


def _assembled(rng: np.random.Generator, name: str, build: _Build,
               poses: Tuple[_Pose, _Pose], leading: int, trunk: np.ndarray,
               turn: np.ndarray, look: np.ndarray, yaw: float) -> Skeleton:
    """The skeleton of a pose of each side, left and right.

    ``leading`` is the side of the leg ahead, 1 left, -1 right, 0 neither;
    ``trunk``, ``turn`` and ``look`` are (3, 3): trunk to body frame, body to
    view frame, head to body frame.
    """
    joints, (hands, heels, toes) = np.zeros((17, 3)), np.zeros((3, 2, 3))
    neck = trunk @ (0, -.29, 0)
    head = neck + trunk @ (0, -.035, .01) + look @ (0, -build.skull * .9, 0)
    joints[:5] = head + build.skull * _FACE @ look.T
    for i, (side, pose) in enumerate(zip((1, -1), poses)):
        step = side * leading  # x is positive on the left
        hip, knee, ankle, heels[i], toes[i] = _leg(rng, pose, build, side,
                                                   step)
        shoulder, elbow, wrist, hands[i] = _arm(rng, pose, build, side, step,
                                                trunk, neck)
        joints[SHOULDER + i::2] = shoulder, elbow, wrist, hip, knee, ankle
    hands, heels, toes = (np.stack([turn @ point for point in pair])
                          for pair in (hands, heels, toes))
    return Skeleton(joints @ turn.T, turn @ neck, turn @ head, hands, heels,
                    toes, build.skull, turn, turn @ trunk, turn @ look, name,
                    yaw)


def _random_build(rng: np.random.Generator) -> _Build:
    """Proportions; one person in five has the large head of a child."""
    return _Build(
        leg=rng.uniform(.92, 1.08), arm=rng.uniform(.92, 1.08),
        shoulder=.105 * rng.uniform(.85, 1.15),
        hip=.07 * rng.uniform(.85, 1.15),
        skull=rng.uniform(.066, .08) * (1.3 if rng.random() < .2 else 1.))


def _random_yaw(rng: np.random.Generator) -> float:
    """Degrees: mostly front, many backs, some from the side."""
    kind = rng.random()
    if kind < .58:
        return np.clip(rng.normal(0, 28), -75, 75)
    if kind < .9:
        return 180 + np.clip(rng.normal(0, 28), -75, 75)
    return rng.choice([-90., 90.]) + rng.uniform(-20, 20)


def _leg(rng: np.random.Generator, pose: _Pose, build: _Build, side: int,
         step: int) -> Tuple[np.ndarray, ...]:
    """Hip, knee, ankle, heel and toes, five points (3,) of the body frame.

    ``side`` is 1 on the left and -1 on the right. In a walk, ``step`` is 1
    for the leg ahead and -1 for the one behind; else it is 0.
    """
    flexion = rng.uniform(*pose.hip_flexion)
    bend = rng.uniform(*pose.knee_flexion)
    if step < 0:
        flexion, bend = -.6 * flexion, bend + 10
    spread = rng.uniform(*pose.hip_spread)
    flexion, spread, bend = np.radians((flexion, spread, bend))
    thigh = np.array([side * np.sin(spread), np.cos(spread) * np.cos(flexion),
                      np.cos(spread) * np.sin(flexion)])
    ahead = np.array([0, -np.sin(flexion), np.cos(flexion)])
    shank = thigh * np.cos(bend) - ahead * np.sin(bend)
    foot = ahead * np.cos(bend) + thigh * np.sin(bend)
    foot = foot + np.array([side * rng.uniform(0, .5), 0, 0])
    foot = foot / np.linalg.norm(foot)
    hip = np.array([side * build.hip, 0, 0])
    knee = hip + thigh * .235 * build.leg
    ankle = knee + shank * .23 * build.leg
    return (hip, knee, ankle, ankle + shank * .02,
            ankle + shank * .03 + foot * .075)


def _arm(rng: np.random.Generator, pose: _Pose, build: _Build, side: int,
         step: int, trunk: np.ndarray,
         neck: np.ndarray) -> Tuple[np.ndarray, ...]:
    """Shoulder, elbow, wrist and hand, four points (3,) of the body frame.

    ``side`` and ``step`` are as in :func:`_leg`; ``trunk`` is the (3, 3)
    rotation from the trunk frame to the body frame.
    """
    # In a walk, the arm swings back where the leg goes ahead.
    turned = (-100, -60) if step > 0 else pose.arm_turned
    raised, turned, bend = np.radians([
        rng.uniform(*limits)
        for limits in (pose.arm_raised, turned, pose.elbow_flexion)])
    upper = np.array([side * np.sin(raised) * np.cos(turned), np.cos(raised),
                      np.sin(raised) * np.sin(turned)])
    # An elbow bends forward, inward and up, never backward.
    aim = np.array([-side * rng.uniform(0, 1.), -rng.uniform(0, .6), 1.])
    aim -= upper * (aim @ upper)
    aim /= np.linalg.norm(aim) + 1e-9
    fore = upper * np.cos(bend) + aim * np.sin(bend)
    upper, fore = trunk @ upper, trunk @ fore
    shoulder = neck + trunk @ (side * build.shoulder, .015, 0)
    elbow = shoulder + upper * .155 * build.arm
    wrist = elbow + fore * .135 * build.arm
    return shoulder, elbow, wrist, wrist + fore * .035

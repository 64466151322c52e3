"""Videos of synthetic people who walk, cross, leave and return, with ids.

Everybody walks straight through the middle of the image, at a time near the
middle of the video: so people cross, and most come from outside and leave.
Some stand, and some turn back. Clothes, build and background stay the same;
a person's id is the same in all frames.
"""
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Tuple, Union

import cv2
import numpy as np

from .annotation import person_annotation
from .background import draw_background
from .dataset import SKELETON, Progress, write_atomically
from .person import Placed, draw_person
from .scene import check_scene, check_whole, photograph
from .skeleton import KEYPOINT_NAMES, walking_skeleton

ANN_FILE = 'annotations/person_keypoints_video.json'
STRIDE = .85  # of two steps, in standing heights


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        annotations: COCO annotations without ``id`` and ``image_id``, far to
            near, of everybody of whom something is visible, with
            ``track_id``: 1, 2, ...
    """
    image: np.ndarray
    annotations: List[dict]


@dataclass(frozen=True)
class _Walker:
    """A person, and the way through the image.

    Attributes:
        seed: Of build and clothes.
        meets: Second at which the person is in the middle.
        hips_img: (2,) x, y then [px].
        height: Standing height then [px].
        speed: In standing heights per second.
        yaw: Degrees, as of a skeleton.
        turns: Second at which the person turns back.
        nearness: Factor on the height that decides who stands in front.
    """
    seed: Tuple[int, ...]
    meets: float
    hips_img: np.ndarray
    height: float
    speed: float
    yaw: float
    turns: float
    nearness: float

    def at(self, second: float) -> Placed:
        """Skeleton and place at a time."""
        back = second > self.turns
        walked = min(second, 2 * self.turns - second) - self.meets
        yaw = self.yaw + 180 * back
        ahead = self.speed * walked * np.array(  # right; towards the viewer
            (np.sin(np.radians(self.yaw)), np.cos(np.radians(self.yaw))))
        # seen by a camera some 6 heights away
        height = self.height / max(1 - ahead[1] / 6, .4)
        x, y = self.hips_img
        hips_img = np.array([x + ahead[0] * height,
                             y + (height - self.height) * .25])
        phase = 2 * np.pi * self.speed * (second - self.meets) / STRIDE
        return Placed(walking_skeleton(self.seed, phase, yaw), height,
                      hips_img)


def draw_video(seed: Any, frames: int = 48, size: int = 320,
               max_people: int = 5, rate: float = 12.) -> Iterator[Frame]:
    """Draw a video, frame by frame.

    Args:
        seed: Whole number >= 0, or a sequence of such.
        frames: Their number.
        size: Width and height [px].
        max_people: Most people, 1 to 5; there are at least 2, if it allows.
        rate: Frames per second.

    Yields:
        Frame: Image and annotations.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_scene(size, max_people, .25)
    check_whole('frames', frames, 1)
    if not rate > 0:
        raise ValueError(f'rate is {rate!r}: give frames per second above 0')
    key = tuple(np.atleast_1d(seed).tolist())
    rng = np.random.default_rng(key)
    background = draw_background(rng, size)
    number = int(rng.integers(min(2, max_people), max_people + 1))
    people = [_random_walker(rng, (*key, i), i, size, frames / rate)
              for i in range(1, number + 1)]
    for frame in range(frames):
        canvas = background.copy()
        annotations = _draw_people(canvas, people, frame / rate)
        image = photograph(np.random.default_rng((*key, 0)), canvas,
                           np.random.default_rng((*key, 0, frame)))
        yield Frame(image, annotations)


def _random_walker(rng: np.random.Generator, seed: Tuple[int, ...],
                   number: int, size: int, seconds: float) -> _Walker:
    """Somebody; those of even number come from the other side."""
    height = rng.uniform(.4, .8) * size
    x, y = rng.uniform(.3, .7) * size, size * .55 + rng.uniform(-.1, .1) * size
    yaw = rng.uniform(35, 100) * (1 if number % 2 else -1)
    kind = rng.random()
    speed = 0. if kind < .15 else rng.uniform(.5, 1.1)
    meets = rng.uniform(.3, .7) * seconds
    turns = meets + rng.uniform(.1, .3) * seconds if kind > .7 else np.inf
    return _Walker(seed, meets, np.array([x, y]), height, speed, yaw, turns,
                   rng.uniform(.8, 1.25))


def _draw_people(canvas: np.ndarray, people: List[_Walker],
                 second: float) -> List[dict]:
    """Draw everybody in place; annotations, far to near."""
    there = [(i, walker.seed, walker.at(second), walker.nearness)
             for i, walker in enumerate(people, 1)]
    there.sort(key=lambda each: each[2].height * each[3])
    drawn = [(i, *draw_person(np.random.default_rng(seed), canvas, placed))
             for i, seed, placed, _ in there]
    annotations = []
    hidden = np.zeros(canvas.shape[:2], bool)
    for i, silhouette, keypoints in reversed(drawn):
        annotation = person_annotation(silhouette, silhouette & ~hidden,
                                       keypoints)
        hidden |= silhouette
        if annotation['area'] > 0:
            annotations.append(dict(annotation, track_id=i))
    return annotations[::-1]


# --- files ------------------------------------------------------------------


def write_videos(root: Union[str, Path], videos: int = 4, frames: int = 48,
                 size: int = 320, seed: int = 0, max_people: int = 5,
                 rate: float = 12., progress: Progress = None) -> dict:
    """Write videos, their frames, and annotations with ``track_id``.

    ``root/video/000001.mp4`` is the first video, ``root/video/000001/`` has
    its frames. ``root/annotations/person_keypoints_video.json`` is a COCO
    file of all frames, with ``videos``; images have ``video_id`` and
    ``frame_id``, annotations ``track_id``, which is another one for every
    person of the file.

    Args:
        root: Folder, made if missing.
        videos: Their number.
        frames: As in :func:`draw_video`.
        size: As in :func:`draw_video`.
        seed: Whole number >= 0; videos of other numbers are others.
        max_people: As in :func:`draw_video`.
        rate: As in :func:`draw_video`.
        progress: Called as ``progress(done, total)`` after each frame.

    Returns:
        dict: The numbers of ``videos``, ``images``, ``persons`` (different
        ones) and ``annotations``.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``root`` holds such annotations.
        OSError: If a video cannot be written.
    """
    root = Path(root)
    check_whole('videos', videos, 1)
    check_whole('seed', seed, 0)
    if (root / ANN_FILE).exists():
        raise FileExistsError(f'{root / ANN_FILE} exists: choose another '
                              'folder, or delete that file')
    content: dict = dict(
        info=dict(description='Videos of synthetic people', year=2017,
                  synthetic=dict(seed=seed, videos=videos, frames=frames,
                                 size=size, max_people=max_people,
                                 rate=rate)),
        licenses=[dict(id=1, name='Apache License 2.0', url='')], videos=[],
        images=[], annotations=[], categories=[dict(
            id=1, name='person', supercategory='person',
            keypoints=KEYPOINT_NAMES, skeleton=SKELETON)])
    for number in range(1, videos + 1):
        drawn = draw_video((seed, number), frames, size, max_people, rate)
        content['videos'].append(dict(
            id=number, name=f'{number:06d}', file_name=f'{number:06d}.mp4',
            width=size, height=size, fps=rate, frames=frames))
        for done in _write_video(root / 'video', number, drawn, rate,
                                 content):
            if progress is not None:
                progress((number - 1) * frames + done, videos * frames)
    (root / ANN_FILE).parent.mkdir(exist_ok=True)
    write_atomically(root / ANN_FILE, json.dumps(content).encode())
    return dict(videos=videos, images=len(content['images']),
                persons=len({a['track_id'] for a in content['annotations']}),
                annotations=len(content['annotations']))


def _write_video(folder: Path, number: int, drawn: Iterator[Frame],
                 rate: float, content: dict) -> Iterator[int]:
    """Write a video and its frames; add their entries; count them."""
    writer = None
    for frame, (image, annotations) in enumerate(drawn):
        height, width = image.shape[:2]
        name = f'{number:06d}/{frame:06d}.jpg'
        if writer is None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            path = folder / f'{number:06d}.mp4'
            code = cv2.VideoWriter.fourcc(*'mp4v')
            writer = cv2.VideoWriter(str(path), code, rate, (width, height))
            if not writer.isOpened():
                raise OSError(f'{path} cannot be written')
        writer.write(image)
        _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        write_atomically(folder / name, data.tobytes())
        image_id = len(content['images']) + 1
        content['images'].append(dict(
            id=image_id, file_name=name, width=width, height=height,
            license=1, video_id=number, frame_id=frame))
        content['annotations'] += [dict(
            annotation, id=len(content['annotations']) + i,
            image_id=image_id, video_id=number,
            track_id=100 * number + annotation['track_id'])
            for i, annotation in enumerate(annotations, 1)]
        yield frame + 1
    if writer is not None:
        writer.release()

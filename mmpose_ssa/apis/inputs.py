"""What users give the inferencer: files, folders, patterns, arrays, videos."""
import glob
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union
from urllib.parse import urlsplit

import cv2
import numpy as np

from ..annotations.segmentations import MAX_PIXELS, MAX_SIDE

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')

LONGEST_NAME = 180  # bytes
# Frames per second that videos have; others say so by damage or on purpose
RATES = (0.1, 1000.)
# With which files of MPEG-4 and QuickTime begin, after four bytes of length
ATOMS = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'pnot',
         b'uuid', b'styp', b'sidx', b'moof')
TIMEOUT = 20_000  # milliseconds without an answer from an address

Image = Union[str, Path, np.ndarray]
NamedImage = Tuple[str, Union[str, np.ndarray]]  # name; file or array


def find_images(inputs: Union[Image, Sequence[Image]]) -> List[NamedImage]:
    """Find the images that are meant.

    Args:
        inputs: An image or video file or its URL, a folder, a pattern, a
            camera (``'webcam'``, ``'webcam:1'``), a BGR array (H, W, 3), or a
            list of these.

    Returns:
        Name and file or array of each; an array's name is its place.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If an input is neither a path nor an array of uint8.
        ValueError: If there are none.
    """
    if not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    images: List[NamedImage] = []
    for given in inputs:
        if isinstance(given, np.ndarray):
            if given.dtype != np.uint8:
                raise TypeError(f'an image array is of {given.dtype}: give '
                                'BGR of uint8, (H, W, 3)')
            images.append((str(len(images)), given))
        elif isinstance(given, (str, Path)):
            images += [(_name(path), path) for path in _files(str(given))]
        else:
            raise TypeError(
                f'{given!r:.200} is a {type(given).__name__}: give a path, or '
                'an image as an array')
    if not images:
        raise ValueError('no image given: give one at least')
    return images


def is_video(path: str) -> bool:
    """Whether a name is that of a video, or of a camera."""
    return camera(path) is not None or \
        PurePosixPath(_without_query(path)).suffix.lower() in VIDEO_SUFFIXES


def camera(path: str) -> Optional[int]:
    """The number of the camera that ``'webcam'`` or ``'webcam:1'`` names."""
    match = re.fullmatch(r'webcam(?::(\d+))?', path)
    return int(match[1] or 0) if match else None


def is_url(path: str) -> bool:
    """Whether a path is an address in the web."""
    return path.startswith(('http://', 'https://'))


def _without_query(path: str) -> str:
    """An address without what follows ``?``; a path as it is."""
    return urlsplit(path).path if is_url(path) else path


def unique_names(images: Sequence[NamedImage]) -> List[NamedImage]:
    """Names under which nothing is written twice.

    A file is named after its stem. Of files with one stem each gets more of
    its path, ``a/7.jpg`` and ``b/7.jpg`` become ``a_7`` and ``b_7``; if that
    is not enough, its suffix; at last a number.

    Args:
        images: As :func:`find_images` returns them.
    """
    def longer(name: str, given: Union[str, np.ndarray]) -> List[str]:
        if not isinstance(given, str):
            return [name] * 3
        path = Path(os.path.normpath(given))
        parent = path.parent.name
        return [name, f'{parent}_{name}' if parent else name,
                f'{parent}_{path.name}' if parent else path.name]

    choices = [longer(*image) for image in images]
    taken = [0] * len(images)
    for level in (1, 2):
        names = [choice[n] for choice, n in zip(choices, taken)]
        often = Counter(names)
        taken = [level if often[name] > 1 else n
                 for name, n in zip(names, taken)]
    used: Set[str] = set()
    numbers: Dict[str, int] = Counter()
    result = []
    for choice, n, (_, given) in zip(choices, taken, images):
        name = choice[n]
        while name in used:
            numbers[choice[n]] += 1
            name = f'{choice[n]}_{numbers[choice[n]] + 1}'
        used.add(name)
        result.append((name, given))
    return result


class Video:
    """The frames of a video file, one at a time.

    Args:
        path: The file, its URL, or a camera, ``'webcam'`` or ``'webcam:1'``.

    Attributes:
        rate: Frames per second; 25 if the file declares none that can be.
        length: Number of frames that the file declares; 0 if none.

    Raises:
        ValueError: If it cannot be opened, or its frames are too large.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        device = camera(path)
        self._capture = self._open(path, device)
        if not self._capture.isOpened():
            raise ValueError(
                f'{path} cannot be opened: give the number of a camera that '
                'is connected and not in use' if device is not None else
                f'{path} cannot be read as a video: it is damaged, or uses a '
                'codec that OpenCV lacks')
        self._check_size(*map(self._capture.get, (
            cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if RATES[0] <= rate <= RATES[1] else 25.
        self.length = max(
            0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    @staticmethod
    def _open(path: str, device: Optional[int]) -> cv2.VideoCapture:
        if device is not None:
            return cv2.VideoCapture(device)
        if is_url(path):
            return cv2.VideoCapture(path, cv2.CAP_FFMPEG, [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT])
        # A pipe or a list of other videos may never end
        return cv2.VideoCapture(path) if os.path.isfile(path) and \
            _begins_as_video(path) else cv2.VideoCapture()

    def _check_size(self, width: float, height: float) -> None:
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise ValueError(
                f'{self.path} has frames of {width:.0f} x {height:.0f} '
                f'pixels, more than {MAX_SIDE} on a side or {MAX_PIXELS:,}: '
                'scale it down')

    def __iter__(self) -> Iterator[np.ndarray]:
        """BGR frames (H, W, 3).

        Raises:
            ValueError: After the last frame that can be read, if the file
                declares more.
        """
        count = 0
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    break
                count += 1
                yield frame
        finally:
            self._capture.release()
        if not count or count < self.length - 1:  # some count one too many
            raise ValueError(f'{self.path} ends after {count} of '
                             f'{self.length} frames: it is cut or damaged')


def _begins_as_video(path: str) -> bool:
    """Whether a file begins as one of VIDEO_SUFFIXES does."""
    try:
        with open(path, 'rb') as file:
            start = file.read(8)
    except OSError:  # no permission
        return False
    return start.startswith((b'RIFF', b'\x1a\x45\xdf\xa3')) or \
        start[4:] in ATOMS


def _name(path: str) -> str:
    """What a file, an address or a camera is called in the results."""
    if camera(path) is not None:
        return path.replace(':', '_')
    stem = Path(_without_query(path)).stem or 'image'
    # what is written beside it has longer names, of 255 bytes at most
    return os.fsdecode(os.fsencode(stem)[:LONGEST_NAME])


def _files(path: str) -> List[str]:
    """The files of a path, a folder or a pattern."""
    if is_url(path) or (camera(path) is not None and not Path(path).exists()):
        return [path]
    if Path(path).is_dir():
        files = sorted(str(file) for file in Path(path).iterdir()
                       if file.suffix.lower() in
                       IMAGE_SUFFIXES + VIDEO_SUFFIXES)
        if not files:
            raise ValueError(
                f'folder {path} has no images (*{", *".join(IMAGE_SUFFIXES)}) '
                'in it: give the folder that contains them')
        return files
    files = [path] if Path(path).is_file() else sorted(glob.glob(path))
    if not files:
        raise FileNotFoundError(
            f"{path} does not exist: give an image, a folder of images or a "
            "pattern such as 'photos/*.jpg'")
    return files

"""Images and frames, read one at a time as the inferencer asks for them."""
import os
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Union

import numpy as np

from ..annotations.checks import LARGEST_ID
from ..datasets.loading import LoadCheckedImage
from .inputs import Video, is_video


class ReadImage(NamedTuple):
    """An image or frame as it was read; without pixels if it could not be.

    Attributes:
        name: What is written for it begins with.
        path: Its file, None of an array.
        image_id: COCO's.
        frame: Its number from 0, of a video.
        rate: Frames per second, of a video.
        image: (H, W, 3) BGR, None if it could not be read.
        error: Why it could not.
    """
    name: str
    path: Optional[str]
    image_id: Union[int, str] = ''
    frame: Optional[int] = None
    rate: float = 25.
    image: Optional[np.ndarray] = None
    error: Optional[Exception] = None


def read_images(
        images: Sequence[tuple],
        image_ids: Optional[Dict[str, int]]) -> Iterator[ReadImage]:
    """Read what :func:`find_images` found, one image or frame at a time."""
    numbers = Counter(_number(name) for name, _ in images)
    for name, given in images:
        path = given if isinstance(given, str) else None
        start = ReadImage(name, path)
        try:
            number = _number(name)
            image_id: Union[int, str] = name \
                if number is None or numbers[number] > 1 else number
            if image_ids is not None and path is not None:
                image_id = _listed_id(path, image_ids)
            start = start._replace(image_id=image_id)
            if isinstance(given, str) and is_video(given):
                video = Video(given)
                for frame, image in enumerate(video):
                    yield start._replace(
                        image_id=f'{start.image_id}:{frame}', frame=frame,
                        rate=video.rate, image=image)
            else:
                source = dict(img_path=given) if path else dict(img=given)
                yield start._replace(image=LoadCheckedImage()(source)['img'])
        except (OSError, TypeError, ValueError) as error:
            yield start._replace(error=error)


def _number(name: str) -> Optional[int]:
    """The image id that a name is, if it is one that JSON can hold."""
    digits = name.lstrip('0') or '0'
    if not (name.isascii() and name.isdecimal()) or len(digits) > 16:
        return None
    number = int(digits)
    return number if number < LARGEST_ID else None


def _listed_id(path: str, image_ids: Dict[str, int]) -> int:
    """The id of the longest end of a path that is listed."""
    parts = Path(os.path.abspath(path)).parts
    for start in range(len(parts)):
        name = '/'.join(parts[start:])
        if name in image_ids:
            return image_ids[name]
    raise ValueError(f'{path} is not an image of the annotation file, or one '
                     'of several of its name: give the folder in which '
                     'file_name is')

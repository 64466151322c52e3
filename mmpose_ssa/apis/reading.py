"""Images and frames, read one at a time as the inferencer asks for them."""
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Union

import numpy as np

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
    for name, given in images:
        path = given if isinstance(given, str) else None
        start = ReadImage(name, path)
        try:
            start = start._replace(image_id=_image_id(name, path, image_ids))
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


def _image_id(name: str, path: Optional[str],
              image_ids: Optional[Dict[str, int]]) -> Union[int, str]:
    if image_ids is None or path is None:
        return int(name) if name.isdecimal() else name
    file = Path(path).name
    if file not in image_ids:
        raise ValueError(f'{path} is not an image of the annotation file')
    return image_ids[file]

"""What prediction leaves in a folder: results, pictures and videos."""
import os
from pathlib import Path
from typing import Any, Optional, Sequence, Union

import cv2
import numpy as np
from mmpose.structures import PoseDataSample

from ..files import write_whole
from .inputs import NamedImage, is_url
from .reading import ReadImage
from .results import ResultsFile
from .visualizer import resized

MAX_VIDEO_SIDE = 8190  # pixels, of MPEG-4
# What is written of an image or a video of some name
ENDINGS = ('_persons.jpg', '_persons.mp4', '_attention.jpg')


def check_targets(folder: Union[str, Path],
                  images: Sequence[NamedImage]) -> None:
    """Raise ValueError if an input would be written over.

    Args:
        folder: To write to.
        images: Name and file or array of each input.
    """
    inputs = {os.path.realpath(given) for _, given in images
              if isinstance(given, str) and not is_url(given)}
    place = os.path.realpath(folder)
    for name, _ in images:
        for ending in ENDINGS:
            if os.path.join(place, name + ending) in inputs:
                raise ValueError(
                    f'{name + ending} in {folder} is an input, which a '
                    'picture would overwrite: give another output folder')


class PredictionWriter:
    """Writes results and pictures into a folder, if there is one.

    Args:
        inferencer: Draws persons and attention.
        out_dir: The folder; None writes nothing.
        pictures: Whether pictures and videos are written.
        attention: Whether pictures of the attention are written.
        *thresholds: ``kpt_thr`` and ``draw_thr`` of the pictures.
    """

    def __init__(self, inferencer: Any,
                 out_dir: Union[str, Path, None], pictures: bool,
                 attention: bool, *thresholds: float) -> None:
        self.inferencer, self.thresholds = inferencer, thresholds
        self.folder = None if out_dir is None else Path(out_dir)
        self.pictures, self.attention = pictures, attention
        self.video: Optional[cv2.VideoWriter] = None
        self.video_name, self.frames = '', 0

    def __enter__(self) -> 'PredictionWriter':
        if self.folder:
            self.file = ResultsFile(self.folder / 'predictions.json')
        return self

    def __exit__(self, kind: Any, *_) -> None:
        try:
            self.end_video(check=kind is None)
        finally:
            if self.folder:
                self.file.close()

    def end_video(self, check: bool = True) -> None:
        """Close the video that is written, if there is one.

        Args:
            check: Whether to look if it is whole: OpenCV is silent about a
                full disk.

        Raises:
            OSError: If fewer frames are in it than were written.
        """
        if self.video is None:
            return
        self.video.release()
        self.video = None
        there = cv2.VideoCapture(self.video_name)
        if check and there.get(cv2.CAP_PROP_FRAME_COUNT) < self.frames:
            raise OSError(f'{self.video_name} is damaged, of {self.frames} '
                          'frames not all were written: is the disk full?')

    def write(self, item: ReadImage, sample: PoseDataSample,
              results: Sequence[dict]) -> Optional[np.ndarray]:
        """Returns the picture, if one was drawn."""
        if not self.folder or item.image is None:
            return None
        self.file.write(list(results))
        if not (self.pictures or self.attention):
            return None
        drawn = self.inferencer.draw_persons(item.image, sample,
                                             *self.thresholds)
        stem = self.folder / item.name
        if item.frame is not None:
            if self.pictures:
                self._write_frame(f'{stem}_persons.mp4', item.rate, drawn)
            return drawn
        if self.pictures:
            write_picture(f'{stem}_persons.jpg', drawn)
        if self.attention:
            write_picture(
                f'{stem}_attention.jpg',
                self.inferencer.draw_attention(item.image, sample, drawn))
        return drawn

    def _write_frame(self, path: str, rate: float, drawn: np.ndarray) -> None:
        factor = MAX_VIDEO_SIDE / max(drawn.shape[:2])
        if factor < 1:
            drawn = resized(drawn, factor)
        if self.video is None or self.video_name != path:
            self.end_video()
            self.video_name, self.frames = path, 0
            if os.path.islink(path):  # what it names is left as it is
                os.unlink(path)
            self.video = cv2.VideoWriter(
                path, cv2.VideoWriter_fourcc(*'mp4v'), rate,
                drawn.shape[1::-1])
            if not self.video.isOpened():
                raise OSError(f'{path} cannot be written: give a folder that '
                              'you may write to, or write no pictures')
        self.video.write(drawn)
        self.frames += 1


def write_picture(path: str, drawn: np.ndarray) -> None:
    """Write a picture, or raise OSError: OpenCV says it by a value only."""
    there, content = cv2.imencode(Path(path).suffix, drawn)
    assert there
    write_whole(content.tobytes(), path)

"""What prediction leaves in a folder: results, pictures and videos."""
from pathlib import Path
from typing import Any, Optional, Sequence, Union

import cv2
import numpy as np
from mmpose.structures import PoseDataSample

from .reading import ReadImage
from .results import ResultsFile


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
        self.video_name = ''

    def __enter__(self) -> 'PredictionWriter':
        if self.folder:
            self.file = ResultsFile(self.folder / 'predictions.json')
        return self

    def __exit__(self, *_) -> None:
        self.end_video()
        if self.folder:
            self.file.close()

    def end_video(self) -> None:
        if self.video is not None:
            self.video.release()
            self.video = None

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
        if self.video is None or self.video_name != path:
            self.end_video()
            self.video_name = path
            self.video = cv2.VideoWriter(
                path, cv2.VideoWriter_fourcc(*'mp4v'), rate,
                drawn.shape[1::-1])
            if not self.video.isOpened():
                raise OSError(f'{path} cannot be written: give a folder that '
                              'you may write to, or write no pictures')
        self.video.write(drawn)


def write_picture(path: str, drawn: np.ndarray) -> None:
    """Write a picture, or raise OSError: OpenCV says it by a value only."""
    there, content = cv2.imencode(Path(path).suffix, drawn)
    assert there
    Path(path).write_bytes(content.tobytes())

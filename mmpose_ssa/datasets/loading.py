"""Images, loaded so that their pixels are those that were annotated.

Deviations from MMPose, whose class this extends:

- ``LoadImage`` asks whether the file exists where an image is damaged.
- It decodes whatever a file declares: a file of some bytes may declare pixels
  for all memory. Here at most ``max_pixels`` are decoded, and no JPEG 2000:
  of one whose two headers disagree, OpenCV writes beyond its memory.
- It turns an image upright by its EXIF orientation, as viewers do, whatever
  size the annotations name. So it is here, and the sizes must agree. OpenCV
  forgets to turn WebP.
"""
import io
import os
import stat
import urllib.request
from http.client import HTTPException
from typing import Callable, Dict, Optional, Tuple

import cv2
import numpy as np
from mmcv import imfrombytes
from mmengine.fileio import get
from mmengine.logging import print_log
from mmpose.datasets.transforms import LoadImage
from mmpose.registry import TRANSFORMS
from PIL import Image

from ..annotations.segmentations import MAX_PIXELS, MAX_SIDE
from ..errors import RunError

ORIENTATION = 0x0112  # EXIF tag; 1 is upright, from 5 on the sides change
# Those that OpenCV reads safely, by their names in Pillow
FORMATS = ('JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'PPM')
# How JPEG 2000 begins, in a file with boxes and as a bare codestream
JPEG_2000 = (b'\0\0\0\x0cjP', b'\xff\x4f\xff\x51')
JPEG = b'\xff\xd8'
RIFF, WEBP = b'RIFF', b'WEBP'  # at 0 and 8
# EXIF orientation -> the stored rows and columns, turned upright
TURNS: Dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1], 5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[::-1]}
SCAN = b'\xff\xda'  # begins a scan; progressive JPEGs have some ten
MAX_SCANS = 100
SECOND = 2**38  # pixels times bytes: scans of 100 bytes take a second then
TIMEOUT = 20  # seconds without an answer from an address
AS_STORED = "color_type='color_ignore_orientation' of LoadCheckedImage"


class ImageFault(RunError):
    """An image file that cannot be trained on.

    Attributes:
        kind: 'unreadable', 'large', 'jpeg2000', 'size' or 'orientation'.
    """

    # One argument must do: PyTorch raises it anew out of its workers
    def __init__(self, message: str, kind: str = 'unreadable') -> None:
        super().__init__(message)
        self.kind = kind


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImage):
    """Load an image from a file, or take the array in ``results['img']``.

    An image with an EXIF orientation is turned upright, as viewers show it.
    If images were annotated as their pixels are stored, the annotation file
    gives the stored size: load them with
    ``color_type='color_ignore_orientation'``.

    Keys are those of :class:`LoadImage`, and ``ori_img`` if it is kept.

    Args:
        *args: Those of :class:`LoadImage`.
        keep_original (bool): Keep the image as ``ori_img`` beside what later
            steps make of it; a refiner looks at it. Defaults to False.
        max_pixels (int): Most pixels of an image. Defaults to 2 ** 27, whose
            array takes 400 MB.
        **kwargs: Those of :class:`LoadImage`.
    """

    _orientation_was_logged = False  # by this process

    def __init__(self,
                 *args,
                 keep_original: bool = False,
                 max_pixels: int = MAX_PIXELS,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.keep_original = keep_original
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> Optional[dict]:
        """Add ``img``, ``img_shape``, ``ori_shape`` and, if kept, ``ori_img``.

        Args:
            results (dict): With ``img_path``, or with ``img``, a BGR image
                (H, W, 3); ``annotated_shape``, if the image was annotated,
                (height, width).

        Returns:
            dict: The dict with the keys above added.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If ``img`` is not a colour image.
            ValueError: If the file is not an image, is too large, or has
                another size than the annotations say.
        """
        if 'img' in results:
            _check_array(results['img'])
        else:
            results['img'] = self._load(results['img_path'],
                                        results.get('annotated_shape'))
        results = super().transform(results)
        if self.keep_original:
            results['ori_img'] = results['img']
        return results

    @property
    def reads_as_stored(self) -> bool:
        """Whether the images' EXIF orientations are left out of account."""
        return (self.color_type == 'unchanged'
                or self.color_type.endswith('ignore_orientation'))

    def _load(self, path: str, annotated: Optional[tuple]) -> np.ndarray:
        """The pixels of a file, checked before and after they are decoded."""
        content = self._read(path)
        width, height, orientation = read_header(content, path,
                                                 self.max_pixels)
        if self.reads_as_stored:
            orientation = 1
        self._check_pixels(path, width, height)
        color_type, turn = self.color_type, None
        if orientation != 1 and content.startswith(RIFF) and (
                content[8:12] == WEBP):
            # Told so, no decoder turns it, whatever its version
            color_type, turn = f'{color_type}_ignore_orientation', TURNS[
                orientation]
        try:
            image = imfrombytes(content, color_type,
                                backend='cv2' if turn else
                                self.imdecode_backend)
        except cv2.error as error:
            raise _unreadable(path) from error
        if image is None:
            raise _unreadable(path)
        if turn:
            image = np.ascontiguousarray(turn(image))
        self._check_pixels(path, *image.shape[1::-1])
        if annotated is not None and None not in annotated:
            self._check_shape(path, image.shape[:2], (height, width),
                              tuple(annotated), orientation)
        return image

    def _read(self, path: str) -> bytes:
        """The content of a file that can be no endless one."""
        if not self.backend_args and path.startswith(('http://', 'https://')):
            return self._fetch(path)
        try:
            if not self.backend_args and '://' not in path:
                # Bytes, which the locale does not change
                name = path.encode('utf-8', 'surrogateescape')
                name = name if os.name == 'posix' else path
                status = os.stat(name)
                if (not stat.S_ISREG(status.st_mode)
                        or status.st_size > 4 * self.max_pixels):
                    raise OSError('it is not an image file')
                with open(name, 'rb') as file:
                    return file.read()
            return get(path, backend_args=self.backend_args)
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise FileNotFoundError(  # ValueError: no file can be named so
                f'image {path} does not exist: set data_root and '
                'data_prefix of the data set to its folder, or correct the '
                'path') from error
        except (OSError, ImportError, KeyError) as error:
            raise _unreadable(path) from error

    def _fetch(self, address: str) -> bytes:
        """Fetch a URL that may not answer, or never stop sending."""
        most = 4 * self.max_pixels
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as stream:
                content = stream.read(most + 1)
        except (OSError, HTTPException) as error:
            raise ImageFault(f'image {address} cannot be fetched ({error}): '
                             'correct the address, or save the image and give '
                             'the file') from error
        if len(content) > most:
            raise ImageFault(f'image {address} has more than {most:,} bytes: '
                             'give an image')
        return content

    def _check_pixels(self, path: str, width: int, height: int) -> None:
        if max(width, height) > MAX_SIDE or width * height > self.max_pixels:
            raise ImageFault(
                f'image {path} declares {width} x {height} pixels, more than '
                f'{MAX_SIDE} on a side or max_pixels={self.max_pixels}: scale '
                'it down, or take it out of the data', 'large')

    def _check_shape(self, path: str, shape: tuple, stored: tuple,
                     annotated: tuple, orientation: int) -> None:
        """Compare (height, width) of the pixels with what was annotated."""
        turned = (f'image {path} is turned upright by its EXIF orientation '
                  f'{orientation}')
        if shape == annotated:
            if orientation != 1 and shape == stored and (
                    not LoadCheckedImage._orientation_was_logged):
                LoadCheckedImage._orientation_was_logged = True
                print_log(f'{turned}; if it and others were annotated as they '
                          f'are stored, set {AS_STORED}', logger='current')
            return
        if orientation != 1 and stored == annotated:
            raise ImageFault(
                f'{turned} to {list(shape)} (height, width), but its '
                f'annotations say {list(annotated)}, the size as stored: if '
                'it was annotated upright, exchange width and height in the '
                f'annotation file; if as stored, set {AS_STORED}',
                'orientation')
        raise ImageFault(
            f'image {path} is of size {list(shape)} (height, width), but its '
            f'annotations say {list(annotated)}: give the images that were '
            'annotated, or correct width and height in the annotation file '
            'and scale the annotations with them', 'size')


def read_header(content: bytes,
                path: str,
                max_pixels: int = MAX_PIXELS) -> Tuple[int, int, int]:
    """Width, height and EXIF orientation that a file declares.

    Of more pixels than ``max_pixels`` the orientation is 1: to look for it,
    Pillow decodes all pixels of a PNG.

    Raises:
        ImageFault: If it is not an image, or a JPEG 2000.
    """
    if content.startswith(JPEG_2000):
        raise ImageFault(
            f'image {path} is a JPEG 2000, which OpenCV does not read safely: '
            'convert it to PNG or JPEG', 'jpeg2000')
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            orientation = 1
            if width * height <= max_pixels:
                orientation = image.getexif().get(ORIENTATION, 1)
    except Exception as error:  # damaged files raise errors of many kinds
        raise _unreadable(path) from error
    # counting takes a twentieth of the time that decoding takes
    many = content.startswith(JPEG) and width * height * len(
        content) > SECOND and content.count(SCAN) > MAX_SCANS
    if many:
        raise ImageFault(
            f'image {path} is a JPEG of more than {MAX_SCANS} scans, each of '
            'which takes the time of an image: save it again', 'large')
    return width, height, orientation if orientation in range(2, 9) else 1


def _unreadable(path: str) -> ImageFault:
    return ImageFault(
        f'{path} cannot be read as an image: it is empty, damaged, a folder '
        'or of an unknown format; copy it again, or take it out of the data')


def _check_array(image: np.ndarray) -> None:
    shape = getattr(image, 'shape', None)
    if not isinstance(image, np.ndarray) or len(shape) != 3 or shape[2] != 3:
        raise TypeError(
            'an image given as an array must be BGR, (H, W, 3), got '
            f'{type(image).__name__} of shape {shape}')

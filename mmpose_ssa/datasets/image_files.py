"""The image files of an annotation file: what training refuses or spoils."""
import hashlib
import os.path as osp
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional

from ..annotations.findings import Finding
from .loading import ImageFault, LoadCheckedImage, read_header

# What is refused of files -> what is said of the images, and the remedy
FAULTS = dict(
    missing=('have no file',
             'give the folder to which each file_name is relative, or take '
             'the images out'),
    unreadable=('cannot be read: empty, damaged, a folder or of an unknown '
                'format', 'copy them again, or take them out'),
    jpeg2000=('are JPEG 2000, which OpenCV does not read safely',
              'convert them to PNG or JPEG'),
    large=('are too large', 'scale them down with their '
           'annotations, or raise max_pixels of LoadCheckedImage'),
    size=('have another size than the annotation file says',
          'give the images that were annotated, or correct width and height '
          'and scale the annotations with them'),
    orientation=(
        'are turned upright by their EXIF orientation, but the annotation '
        'file has the size as stored', 'exchange width and height if they '
        "were annotated upright; if as stored, set color_type="
        "'color_ignore_orientation' of LoadCheckedImage"),
)
SUSPICIONS = dict(
    turned=('are turned by their EXIF orientation, and their size does not '
            'tell whether they were annotated so', 'look at them in the '
            "sheet; if they were annotated as stored, set color_type="
            "'color_ignore_orientation' of LoadCheckedImage"),
    copies=('have the same content as another image', 'remove all but one of '
            'them, also from the files for validation'),
)
SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp'}


class File(NamedTuple):
    """What was found of an image's file.

    Attributes:
        image: Its entry in the annotation file.
        kinds: Of ``FAULTS`` and ``SUSPICIONS``.
        detail: Of a fault, the error.
        digest: Of the content.
    """
    image: dict
    kinds: List[str]
    detail: str = ''
    digest: bytes = b''


def check_files(images: Iterable[dict], folder: str,
                loader: Optional[LoadCheckedImage] = None,
                workers: int = 1) -> Iterator[File]:
    """Load the file of each image as training does.

    Args:
        images: Of an annotation file, checked.
        folder: To which their ``file_name`` is relative.
        loader: The pipeline's. None: one with default arguments.
        workers: Threads.

    Yields:
        What was found, in the order of the images.
    """
    loader = loader or LoadCheckedImage()

    def check(image: dict) -> File:
        return _check_file(image, osp.join(folder, image['file_name']),
                           loader)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(check, images)
    finally:  # Ctrl-C does not wait for the files that are left
        pool.shutdown(cancel_futures=True)


def _check_file(image: dict, path: str, loader: LoadCheckedImage) -> File:
    annotated = image.get('height'), image.get('width')
    try:
        pixels = loader.transform(
            dict(img_path=path, annotated_shape=annotated))
    except FileNotFoundError:
        return File(image, ['missing'], path)
    except ImageFault as error:
        return File(image, [error.kind], str(error))
    assert pixels is not None
    content = Path(path).read_bytes()
    width, height, orientation = read_header(content, path)
    turned = orientation != 1 and not loader.reads_as_stored and (
        pixels['img_shape'][:2] == (height, width))
    return File(image, ['turned'] * turned,
                digest=hashlib.blake2b(content, digest_size=16).digest())


def file_findings(files: List[File], folder: str) -> List[Finding]:
    """What is said of all files.

    Args:
        files: From :func:`check_files`.
        folder: Where they are.
    """
    by_kind: Dict[str, List[File]] = {}
    copies = Counter(file.digest for file in files if file.digest)
    named: Dict[bytes, str] = {}
    for file in files:
        name = file.image['file_name']
        # entries that share a file are found in the annotations
        again = named.setdefault(file.digest, name) != name
        for kind in file.kinds + ['copies'] * (
                again and copies[file.digest] > 1):
            by_kind.setdefault(kind, []).append(file)
    found = []
    for level, texts in (('refused', FAULTS), ('suspect', SUSPICIONS)):
        for kind in texts:
            if kind in by_kind:
                found.append(_finding(level, kind, *texts[kind],
                                      by_kind[kind], len(files), named))
    return found + _not_listed(files, folder)


def _finding(level: str, kind: str, text: str, remedy: str,
             concerned: List[File], total: int,
             named: Dict[bytes, str]) -> Finding:
    example = concerned[0].image['file_name']
    if kind == 'copies':
        example += f' is {named[concerned[0].digest]}'
    elif kind == 'size':
        example = concerned[0].detail.partition(': ')[0]
    elif kind == 'missing':
        example = concerned[0].detail
    return Finding(level, f'image_{kind}',
                   f'{len(concerned)} of {total} images {text}', example,
                   remedy, [file.image['id'] for file in concerned])


def _not_listed(files: List[File], folder: str) -> List[Finding]:
    """Of the folder's files those that the annotation file does not name."""
    named = {osp.normpath(file.image['file_name']) for file in files}
    if not osp.isdir(folder):
        return []
    there = sorted(path.name for path in Path(folder).iterdir()
                   if path.suffix.lower() in SUFFIXES)
    rest = [name for name in there if name not in named]
    if not rest:
        return []
    return [Finding(
        'note', 'image_not_listed', f'{len(rest)} of {len(there)} image files '
        'in the folder are not in the annotation file', rest[0],
        'annotate them, or leave them')]

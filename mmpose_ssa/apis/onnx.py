"""An exported model without PyTorch and MMPose: ONNX Runtime and NumPy.

The file that `mmpose-ssa export` writes contains everything needed here: the
network, how images are resized for it, and how persons are decoded.
"""
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from ..annotations.reading import parse_json
from ..decoding import DecodeOptions, decode
from ..decoding.attention import attention_rows
from ..decoding.coordinates import content_box, input_from_image
from ..decoding.keypoints import keypoint_extents
from ..decoding.masks import encode_rle, image_masks
from ..decoding.visibility import hidden_by
from .results import coco_results

METADATA = 'mmpose_ssa'  # key of what we know, in the file's metadata
FORMAT = 1
MAX_SIDE = 4096  # pixels of an input


class Resize(NamedTuple):
    """How images become inputs, see :class:`SSAResize`.

    Attributes:
        input_size: (W, H) in pixels.
        size_factor: Sides of the input are multiples of it.
        resize_mode: 'expand': the short side becomes the input size; 'fit':
            the image lies inside it.
        max_ratio: Limit on the long side over the input size; None for none.
    """
    input_size: Tuple[int, int]
    size_factor: int
    resize_mode: str
    max_ratio: Optional[float] = None

    def check(self) -> None:
        """Raise ValueError unless every number is in range."""
        width, height = self.input_size
        for name, value, most in (
                ('input_size', width, MAX_SIDE),
                ('input_size', height, MAX_SIDE),
                ('size_factor', self.size_factor, MAX_SIDE),
                ('max_ratio', self.max_ratio or 1, 100)):
            if not 1 <= value <= most:
                raise ValueError(f'{name} is {value!r:.80}, not between 1 and '
                                 f'{most}')
        if self.resize_mode not in ('expand', 'fit'):
            raise ValueError(f'resize_mode is {self.resize_mode!r:.80}')

    def __call__(self, image: np.ndarray) -> Tuple[np.ndarray, dict]:
        """Resize and pad an image.

        Args:
            image: (H, W, 3).

        Returns:
            The input, (h, w, 3), and ``input_size``, ``input_scale``,
            ``input_center`` and ``ori_shape`` as MMPose's samples have them.
        """
        h, w = image.shape[:2]
        actual, padded = self.sizes(w, h)
        center = np.float32([w / 2, h / 2])
        scale = np.float32([w * padded[0] / actual[0],
                            h * padded[1] / actual[1]])
        matrix = _warp_matrix(center, scale, padded)
        resized = cv2.warpAffine(image, matrix, padded, flags=cv2.INTER_LINEAR)
        return resized, dict(
            input_size=padded, input_scale=scale, input_center=center,
            ori_shape=(h, w))

    def sizes(self, w: int, h: int) -> Tuple[Tuple[float, float],
                                             Tuple[int, int]]:
        """(w, h) of the resized and of the padded image."""
        width, height = (self._up(side) for side in self.input_size)
        if self.resize_mode == 'fit':
            return (min(width, height * w / h),
                    min(height, width / (w / h))), (width, height)
        actual = max(width, height * (w / h)), max(height, width / (w / h))
        if self.max_ratio:
            excess = max(np.divide(actual, self.input_size)) / self.max_ratio
            if excess > 1:
                actual = actual[0] / excess, actual[1] / excess
        return actual, (self._up(actual[0]), self._up(actual[1]))

    def _up(self, side: float) -> int:
        return int(np.ceil(side / self.size_factor) * self.size_factor)


class OnnxInferencer:
    """Find people in images with an exported model.

    ::

        people = OnnxInferencer('model.onnx')(cv2.imread('photo.jpg'))

    Args:
        path: A file that `mmpose-ssa export` wrote.
        threads: ONNX Runtime's number of threads; None for all cores.
        providers: ONNX Runtime's, ``['CPUExecutionProvider']`` by default.

    Attributes:
        options: How persons are decoded.
        resize: How images are resized and padded.
        category_id: COCO's category id of the persons.
        names: Names of the K keypoints.
        links: Pairs of keypoints, the lines of the skeleton.

    Raises:
        ImportError: If ONNX Runtime is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a model that was exported here.
    """

    def __init__(self,
                 path: Union[str, Path],
                 threads: Optional[int] = None,
                 providers: Sequence[str] = ('CPUExecutionProvider', )
                 ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError('an ONNX model needs ONNX Runtime: run `pip '
                              'install onnxruntime`') from error
        if not Path(path).is_file():
            raise FileNotFoundError(f'model {path} does not exist: write one '
                                    'with `mmpose-ssa export`')
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads or 0
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), settings, providers=list(providers))
        except Exception as error:  # ONNX Runtime's own kinds
            raise ValueError(f'{path} cannot be read as an ONNX model: '
                             f'{str(error):.300}') from error
        known = self.session.get_modelmeta().custom_metadata_map
        if METADATA not in known:
            raise ValueError(f'{path} was not written by `mmpose-ssa export`: '
                             'it does not say how persons are decoded')
        self._take(parse_json(known[METADATA].encode(), str(path)), str(path))

    def _take(self, known: dict, path: str) -> None:
        """Check and take over the metadata of the file.

        Raises:
            ValueError: If a part is missing, of a wrong type or out of range.
        """
        try:
            if known['format'] != FORMAT:
                raise ValueError(f'its format is {known["format"]!r:.80}, not '
                                 f'{FORMAT}')
            self.options = DecodeOptions(**known['decoding'])
            self.resize = Resize(**known['resize'])
            self.resize.check()
            self.category_id: int = known['category_id']
            self.names: List[str] = known['names']
            self.links: List[List[int]] = known['links']
            places = range(self.options.num_keypoints)
            if type(self.category_id) is not int or \
                    len(self.names) != len(places) or \
                    not all(isinstance(name, str) for name in self.names) or \
                    not all(a in places and b in places
                            for a, b in self.links):
                raise ValueError('category_id, names or links are not those '
                                 f'of {len(places)} keypoints')
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path} does not say how its persons are decoded '
                f'({error!r:.300}): export the model with this version'
            ) from error

    def __call__(self, image: np.ndarray, image_id: Union[int, str] = 0
                 ) -> List[dict]:
        """Find the people in one image.

        Args:
            image: (H, W, 3) BGR, uint8.
            image_id: The image's id in the results.

        Returns:
            Its persons, best first, as :class:`SSAInferencer` returns them:
            see :func:`coco_results`.
        """
        resized, metainfo = self.resize(image)
        heatmaps, q, k = (output[0] for output in self.session.run(
            None, {'images': np.float32(resized.transpose(2, 0, 1)[None])}))
        return coco_results(
            SimpleNamespace(pred_instances=self.persons(heatmaps, q, k,
                                                        metainfo)),
            image_id, None, self.category_id)

    def persons(self, heatmaps: np.ndarray, q: np.ndarray, k: np.ndarray,
                metainfo: dict) -> 'Persons':
        """Decode the outputs for one image.

        Args:
            heatmaps: (K, H/4, W/4).
            q: Queries (heads, L, d) and
            k: keys of the supervised layer.
            metainfo: What :class:`Resize` returned.

        Returns:
            The persons in pixels of the original image.
        """
        options = self.options
        found = decode(heatmaps, partial(attention_rows, q, k), options,
                       content_box(metainfo))
        scale, offset = input_from_image(metainfo)
        here = found.keypoint_scores > 0
        keypoints = np.where(
            here[..., None], (found.keypoints - offset) / scale, 0)
        return Persons(
            keypoints=keypoints,
            keypoint_scores=found.keypoint_scores,
            keypoints_filled=found.filled,
            keypoints_hidden_by=hidden_by(
                found.keypoints, here, found.maps, options.token_stride,
                options.mask_threshold),
            bbox_scores=found.scores,
            bboxes=keypoint_extents(keypoints, found.keypoint_scores),
            masks=encode_rle(image_masks(
                found.maps, metainfo['ori_shape'], scale, offset,
                options.token_stride, options.mask_threshold,
                options.mask_mode)))


class Persons(dict):
    """P persons of an image, by MMPose's names of what is known of them."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def _warp_matrix(center: np.ndarray, scale: np.ndarray,
                 size: Tuple[int, int]) -> np.ndarray:
    """(2, 3), from image to input pixels, rounded where MMPose rounds."""
    middle = np.float32([size[0] * 0.5, size[1] * 0.5])
    source = [center, center - (scale[0] * 0.5, 0)]
    target = [middle, middle - (size[0] * 0.5, 0)]
    for points in (source, target):
        direction = points[0] - points[1]
        points.append(points[1] + [-direction[1], direction[0]])
    return cv2.getAffineTransform(np.float32(source), np.float32(target))

"""From images to persons: the inferencer that users call.

It stands beside MMPose's ``Pose2DInferencer``, not on it: that one drops the
masks, loads weights that do not fit without an error, and returns boxes and
keypoints in a form of its own. Persons are COCO results here, which can be
saved and scored as they are.
"""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

import glob
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import mmcv
import numpy as np
import pycocotools.mask as coco_mask
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmpose.structures import PoseDataSample

from ..datasets.loading import LoadCheckedImage
from ..decoding.coordinates import input_from_image
from ..decoding.masks import maps_on_image
from ..decoding.refinement import keypoint_extents
from ..engine.loading import check_device, load_estimator, read_config
from ..evaluation.ground_truth import PERSON_ID
from .visualizer import (Skeleton, draw_attention, draw_persons,
                         sample_keypoints, side_by_side)

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

Image = Union[str, Path, np.ndarray]
NamedImage = Tuple[str, Union[str, np.ndarray]]  # name; file or array


def bundled() -> Tuple[str, str]:
    """Return config and checkpoint of the model that comes with the package.

    They are looked for in the package's ``.mim`` (a wheel) and in the folder
    around the package (a checkout).

    Raises:
        FileNotFoundError: If neither has them.
    """
    package = Path(__file__).parents[1]
    for folder in (package / '.mim', package.parent):
        files = (folder / 'configs/demo/ssa_demo.py',
                 folder / 'weights/ssa_demo.pth')
        if all(file.is_file() for file in files):
            return str(files[0]), str(files[1])
    raise FileNotFoundError(
        f'no bundled model in or beside {package}: give config and checkpoint')


class SSAInferencer:
    """Find the people in images: keypoints, scores, boxes and masks.

    ::

        from mmpose_ssa import SSAInferencer
        for result in SSAInferencer()('photos/', out_dir='predictions'):
            print(result['path'], len(result['predictions']))

    Args:
        config: Config of an SSA model, or its file. None: the bundled model,
            see :func:`bundled`.
        checkpoint: File or address of its weights; None with ``config`` only.
        device: As PyTorch names it. None: a GPU where there is one.

    Attributes:
        model: The estimator, in evaluation mode.
        skeleton: Names, links and colors of its keypoints.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If only one of them is given, the model is a top-down one
            or not that of the weights, or the device cannot be used.
    """

    def __init__(self,
                 config: Union[str, Path, Config, None] = None,
                 checkpoint: Union[str, Path, None] = None,
                 device: Optional[str] = None) -> None:
        if (config is None) != (checkpoint is None):
            raise ValueError(
                f'got config {config} and checkpoint {checkpoint}: give both, '
                'or neither for the bundled model')
        if config is None:
            config, checkpoint = bundled()
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        check_device(device)
        cfg = read_config(config)
        if cfg.get('data_mode') == 'topdown':
            raise ValueError(
                f'{cfg.filename} is the config of a top-down model, which '
                'needs boxes: give that of an SSA model')
        cfg.merge_from_dict({'model.test_cfg.output_attention': True})
        self.model = load_estimator(cfg, str(checkpoint), device)
        self.skeleton = Skeleton.from_meta(self.model.dataset_meta)
        self._pipeline = Compose(cfg.test_dataloader.dataset.pipeline)

    def __call__(self,
                 inputs: Union[Image, Sequence[Image]],
                 *,
                 kpt_thr: float = 0.1,
                 return_vis: bool = False,
                 out_dir: Union[str, Path, None] = None,
                 attention: bool = False) -> Iterator[dict]:
        """Predict images, one at a time, as the results are asked for.

        Args:
            inputs: An image file, a folder of images, a pattern such as
                ``'photos/*.jpg'``, a BGR array (H, W, 3), or a list of these.
            kpt_thr: Keypoints of a lower score are not drawn.
            return_vis: Add the picture of the persons to the results.
            out_dir: Write there, for each image, the picture
                ``NAME_persons.jpg`` and, at the end or where it is
                interrupted, all predictions as ``predictions.json``.
            attention: Write ``NAME_attention.jpg``, too: the persons and the
                attention of four of their keypoints (Fig. 9).

        Returns:
            An iterator of a dict for each image:

            - ``path``: its file, None of an array;
            - ``predictions``: its persons, see :func:`coco_results`;
            - ``visualization``: if asked for, its picture, BGR (H, W, 3).

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If an input is neither a path nor an image.
            ValueError: If there are no images, if two would be written to
                the same picture, or if one cannot be read.
        """
        images = find_images(inputs)
        if out_dir is not None:
            _check_names(images)
        return self._predict(images, kpt_thr, return_vis, out_dir, attention)

    def infer(self, image: np.ndarray) -> PoseDataSample:
        """Run the model on one BGR image (H, W, 3).

        Returns:
            The sample with ``pred_instances``: ``keypoints`` (P, K, 2) in
            image pixels, ``keypoint_scores`` (P, K), ``bbox_scores`` (P,),
            ``bboxes``, and, if the model is an SSA, ``masks`` (P RLE dicts)
            and ``keypoint_attention`` (P, K, h, w).
        """
        data = self._pipeline(dict(img=image, **self.model.dataset_meta))
        with torch.no_grad():
            sample, = self.model.test_step(pseudo_collate([data]))
        return sample

    def _predict(self, images: List[NamedImage], kpt_thr: float,
                 return_vis: bool, out_dir: Union[str, Path, None],
                 attention: bool) -> Iterator[dict]:
        everything: List[dict] = []
        try:
            for name, given in images:
                if isinstance(given, np.ndarray):
                    path, image = None, given
                else:
                    path = given
                    image = LoadCheckedImage()(dict(img_path=path))['img']
                sample = self.infer(image)
                result: Dict[str, Any] = dict(
                    path=path, predictions=coco_results(sample, name, path))
                everything += result['predictions']
                if return_vis or out_dir is not None:
                    drawn = self.draw_persons(image, sample, kpt_thr)
                if return_vis:
                    result['visualization'] = drawn
                if out_dir is not None:
                    stem = str(Path(out_dir) / name)
                    mmcv.imwrite(drawn, f'{stem}_persons.jpg')
                    if attention:
                        mmcv.imwrite(
                            self.draw_attention(image, sample, drawn),
                            f'{stem}_attention.jpg')
                yield result
        finally:
            if out_dir is not None:
                Path(out_dir).mkdir(parents=True, exist_ok=True)
                (Path(out_dir) / 'predictions.json').write_text(
                    json.dumps(everything))

    def draw_persons(self, image: np.ndarray, sample: PoseDataSample,
                     kpt_thr: float = 0.1) -> np.ndarray:
        """Draw masks and skeletons.

        Args:
            image: (H, W, 3) BGR.
            sample: What :meth:`infer` returns.
            kpt_thr: Keypoints of a lower score are not drawn.

        Returns:
            (H, W, 3) BGR.
        """
        found = sample.pred_instances
        masks = [coco_mask.decode(rle) for rle in found.get('masks', ())]
        return draw_persons(image, found.keypoints, found.keypoint_scores,
                            masks, self.skeleton, kpt_thr)

    def draw_attention(self, image: np.ndarray, sample: PoseDataSample,
                       persons: np.ndarray) -> np.ndarray:
        """Draw the attention of four keypoints beside the persons.

        Args:
            image: (H, W, 3) BGR.
            sample: What :meth:`infer` returns.
            persons: What :meth:`draw_persons` returns.

        Returns:
            BGR, one panel for each.
        """
        found = sample.pred_instances
        panels, captions = [persons], ['persons']
        # keypoints of a refiner, and of models without it, have no attention
        rows = found.get('keypoint_attention', np.zeros(
            (*found.keypoint_scores.shape, 1, 1)))
        attended = rows.any(axis=(2, 3))
        for p, k in sample_keypoints(found.keypoint_scores * attended):
            attention, = maps_on_image(
                rows[p, k][None] / rows[p, k].max(), image.shape[:2],
                *input_from_image(sample.metainfo),
                self.model.head.decoder.token_stride)
            panels.append(
                draw_attention(image, attention, found.keypoints[p, k]))
            captions.append(f'person {p + 1}: {self.skeleton.names[k]}')
        return side_by_side(panels, captions)


def find_images(inputs: Union[Image, Sequence[Image]]) -> List[NamedImage]:
    """Find the images that are meant.

    Args:
        inputs: See :meth:`SSAInferencer.__call__`.

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
            images += [(Path(path).stem, path) for path in _files(str(given))]
        else:
            raise TypeError(
                f'{given!r:.200} is a {type(given).__name__}: give a path, or '
                'an image as an array')
    if not images:
        raise ValueError('no image given: give one at least')
    return images


def _check_names(images: List[Tuple[str, Image]]) -> None:
    """Raise ValueError if two images would be written to one picture."""
    first: Dict[str, Image] = {}
    for name, image in images:
        if name in first:
            which = ' and '.join(
                given if isinstance(given, str) else 'an array'
                for given in (first[name], image))
            raise ValueError(
                f'two images are named {name!r} and would overwrite each '
                f'other ({which}): predict them apart')
        first[name] = image


def _files(path: str) -> List[str]:
    """The files of a path, a folder or a pattern."""
    if Path(path).is_dir():
        files = sorted(str(file) for file in Path(path).iterdir()
                       if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise ValueError(
                f'folder {path} has no images (*{", *".join(IMAGE_SUFFIXES)}) '
                'in it: give the folder in which they are')
        return files
    files = [path] if Path(path).is_file() else sorted(glob.glob(path))
    if not files:
        raise FileNotFoundError(
            f"{path} does not exist: give an image, a folder of images or a "
            "pattern such as 'photos/*.jpg'")
    return files


def coco_results(sample: PoseDataSample, name: str,
                 path: Optional[str]) -> List[dict]:
    """Write the persons of one image as COCO results.

    Args:
        sample: The predictions.
        name: COCO's image id, an integer if it is a number (000000000785.jpg
            is image 785).
        path: The image's file, if there is one.

    Returns:
        For each person ``image_id``, ``file_name``, ``category_id``,
        ``keypoints`` (x, y and score of each of the K, flat),
        ``keypoint_scores``, ``score``, ``bbox`` (x, y, width, height) and, if
        the model has masks, ``segmentation``, an RLE; all in original image
        pixels. Missing keypoints are (0, 0, 0).
    """
    found = sample.pred_instances
    scores = found.keypoint_scores
    # models of `comparisons` give no boxes, some no scores of persons
    person_scores = found.get('bbox_scores', scores.mean(axis=1))
    boxes = found.get('bboxes', keypoint_extents(found.keypoints, scores))
    corners = np.asarray(boxes, float).reshape(-1, 2, 2)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], 1)
    points = np.concatenate([found.keypoints, scores[..., None]], axis=2)
    image: Dict[str, Union[int, str]] = dict(
        image_id=int(name) if name.isdecimal() else name)
    if path is not None:
        image['file_name'] = Path(path).name
    results = [
        dict(
            image,
            category_id=PERSON_ID,
            keypoints=points[p].ravel().tolist(),
            keypoint_scores=scores[p].tolist(),
            score=float(person_scores[p]),
            bbox=boxes[p].tolist()) for p in range(len(points))
    ]
    for result, mask in zip(results, found.get('masks', ())):
        result['segmentation'] = mask
    return results

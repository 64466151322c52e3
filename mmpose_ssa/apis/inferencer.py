"""From images to persons: the inferencer that users call.

It stands beside MMPose's ``Pose2DInferencer``, not on it: that one drops the
masks, loads weights that do not fit without an error, and returns boxes and
keypoints in a form of its own. Persons are COCO results here, which can be
saved and scored as they are.
"""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple, Union

import cv2
import mmcv
import numpy as np
import pycocotools.mask as coco_mask
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from ..datasets.loading import LoadCheckedImage
from ..decoding.coordinates import input_from_image
from ..decoding.masks import maps_on_image
from ..engine.loading import check_device, load_estimator, read_config
from .inputs import Image, Video, find_images, is_video, unique_names
from .results import ResultsFile, coco_results
from .visualizer import (Skeleton, draw_attention, draw_persons,
                         sample_keypoints, side_by_side)

# Bundled models: config and weights
MODELS = dict(
    demo=('configs/demo/ssa_demo.py', 'weights/ssa_demo.pth'),
    photos=('configs/photos/ssa_photos.py', 'weights/ssa_photos.pth'))


def bundled(model: str = 'demo') -> Tuple[str, str]:
    """Return config and checkpoint of a model that comes with the package.

    They are looked for in the package's ``.mim`` (a wheel) and in the folder
    around the package (a checkout).

    Args:
        model: ``'demo'``, which knows synthetic people only, or ``'photos'``,
            which needs timm.

    Raises:
        FileNotFoundError: If neither has them.
        ValueError: If there is no such model.
    """
    if model not in MODELS:
        raise ValueError(f'there is no bundled model {model!r}: give one of '
                         f'{", ".join(MODELS)}')
    package = Path(__file__).parents[1]
    for folder in (package / '.mim', package.parent):
        config, weights = (folder / name for name in MODELS[model])
        if config.is_file() and weights.is_file():
            return str(config), str(weights)
    raise FileNotFoundError(
        f'no bundled model in or beside {package}: give config and checkpoint')


class SSAInferencer:
    """Find the people in images: keypoints, scores, boxes and masks.

    ::

        from mmpose_ssa import SSAInferencer
        for result in SSAInferencer()('photos/', out_dir='predictions'):
            print(result['path'], len(result['predictions']))

    Args:
        config: Config of an SSA model, or its file, or, without
            ``checkpoint``, the name of a bundled model, see :func:`bundled`.
            None: the bundled model of the demo.
        checkpoint: File or address of its weights.
        device: As PyTorch names it. None: a GPU where there is one.
        cfg_options: Other values in the config, by their dotted names.

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
                 device: Optional[str] = None,
                 cfg_options: Optional[dict] = None) -> None:
        if checkpoint is None and config in (None, *MODELS):
            config, checkpoint = bundled(config or 'demo')
        if config is None or checkpoint is None:
            raise ValueError(
                f'got config {config} and checkpoint {checkpoint}: give both, '
                'or neither for the bundled model')
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        check_device(device)
        cfg = read_config(config)
        if cfg.get('data_mode') == 'topdown':
            raise ValueError(
                f'{cfg.filename} is the config of a top-down model, which '
                'needs boxes: give that of an SSA model')
        cfg.merge_from_dict({'model.test_cfg.output_attention': True,
                             **(cfg_options or {})})
        self.model = load_estimator(cfg, str(checkpoint), device)
        self.skeleton = Skeleton.from_meta(self.model.dataset_meta)
        self._pipeline = Compose(cfg.test_dataloader.dataset.pipeline)

    def __call__(self,
                 inputs: Union[Image, Sequence[Image]],
                 *,
                 person_thr: float = 0.,
                 kpt_thr: float = 0.1,
                 return_vis: bool = False,
                 out_dir: Union[str, Path, None] = None,
                 pictures: bool = True,
                 attention: bool = False,
                 image_ids: Optional[Dict[str, int]] = None,
                 on_error: str = 'raise') -> Iterator[dict]:
        """Predict images, one at a time, as the results are asked for.

        What the arguments name is looked for in the call itself; images are
        read and written while the iterator is consumed.

        Args:
            inputs: An image or video file, a folder of these, a pattern such
                as ``'photos/*.jpg'``, a BGR array (H, W, 3), or a list.
            person_thr: Persons of a lower score are left out.
            kpt_thr: Keypoints of a lower score are not drawn.
            return_vis: Add the picture of the persons to the results.
            out_dir: Write ``predictions.json`` there, person by person, and
                for each image the picture ``NAME_persons.jpg``, for a video
                ``NAME_persons.mp4`` at its frame rate.
            pictures: Whether pictures and videos are written, too.
            attention: Write ``NAME_attention.jpg`` of images, too: the
                persons and the attention of four of their keypoints (Fig. 9).
            image_ids: COCO's image id by the name of a file. None: the number
                that a file's name is (000000000785.jpg is image 785), or else
                its name.
            on_error: ``'raise'``, or ``'skip'``: an image that cannot be read
                gives a result with its ``error``, and the next one follows.

        Returns:
            An iterator of a dict for each image or frame:

            - ``path``: its file, None of an array;
            - ``predictions``: its persons, see :func:`coco_results`;
            - ``frame``: its number from 0, of a video;
            - ``visualization``: if asked for, its picture, BGR (H, W, 3);
            - ``error``: what is wrong with the file, if it is skipped.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If an input is neither a path nor an image.
            ValueError: If there are no images, one cannot be read, or is not
                in ``image_ids``; or if ``on_error`` is neither of the two.
        """
        if on_error not in ('raise', 'skip'):
            raise ValueError(
                f"on_error must be 'raise' or 'skip', got {on_error!r}")
        images = unique_names(find_images(inputs))
        writer = _Writer(self, out_dir, pictures, attention, kpt_thr)
        return self._predict(images, writer, person_thr, return_vis,
                             image_ids, on_error)

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

    def _predict(self, images: Sequence[tuple], writer: '_Writer',
                 person_thr: float, return_vis: bool,
                 image_ids: Optional[Dict[str, int]],
                 on_error: str) -> Iterator[dict]:
        with writer:
            for name, given in images:
                path = given if isinstance(given, str) else None
                try:
                    identity = _image_id(name, path, image_ids)
                    for frame, image in _frames(given):
                        sample = self.infer(image)
                        sample.pred_instances = _above(sample.pred_instances,
                                                       person_thr)
                        which = identity if frame is None else \
                            f'{identity}:{frame}'
                        result: Dict[str, Any] = dict(
                            path=path,
                            predictions=coco_results(sample, which, path))
                        if frame is not None:
                            result['frame'] = frame
                        drawn = writer.write(name, given, image, sample,
                                             result['predictions'])
                        if return_vis:
                            result['visualization'] = self.draw_persons(
                                image, sample, writer.kpt_thr) \
                                if drawn is None else drawn
                        yield result
                except ValueError as error:
                    if on_error == 'raise':
                        raise
                    yield dict(path=path, predictions=[], error=str(error))
                writer.end_video()

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


def _above(found: InstanceData, person_thr: float) -> InstanceData:
    """The persons whose score is not lower."""
    if person_thr <= 0:
        return found
    # models of `comparisons` may give no scores of persons
    scores = found.get('bbox_scores', found.keypoint_scores.mean(axis=1))
    return found[np.asarray(scores) >= person_thr]


def _image_id(name: str, path: Optional[str],
              image_ids: Optional[Dict[str, int]]) -> Union[int, str]:
    if image_ids is None or path is None:
        return int(name) if name.isdecimal() else name
    file = Path(path).name
    if file not in image_ids:
        raise ValueError(f'{path} is not an image of the annotation file')
    return image_ids[file]


def _frames(given: Union[str, np.ndarray]
            ) -> Iterator[Tuple[Optional[int], np.ndarray]]:
    """Number of the frame, None of an image, and BGR pixels (H, W, 3)."""
    if isinstance(given, np.ndarray):
        yield None, given
    elif is_video(given):
        yield from enumerate(Video(given))
    else:
        yield None, LoadCheckedImage()(dict(img_path=given))['img']


class _Writer:
    """Writes results and pictures into a folder, if there is one."""

    def __init__(self, inferencer: SSAInferencer,
                 out_dir: Union[str, Path, None], pictures: bool,
                 attention: bool, kpt_thr: float) -> None:
        self.inferencer, self.kpt_thr = inferencer, kpt_thr
        self.folder = None if out_dir is None else Path(out_dir)
        self.pictures, self.attention = pictures, attention
        self.video: Optional[cv2.VideoWriter] = None

    def __enter__(self) -> '_Writer':
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

    def write(self, name: str, given: Union[str, np.ndarray],
              image: np.ndarray, sample: PoseDataSample,
              results: Sequence[dict]) -> Optional[np.ndarray]:
        """Returns the picture, if one was drawn."""
        if not self.folder:
            return None
        self.file.write(list(results))
        if not (self.pictures or self.attention):
            return None
        drawn = self.inferencer.draw_persons(image, sample, self.kpt_thr)
        stem = str(self.folder / name)
        if isinstance(given, str) and is_video(given):
            if self.video is None:
                self.video = cv2.VideoWriter(
                    f'{stem}_persons.mp4', cv2.VideoWriter_fourcc(*'mp4v'),
                    Video(given).rate, image.shape[1::-1])
            self.video.write(drawn)
            return drawn
        if self.pictures:
            mmcv.imwrite(drawn, f'{stem}_persons.jpg')
        if self.attention:
            mmcv.imwrite(self.inferencer.draw_attention(image, sample, drawn),
                         f'{stem}_attention.jpg')
        return drawn

"""From images to persons: the inferencer that users call.

It extends MMPose's ``Pose2DInferencer``, with two differences: the results are
COCO results with masks, which can be saved and scored as they are; and weights
that do not fit the model raise an error.
"""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

from itertools import islice
from pathlib import Path
from typing import (Any, Callable, Dict, Iterator, List, Optional, Sequence,
                    Tuple, Union)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from mmpose.apis import Pose2DInferencer
from mmpose.structures import PoseDataSample

from ..decoding.coordinates import input_from_image
from ..decoding.masks import maps_on_image
from ..engine.loading import check_device, load_estimator, read_config
from ..tracking import TrackOptions
from .inputs import Image, find_images, unique_names
from .local_visualizer import DRAW_THR, draw_instances
from .reading import ReadImage, read_images
from .results import category_of, coco_results
from .tiles import infer_tiles
from .tracks import VideoTracks
from .visualizer import (Skeleton, draw_attention, sample_keypoints,
                         side_by_side)
from .writing import PredictionWriter, check_targets

# Bundled models: config and weights
MODELS = dict(
    demo=('configs/demo/ssa_demo_plus.py', 'weights/ssa_demo.pth'),
    photos=('configs/photos/ssa_photos.py', 'weights/ssa_photos.pth'))
DEFAULT = 'photos'


def bundled(model: str = DEFAULT) -> Tuple[str, str]:
    """Return config and checkpoint of a model that comes with the package.

    The files are searched for in the package's ``.mim`` (a wheel) and in the
    folder that contains the package (a checkout).

    Args:
        model: ``'photos'``, which finds people in photos, or ``'demo'``,
            which finds synthetic people only.

    Raises:
        FileNotFoundError: If they are in neither place.
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


class SSAInferencer(Pose2DInferencer):
    """Find the people in images: keypoints, scores, boxes and masks.

    ::

        from mmpose_ssa import SSAInferencer
        for result in SSAInferencer()('photos/', out_dir='predictions'):
            print(result['path'], len(result['predictions']))

    Args:
        config: Config of an SSA model or its file; or, without
            ``checkpoint``, the name of a bundled model, see :func:`bundled`.
            None: the bundled model for photos.
        checkpoint: File or URL of its weights.
        device: As PyTorch names it. None: a GPU if there is one.
        cfg_options: Values to change in the config, by their dotted names.

    Attributes:
        model: The estimator, in evaluation mode.
        skeleton: Names, links and colors of its keypoints.
        draw_hidden: Whether keypoints hidden by other persons are drawn as
            crosses: the config's ``visualizer.draw_hidden``.
        track_options: How persons are tracked: the config's ``tracking``.
        category_id: COCO's category id of the persons in the results.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ImportError: If the model needs timm and it is not installed.
        ValueError: If only one of them is given, the model is top-down, the
            weights do not fit the model, or the device cannot be used.
    """

    def __init__(self,
                 config: Union[str, Path, Config, None] = None,
                 checkpoint: Union[str, Path, None] = None,
                 device: Optional[str] = None,
                 cfg_options: Optional[dict] = None) -> None:
        if checkpoint is None and config in (None, *MODELS):
            config, checkpoint = bundled(config or DEFAULT)
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
                'needs boxes: give the config of an SSA model')
        cfg.merge_from_dict({'model.test_cfg.output_attention': True,
                             **(cfg_options or {})})
        super().__init__(cfg, str(checkpoint), device)
        self.skeleton = Skeleton.from_meta(self.model.dataset_meta)
        self.draw_hidden = cfg.get('visualizer', {}).get('draw_hidden', False)
        self.track_options = TrackOptions(**cfg.get('tracking', {}))
        self.category_id = category_of(
            self.model.dataset_meta, cfg.test_dataloader.dataset.get('person'))

    def _init_model(self, cfg: Config, weights: str,
                    device: str = 'cpu') -> torch.nn.Module:
        """The model with exactly the weights given."""
        return load_estimator(cfg, weights, device)

    def _init_collate(self, cfg: Config) -> Callable:
        """Images stay apart: they may be of different sizes."""
        return pseudo_collate

    def __call__(self,
                 inputs: Union[Image, Sequence[Image]],
                 *,
                 batch_size: int = 1,
                 tiles: Optional[int] = None,
                 person_thr: float = 0.,
                 kpt_thr: float = 0.1,
                 draw_thr: float = DRAW_THR,
                 return_vis: bool = False,
                 return_datasamples: bool = False,
                 out_dir: Union[str, Path, None] = None,
                 pictures: bool = True,
                 attention: bool = False,
                 track: Union[bool, TrackOptions] = False,
                 image_ids: Optional[Dict[str, int]] = None,
                 on_error: str = 'raise') -> Iterator[dict]:
        """Predict images lazily, while the results are consumed.

        The call itself only checks the arguments and finds the files; images
        are read and results written while the iterator is consumed.

        Args:
            inputs: An image or video file or its URL, a folder of these, a
                pattern such as ``'photos/*.jpg'``, ``'webcam'`` or
                ``'webcam:1'``, a BGR array (H, W, 3), or a list.
            batch_size: Number of images that go through the model together.
                Images of equal size are fastest; the results are the same.
            tiles: In larger images, also find people in overlapping tiles of
                this side length; for crowds and panoramas, see
                :func:`~mmpose_ssa.apis.tiles.infer_tiles`.
            person_thr: Persons of a lower score are left out.
            kpt_thr: Keypoints of a lower score are not drawn.
            draw_thr: Persons of a lower score are not drawn.
            return_vis: Add the picture of the persons to the results.
            return_datasamples: Add MMPose's sample to the results.
            out_dir: Write ``predictions.json`` there, person by person, and
                for each image the picture ``NAME_persons.jpg``, for a video
                ``NAME_persons.mp4`` at its frame rate.
            pictures: Whether pictures and videos are also written.
            attention: Also write ``NAME_attention.jpg`` for images: the
                persons and the attention of four of their keypoints (Fig. 9).
            track: Whether the persons of a video keep their ids from frame to
                frame, or the options for it. Ids start again at 1 in each
                video and image.
            image_ids: COCO's image id by file name, or by as much of the
                path as ``file_name`` of an annotation file gives. None: the
                number, if the file's name is one (000000000785.jpg is image
                785) and no other file has the same; otherwise its name.
            on_error: ``'raise'``, or ``'skip'``: an image that cannot be read
                gives a result with its ``error``, and prediction continues.

        Returns:
            An iterator of a dict for each image or frame:

            - ``path``: its file, None for an array;
            - ``predictions``: its persons, see :func:`coco_results`;
            - ``frame``: for a video, the number of the frame, from 0;
            - ``visualization``: if requested, its picture, BGR (H, W, 3);
            - ``sample``: if requested, see :meth:`infer`;
            - ``error``: what is wrong with the file, if it is skipped.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If an input is neither a path nor an image.
            ValueError: If there are no images; if an image cannot be read, is
                not in ``image_ids``, or would be overwritten; if ``on_error``
                is neither of the two, or ``batch_size`` is less than 1.
        """
        if on_error not in ('raise', 'skip'):
            raise ValueError(
                f"on_error must be 'raise' or 'skip', got {on_error!r}")
        if batch_size < 1:
            raise ValueError(
                f'batch_size must be 1 or more, got {batch_size}')
        images = unique_names(find_images(inputs))
        if out_dir is not None:
            check_targets(out_dir, images)
        writer = PredictionWriter(self, out_dir, pictures, attention, kpt_thr,
                                  draw_thr)
        return self._predict(
            read_images(images, image_ids), writer, batch_size, tiles,
            person_thr, return_vis, return_datasamples, on_error,
            VideoTracks(self.model.dataset_meta['sigmas'],
                        self.track_options if track is True else track)
            if track else None)

    def infer(self, image: np.ndarray) -> PoseDataSample:
        """Run the model on one BGR image (H, W, 3).

        Returns:
            The sample with ``pred_instances``: ``keypoints`` (P, K, 2) in
            image pixels, ``keypoint_scores`` (P, K), ``bbox_scores`` (P,),
            ``bboxes``, and, if the model is an SSA, ``masks`` (P RLE dicts)
            and ``keypoint_attention`` (P, K, h, w).
        """
        sample, = self.infer_batch([image])
        return sample

    def infer_batch(self,
                    images: Sequence[np.ndarray]) -> List[PoseDataSample]:
        """Run the model on BGR images of any sizes; see :meth:`infer`."""
        if not images:
            return []
        data = [self.pipeline(dict(img=image, **self.model.dataset_meta))
                for image in images]
        with torch.no_grad():
            return self.model.test_step(self.collate_fn(data))

    def _infer(self, images: Sequence[np.ndarray],
               tiles: Optional[int]) -> List[PoseDataSample]:
        if tiles is None:
            return self.infer_batch(images)
        return [infer_tiles(self, image, tiles) for image in images]

    def _predict(self, read: Iterator[ReadImage], writer: PredictionWriter,
                 batch_size: int, tiles: Optional[int], person_thr: float,
                 return_vis: bool, return_datasamples: bool, on_error: str,
                 tracks: Optional[VideoTracks]) -> Iterator[dict]:
        with writer:
            while batch := list(islice(read, batch_size)):
                samples = iter(self._infer([
                    item.image for item in batch
                    if item.image is not None], tiles))
                for item in batch:
                    result: Dict[str, Any] = dict(path=item.path,
                                                  predictions=[])
                    if item.error is not None:
                        if on_error == 'raise':
                            raise item.error
                        yield dict(result, error=str(item.error))
                        continue
                    sample = next(samples)
                    sample.pred_instances = _above(sample.pred_instances,
                                                   person_thr)
                    if tracks is not None:
                        tracks.follow(sample, item.frame)
                    result['predictions'] = coco_results(
                        sample, item.image_id, item.path, self.category_id)
                    if item.frame is not None:
                        result['frame'] = item.frame
                    drawn = writer.write(item, sample, result['predictions'])
                    if return_vis:
                        result['visualization'] = self.draw_persons(
                            item.image, sample, *writer.thresholds) \
                            if drawn is None else drawn
                    if return_datasamples:
                        result['sample'] = sample
                    yield result

    def draw_persons(self, image: np.ndarray, sample: PoseDataSample,
                     kpt_thr: float = 0.1, draw_thr: float = 0.) -> np.ndarray:
        """Draw masks and skeletons, see :func:`draw_instances`.

        Args:
            image: (H, W, 3) BGR.
            sample: What :meth:`infer` returns.
            kpt_thr: Keypoints of a lower score are not drawn.
            draw_thr: Persons of a lower score are not drawn.

        Returns:
            (H, W, 3) BGR.
        """
        return draw_instances(image, sample.pred_instances, self.skeleton,
                              kpt_thr, draw_thr, self.draw_hidden)

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
    kept = np.asarray(scores) >= person_thr
    some = found[kept]
    if 'keypoints_hidden_by' in found:
        # Renumber the persons; those left out hide nobody
        places = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
        some.keypoints_hidden_by = places[some.keypoints_hidden_by]
    return some

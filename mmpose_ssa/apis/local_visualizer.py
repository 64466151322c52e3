"""MMPose's visualizer with the masks: in training, testing and prediction."""
import cv2
import numpy as np
import pycocotools.mask as coco_mask
from mmengine.structures import InstanceData
from mmpose.registry import VISUALIZERS
from mmpose.visualization import PoseLocalVisualizer

from .visualizer import Marks, Skeleton, colors_of, draw_persons

# Weak models find many persons of low scores, which would cover the others
DRAW_THR = 0.1


def draw_instances(image: np.ndarray,
                   instances: InstanceData,
                   skeleton: Skeleton,
                   kpt_thr: float = 0.,
                   draw_thr: float = 0.,
                   draw_hidden: bool = False) -> np.ndarray:
    """Draw predicted or annotated persons: masks, skeletons, ids and scores.

    Args:
        image: (H, W, 3) BGR.
        instances: ``keypoints`` (P, K, 2), and what there is of
            ``keypoint_scores`` or ``keypoints_visible`` (P, K), ``masks`` (P
            RLE dicts), ``bbox_scores`` and ``track_ids`` (P,),
            ``keypoints_filled`` and ``keypoints_hidden_by`` (P, K).
        skeleton: How the keypoints are drawn.
        kpt_thr: Keypoints of a lower score are not drawn.
        draw_thr: Persons of a lower score are not drawn.
        draw_hidden: Draw keypoints hidden by other persons as crosses.

    Returns:
        (H, W, 3) BGR.
    """
    instances = _good(instances, draw_thr)
    keypoints = np.asarray(instances.keypoints)
    scores = instances.get('keypoint_scores',
                           instances.get('keypoints_visible'))
    if scores is None:
        scores = np.ones(keypoints.shape[:2])
    if np.ndim(scores) == 3:  # visibilities and weights
        scores = scores[..., 0]
    hidden = instances.get('keypoints_hidden_by') if draw_hidden else None
    ids = instances.get('track_ids')
    marks = Marks(
        instances.get('keypoints_filled'),
        None if hidden is None else np.asarray(hidden) >= 0,
        ids, _labels(ids, instances.get('bbox_scores')))
    masks = [coco_mask.decode(rle) for rle in instances.get('masks', ())]
    return draw_persons(image, keypoints, np.asarray(scores), masks, skeleton,
                        kpt_thr, marks)


def _good(instances: InstanceData, draw_thr: float) -> InstanceData:
    """The persons whose score, if they have one, is not lower."""
    if 'bbox_scores' not in instances:
        return instances
    return instances[np.asarray(instances.bbox_scores) >= draw_thr]


def _labels(ids, scores) -> list:
    """An id, a score or both for each person; nothing without either."""
    texts = []
    if ids is not None:
        texts.append([f'#{i}' if i > 0 else '' for i in ids])
    if scores is not None:
        texts.append([f'{score:.2f}' for score in scores])
    return [' '.join(filter(None, words)) for words in zip(*texts)]


@VISUALIZERS.register_module()
class SSAVisualizer(PoseLocalVisualizer):
    """Draws persons with masks, a colour each; guessed keypoints as rings.

    Without the metainfo of a data set, and in OpenPose's style, it draws as
    the base class.

    Args:
        name: Of the visualizer.
        draw_thr: Persons of a lower score are not drawn.
        draw_hidden: Draw keypoints that are hidden by other persons as
            crosses. Off by default: the bundled weights tell it wrongly.
        **kwargs: Those of :class:`PoseLocalVisualizer`. ``radius`` and
            ``line_width`` are not used: lines suit the size of the image.
    """

    def __init__(self,
                 name: str = 'visualizer',
                 draw_thr: float = DRAW_THR,
                 draw_hidden: bool = False,
                 **kwargs) -> None:
        super().__init__(name, **kwargs)
        self.draw_thr, self.draw_hidden = draw_thr, draw_hidden

    def _draw_instances_kpts(self,
                             image: np.ndarray,
                             instances: InstanceData,
                             kpt_thr: float = 0.3,
                             show_kpt_idx: bool = False,
                             skeleton_style: str = 'mmpose') -> np.ndarray:
        """Draw on an RGB image; see the base class."""
        if ('keypoint_id2name' not in self.dataset_meta
                or 'keypoints' not in instances or show_kpt_idx
                or skeleton_style != 'mmpose'):
            return super()._draw_instances_kpts(image, instances, kpt_thr,
                                                show_kpt_idx, skeleton_style)
        shown = instances
        if 'transformed_keypoints' in instances:
            shown = instances.clone()
            shown.keypoints = instances.transformed_keypoints
        return self._drawn(
            draw_instances(image[..., ::-1], shown,
                           Skeleton.from_meta(self.dataset_meta), kpt_thr,
                           self.draw_thr, self.draw_hidden))

    def _draw_instances_bbox(self, image: np.ndarray,
                             instances: InstanceData) -> np.ndarray:
        """Thin boxes on an RGB image, in the colours of the persons."""
        instances = _good(instances, self.draw_thr)
        boxes = np.reshape(instances.get('bboxes', ()), (-1, 4))
        drawn = np.ascontiguousarray(image[..., ::-1])
        colors = colors_of(instances.get('track_ids'), len(boxes))
        for (x0, y0, x1, y1), color in zip(
                np.round(boxes).astype(int).tolist(), colors.tolist()):
            cv2.rectangle(drawn, (x0, y0), (x1, y1), color, 1)
        return self._drawn(drawn)

    def _drawn(self, image_bgr: np.ndarray) -> np.ndarray:
        """Keep an image as the current one; RGB."""
        self.set_image(np.ascontiguousarray(image_bgr[..., ::-1]))
        return self.get_image()

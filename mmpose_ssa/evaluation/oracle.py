"""The ceiling: what the decoder makes of perfect outputs.

Heatmaps drawn from the annotations and an ideal attention go through the very
decoder and metrics of testing. What is missing to 1.0 is lost by the
representation (cells, tokens, windows, merging), not by the network.
"""
import copy
from dataclasses import replace
from typing import List, Tuple

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor

from ..decoding.coordinates import content_box, input_from_image
from ..decoding.masks import image_to_heatmap, rasterize
from ..models.codec import AttentionGrouping
from ..models.estimator import SSAPoseEstimator
from ..models.head import as_instances


class IdealAttention:
    """Attention that knows who owns each token.

    A token is owned by the person or persons with the largest mask share in
    it or, where no mask reaches, by those whose keypoint lies in it. Its row
    is the sum of its owners' mask coverage per token, at least 0.5 at their
    own keypoints' tokens, plus 1e-9, normalised.

    Args:
        coverage: (N, h, w) share of each token that each mask covers.
        tokens: (N, K) token of each keypoint.
        visible: (N, K), whether the keypoint is labelled and inside.
    """

    def __init__(self, coverage: np.ndarray, tokens: np.ndarray,
                 visible: np.ndarray) -> None:
        self.grid = coverage.shape[1:]
        coverage = coverage.reshape(len(coverage), np.prod(self.grid))
        keypoints = np.zeros(coverage.shape, bool)
        person = np.nonzero(visible)[0]
        keypoints[person, tokens[visible]] = True
        most = coverage.max(axis=0, initial=0)
        owners = np.where(most > 0, coverage == most, keypoints)
        targets = np.where(keypoints, np.maximum(coverage, 0.5), coverage)
        self.owners = torch.from_numpy(owners).double()
        self.targets = torch.from_numpy(targets).double()

    def rows(self, image: int, tokens: Tensor) -> Tensor:
        """See :class:`models.attention.Attention`; there is but one image."""
        rows = self.owners[:, tokens].T @ self.targets + 1e-9
        return rows / rows.sum(dim=1, keepdim=True)

    def zero(self) -> Tensor:
        return 0 * self.targets.sum()


@MODELS.register_module()
class CeilingEstimator(SSAPoseEstimator):
    """An estimator whose outputs are drawn from the annotations.

    Takes the config of any SSA model; only its codec matters.
    """

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list) -> List:
        """Persons from perfect outputs, see the base class.

        Args:
            inputs: (B, 3, H, W); only the size is used.
            data_samples: With ``raw_ann_info`` in the metainfo, the
                annotations in image space; None where there is nobody.
        """
        codec = self.head.decoder
        size = inputs.shape[:1:-1]
        preds = [
            as_instances(decode_ideal(codec, sample.metainfo, size), False)
            for sample in data_samples
        ]
        return self.add_pred_to_datasample(preds, None, data_samples)


def decode_ideal(codec: AttentionGrouping, metainfo: dict, input_size: tuple):
    """Decode the perfect outputs for one image.

    Args:
        codec: The codec; its thresholds but the score's are used.
        metainfo: Of the sample, with ``raw_ann_info``.
        input_size: (W, H) of the padded network input in pixels.

    Returns:
        DecodedPersons.
    """
    codec = copy.copy(codec)
    codec.input_size = tuple(input_size)
    codec.heatmap_size = tuple(s // codec.heatmap_stride for s in input_size)
    # 0.9 at sigma = 2; as far from the centre for other Gaussians
    codec.options = replace(
        codec.options, score_threshold=0.9**(4 / codec.sigma**2))
    annotations = labelled_persons(metainfo)
    scale, offset = input_from_image(metainfo)
    keypoints, labelled = annotated_keypoints(metainfo, codec.num_keypoints)
    coverage = token_coverage(annotations, metainfo, codec, scale, offset)
    visible = (labelled & (keypoints >= 0).all(-1)
               & (keypoints < input_size).all(-1))
    everyone = np.ones((len(keypoints), 1, 1), np.uint8)
    heatmaps = codec.encode(keypoints, visible, everyone)['heatmaps']
    attention = IdealAttention(
        coverage, codec.tokens(keypoints, coverage.shape[1:]), visible)
    return codec.decode(
        torch.from_numpy(heatmaps), attention,
        content_inp=content_box(metainfo))


def labelled_persons(metainfo: dict) -> List[dict]:
    """The annotations of N persons with a labelled keypoint, no crowds."""
    return [
        ann for ann in metainfo['raw_ann_info'] or []
        if not ann.get('iscrowd', 0) and any(ann['keypoints'][2::3])
    ]


def annotated_keypoints(metainfo: dict,
                        num_keypoints: int) -> Tuple[np.ndarray, np.ndarray]:
    """The keypoints of those persons in the frame of the network input.

    Args:
        metainfo: Of the sample, with ``raw_ann_info``.
        num_keypoints: K.

    Returns:
        (N, K, 2) float32 in ``_inp`` pixels, and (N, K) whether labelled.

    Raises:
        ValueError: If a person has another number of keypoints.
    """
    persons = labelled_persons(metainfo)
    for ann in persons:
        if len(ann['keypoints']) != 3 * num_keypoints:
            raise ValueError(
                f"annotation {ann['id']} has {len(ann['keypoints'])} numbers "
                f'as keypoints, not 3 for each of the {num_keypoints} of the '
                'codec: give the annotations that the config is made for')
    points = np.array([ann['keypoints'] for ann in persons],
                      np.float32).reshape(-1, num_keypoints, 3)
    scale, offset = input_from_image(metainfo)
    keypoints = (points[..., :2] * scale + offset).astype(np.float32)
    return keypoints, points[..., 2] > 0


def token_coverage(annotations: List[dict], metainfo: dict,
                   codec: AttentionGrouping, scale: np.ndarray,
                   offset: np.ndarray) -> np.ndarray:
    """(N, h, w) share of each token covered by each person's mask.

    Raises:
        ValueError: If a person has no mask, or a damaged one.
    """
    w, h = codec.input_size
    warp_mat = np.column_stack([np.diag(scale), offset])
    matrix = image_to_heatmap(warp_mat, (w, h), (w, h))
    r = codec.token_stride
    masks = np.array([
        _mask(ann, metainfo['ori_shape'], matrix, (w, h))
        for ann in annotations
    ], np.float64).reshape(-1, h // r, r, w // r, r)
    return masks.mean(axis=(2, 4))


def _mask(annotation: dict, *canvas) -> np.ndarray:
    """As :func:`rasterize`, with errors that name the annotation."""
    try:
        return rasterize(annotation.get('segmentation'), *canvas)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"annotation {annotation['id']}: {error}; the ideal attention is "
            'made of the masks of all labelled persons') from error

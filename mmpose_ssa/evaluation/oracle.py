"""Which half of a network loses what: own and perfect outputs, crossed.

Heatmaps and association (the attention, or tags) are each the model's own or
perfect, made from the annotations; all four pairs go through the decoder and
the metrics of testing. With both perfect, what is missing to 1.0 is lost by
the representation (cells, tokens, windows, merging), not by the network: the
upper bound.
"""
import copy
from dataclasses import replace
from typing import Any, Dict, Iterable, List, Protocol, Tuple

import numpy as np
import torch
import torch.nn as nn
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from torch import Tensor

from ..decoding.coordinates import content_box, input_from_image
from ..encoding.masks import image_to_heatmap, rasterize
from ..models.attention import Attention
from ..models.codec import AttentionGrouping
from ..models.head import as_instances

# Heatmaps (K, h, w) and what associates them, of one image
Outputs = Tuple[Tensor, Any]
# Whether heatmaps, and association, are perfect
Pair = Tuple[bool, bool]
PAIRS: Tuple[Pair, ...] = ((False, False), (False, True), (True, False),
                           (True, True))


class Oracle(Protocol):
    """What :func:`decompose` asks of a kind of model.

    Attributes:
        model: The estimator.
    """
    model: nn.Module

    def own(self, inputs: Tensor, samples: list) -> List[Outputs]:
        """The outputs for a batch (B, 3, H, W), one pair per image."""

    def perfect(self, metainfo: dict, input_size: tuple) -> Outputs:
        """The outputs that the annotations of an image ask for.

        Args:
            metainfo: Of the sample, with ``raw_ann_info``, the annotations in
                image space; None without persons.
            input_size: (W, H) of the padded network input in pixels.
        """

    def persons(self, heatmaps: Tensor, association: Any, metainfo: dict,
                perfect: bool) -> InstanceData:
        """Persons in ``_inp`` pixels; ``perfect`` says it of the heatmaps."""


@torch.no_grad()
def decompose(oracle: Oracle, batches: Iterable[dict],
              evaluators: Dict[Pair, Evaluator]) -> None:
    """Give each pair of outputs to its evaluator, with one forward per image.

    Args:
        oracle: Of the model, which is not asked where all is perfect.
        batches: Of the test pipeline.
        evaluators: By pairs of ``PAIRS``.
    """
    for batch in batches:
        samples, outputs = batch['data_samples'], {}
        if not all(map(all, evaluators)):
            batch = oracle.model.data_preprocessor(batch, False)
            outputs[False] = oracle.own(batch['inputs'], samples)
        outputs[True] = [
            oracle.perfect(sample.metainfo, image.shape[:0:-1])
            for sample, image in zip(samples, batch['inputs'])]
        for pair, evaluator in evaluators.items():
            persons = [
                oracle.persons(first[0], second[1], sample.metainfo, pair[0])
                for first, second, sample in zip(
                    outputs[pair[0]], outputs[pair[1]], samples)]
            evaluator.process(oracle.model.add_pred_to_datasample(
                persons, None, samples))


def forward(model: nn.Module, inputs: Tensor, samples: list) -> tuple:
    """A batch's outputs, as the head decodes them, with or without flip test.
    """
    feats = model.extract_feat(inputs)
    if model.test_cfg.get('flip_test', False):
        feats = [feats, model.extract_feat(inputs.flip(-1))]
    return model.head.outputs(feats, samples, model.test_cfg)


class AttentionOracle:
    """The :class:`Oracle` of SSA models.

    Args:
        model: An :class:`SSAPoseEstimator`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.codec: AttentionGrouping = model.head.decoder
        self.sharp = copy.copy(self.codec)
        # 0.9 at sigma = 2; as far from the centre for other Gaussians
        self.sharp.options = replace(
            self.codec.options,
            score_threshold=0.9**(4 / self.codec.sigma**2))

    def own(self, inputs: Tensor, samples: list) -> List[Outputs]:
        heatmaps, attention = forward(self.model, inputs, samples)
        return [(maps, (attention, i)) for i, maps in enumerate(heatmaps)]

    def perfect(self, metainfo: dict, input_size: tuple) -> Outputs:
        codec = copy.copy(self.codec)
        codec.input_size = tuple(input_size)
        codec.pair_targets = False  # of training, and would need boxes
        codec.heatmap_size = tuple(
            side // codec.heatmap_stride for side in input_size)
        keypoints, labelled = annotated_keypoints(metainfo,
                                                  codec.num_keypoints)
        visible = (labelled & (keypoints >= 0).all(-1)
                   & (keypoints < input_size).all(-1))
        everyone = np.ones((len(keypoints), 1, 1), np.uint8)
        heatmaps = codec.encode(keypoints, visible, everyone)['heatmaps']
        coverage = token_coverage(
            labelled_persons(metainfo), metainfo, codec,
            *input_from_image(metainfo))
        attention = PerfectAttention(
            coverage, codec.tokens(keypoints, coverage.shape[1:]), visible)
        return torch.from_numpy(heatmaps), (attention, 0)

    def persons(self, heatmaps: Tensor, association: Tuple[Attention, int],
                metainfo: dict, perfect: bool) -> InstanceData:
        codec = self.sharp if perfect else self.codec
        return as_instances(
            codec.decode(heatmaps.cpu(), *association, content_box(metainfo)),
            codec.options, output_attention=False)


class PerfectAttention:
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
            f"annotation {annotation['id']}: {error}; perfect attention needs "
            'the masks of all labelled persons') from error

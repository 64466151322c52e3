"""Deconvolutions, heatmaps, both losses, and persons from them.

Eqs. (1) and (4) of "Attend to Who You Are". Eq. (1) writes a norm without a
square; like HigherHRNet and DEKR, from which its mask M comes, this is the
masked squared error averaged over images, types and cells.
"""
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads import HeatmapHead
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from torch import Tensor

from ..decoding import DecodedPersons, DecodeOptions
from ..decoding.coordinates import content_box
from ..decoding.visibility import hidden_by
from .attention import Attention, MeanAttention
from .losses import count_persons

Features = Tuple[Attention, Tensor]


@MODELS.register_module()
class SSAHead(HeatmapHead):
    """Heatmap head whose second loss supervises the attention.

    Args:
        in_channels: d, channels of the encoded features.
        out_channels: K.
        deconv_out_channels: One entry per doubling, log2(r / 4) of them.
        deconv_kernel_sizes: As many.
        loss: The heatmap loss; its weight is alpha.
        mask_loss: The instance mask loss; its weight is beta. With weight 0
            nothing is trained by it.
        pair_loss: The loss of persons without a mask, by their keypoints;
            the codec must have ``pair_targets=True``. None leaves them out.
        decoder: The codec, :class:`AttentionGrouping`.
        activation: 'sigmoid' for a heatmap loss on probabilities, such as
            MMPose's ``FocalHeatmapLoss``; None for one on values.
        init_cfg: As in :class:`HeatmapHead`.
    """

    def __init__(self,
                 in_channels: int = 192,
                 out_channels: int = 17,
                 deconv_out_channels: Sequence[int] = (192, 192),
                 deconv_kernel_sizes: Sequence[int] = (4, 4),
                 loss: dict = dict(type='KeypointMSELoss'),
                 mask_loss: dict = dict(type='AttentionMaskLoss'),
                 pair_loss: Optional[dict] = None,
                 decoder: Optional[dict] = None,
                 activation: Optional[str] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            deconv_out_channels=deconv_out_channels,
            deconv_kernel_sizes=deconv_kernel_sizes,
            loss=loss,
            decoder=decoder,
            init_cfg=init_cfg)
        if activation not in (None, 'sigmoid'):
            raise ValueError(
                f"activation must be None or 'sigmoid', got {activation!r}")
        self.activation = activation
        self.mask_loss_module = MODELS.build(mask_loss)
        self.pair_loss_module: Any = (
            MODELS.build(pair_loss) if pair_loss else None)
        if decoder and self.decoder.num_keypoints != out_channels:
            raise ValueError(
                f'out_channels {out_channels} must be the number of keypoints '
                f'of the decoder, {self.decoder.num_keypoints}')

    def forward(self, feats: Sequence[Any]) -> Tensor:
        """Heatmaps (B, K, H/4, W/4) of the encoded features, the last."""
        heatmaps = super().forward(feats)
        if self.activation is None:
            return heatmaps
        # in float32, and inside (0, 1) as the logarithms of losses want it
        return heatmaps.float().sigmoid().clamp(1e-4, 1 - 1e-4)

    def loss(self,
             feats: Features,
             batch_data_samples: list,
             train_cfg: dict = {}) -> dict:
        """Both losses of Eq. (4), weighted.

        Args:
            feats: The attention and the encoded features (B, d, h, w).
            batch_data_samples: B samples with ``gt_fields`` and
                ``gt_instance_labels`` of the codec.
            train_cfg: Not used.

        Returns:
            Scalars: ``loss_kpt``; ``loss_mask`` unless its weight is 0;
            ``loss_pair`` if there is a ``pair_loss``; and, to be logged,
            ``mask_error``, that is ``loss_mask`` without its weight, if there
            is a person with a mask in the batch, on whichever GPU.
        """
        heatmaps = self.forward(feats)
        fields = [sample.gt_fields for sample in batch_data_samples]
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        target = torch.stack([field.heatmaps for field in fields])
        # (1, H/4, W/4), or (K, H/4, W/4) of data that lack types of keypoints
        valid = torch.stack(torch.broadcast_tensors(
            *[field.heatmap_mask for field in fields]))
        if heatmaps.shape != target.shape:
            raise ValueError(
                f'heatmaps {tuple(heatmaps.shape)} but targets '
                f'{tuple(target.shape)}: backbone stride and deconvolutions '
                "do not give the codec's heatmap_size")
        if self.decoder is not None:
            self.decoder.check_grid(feats[0].grid, target.shape[2:])
        losses = dict(
            loss_kpt=self.loss_module(heatmaps.float(), target, None, valid))
        masks = [field.instance_masks for field in fields]
        num_persons = count_persons(masks)
        error = self.mask_loss_module(
            feats[0],
            # of each image those with masks come first, see the codec
            *([label[name][:len(m)] for label, m in zip(labels, masks)]
              for name in ('keypoint_tokens', 'keypoint_weights')),
            masks, num_persons)
        if self.mask_loss_module.loss_weight:
            losses['loss_mask'] = self.mask_loss_module.weighted(error)
        # Equal on all GPUs. A 0 where nobody has a mask would be no error.
        if num_persons > 0:
            losses['mask_error'] = error.detach()
        if self.pair_loss_module:
            losses['loss_pair'] = self._pair_loss(feats[0], labels, masks)
        return losses

    def _pair_loss(self, attention: Attention, labels: List[InstanceData],
                   masks: List[Tensor]) -> Tensor:
        """The weighted loss of the persons without masks."""
        if any('pair_targets' not in label for label in labels):
            raise ValueError('pair_loss needs the targets of the codec: set '
                             'pair_targets=True in the encoder of the '
                             'training pipeline')
        names = 'keypoint_tokens', 'keypoint_weights', 'pair_targets'
        return self.pair_loss_module.weighted(
            self.pair_loss_module(
                attention,
                *([label[name][len(m):] for label, m in zip(labels, masks)]
                  for name in names)))

    def predict(self,
                feats: Sequence[Any],
                batch_data_samples: list,
                test_cfg: dict = {}):
        """Persons in the frame of the network input.

        Args:
            feats: As in :meth:`loss`; with ``flip_test`` a list of two, of
                the image and of its mirror image.
            batch_data_samples: B samples with the meta keys of
                ``BottomupResize`` and ``ori_shape``.
            test_cfg: ``flip_test``, ``shift_heatmap``, ``output_heatmaps``
                (the predictions then come with heatmaps, (K, H/4, W/4)) and
                ``output_attention`` (adds ``keypoint_attention``,
                (P, K, h, w), 0 where the keypoint is missing).

        Returns:
            list[InstanceData]: keypoints (P, K, 2) and bboxes (P, 4) xyxy in
            ``_inp`` pixels, keypoint_scores (P, K), keypoints_filled (P, K),
            keypoints_hidden_by (P, K), see :func:`hidden_by`, bbox_scores
            (P,), attention_maps (P, h, w) in token cells.
        """
        heatmaps, attention = self.outputs(feats, batch_data_samples, test_cfg)
        preds = []
        for image, sample in enumerate(batch_data_samples):
            persons = self.decoder.decode(heatmaps[image], attention, image,
                                          content_box(sample.metainfo))
            preds.append(
                as_instances(persons, self.decoder.options,
                             test_cfg.get('output_attention', False)))
        if test_cfg.get('output_heatmaps', False):
            return preds, [PixelData(heatmaps=hm) for hm in heatmaps.detach()]
        return preds

    def outputs(self,
                feats: Sequence[Any],
                batch_data_samples: list,
                test_cfg: dict = {}) -> Tuple[Tensor, Attention]:
        """What :meth:`predict`, whose arguments these are, decodes.

        Returns:
            Heatmaps (B, K, H/4, W/4) and the attention; with ``flip_test``
            the means over an image and its mirror image, un-flipped.
        """
        if not test_cfg.get('flip_test', False):
            return self.forward(feats), feats[0]
        plain, mirrored = feats
        flipped = flip_heatmaps(
            self.forward(mirrored),
            flip_indices=batch_data_samples[0].metainfo['flip_indices'],
            shift_heatmap=test_cfg.get('shift_heatmap', True))
        return ((self.forward(plain) + flipped) / 2,
                MeanAttention([plain[0], mirrored[0].flipped()]))


def as_instances(persons: DecodedPersons, options: DecodeOptions,
                 output_attention: bool) -> InstanceData:
    """Decoded persons in MMPose's terms; boxes are the keypoints' extent."""
    found = (persons.candidates >= 0) | persons.filled
    inside = [persons.keypoints[p][found[p]] for p in range(len(found))]
    boxes = [[*points.min(axis=0), *points.max(axis=0)] for points in inside]
    instances = InstanceData(
        keypoints=persons.keypoints,
        keypoint_scores=persons.keypoint_scores,
        keypoints_filled=persons.filled,
        keypoints_hidden_by=hidden_by(
            persons.keypoints, found, persons.maps, options.token_stride,
            options.mask_threshold),
        bbox_scores=persons.scores,
        bboxes=np.reshape(np.array(boxes, np.float64), (-1, 4)),
        attention_maps=persons.maps)
    if output_attention:
        nothing = np.zeros((1, *persons.rows.shape[1:]), np.float32)
        rows = np.concatenate([persons.rows, nothing])
        instances.keypoint_attention = rows[persons.candidates]
    return instances

"""Heatmaps at one or more resolutions, tags, their losses, and persons.

HigherHRNet (Cheng et al., 2020): a transposed convolution and residual blocks
double the resolution of the features and the outputs so far. Each resolution
is supervised; testing averages their heatmaps. Without such a module it is the
associative embedding that HRNet came with.
"""
from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmengine.structures import PixelData
from mmpose.models.backbones.resnet import BasicBlock
from mmpose.models.heads import AssociativeEmbeddingHead
from mmpose.models.utils.tta import aggregate_heatmaps, flip_heatmaps
from mmpose.registry import MODELS
from torch import Tensor

from .losses import TagLoss

Features = Sequence[Tensor]
# heatmaps (B, K, h, w), the coarsest first; tags (B, K, h, w), the coarsest
Outputs = Tuple[List[Tensor], Tensor]


@MODELS.register_module()
class HigherResolutionHead(AssociativeEmbeddingHead):
    """Heatmaps and tags; one tag per keypoint type.

    MMPose's head of associative embedding fails without flip test, and its
    loss fails always; both are replaced here.

    Args:
        in_channels: C of the features.
        num_keypoints: K.
        deconv_out_channels: One entry per doubling of the resolution, none
            for plain associative embedding.
        deconv_kernel_sizes: As many.
        num_blocks: Residual blocks after each transposed convolution.
        keypoint_loss: The heatmap loss.
        tag_loss: :class:`TagLoss`.
        decoder: The codec, :class:`TagGrouping`.
        init_cfg: As in :class:`HeatmapHead`.

    Raises:
        ValueError: If the lists of the deconvolutions differ in length, the
            tag loss is another, or the decoder has other resolutions or
            keypoints.
    """

    def __init__(self,
                 in_channels: int = 32,
                 num_keypoints: int = 17,
                 deconv_out_channels: Sequence[int] = (32, ),
                 deconv_kernel_sizes: Sequence[int] = (4, ),
                 num_blocks: int = 4,
                 keypoint_loss: dict = dict(type='KeypointMSELoss'),
                 tag_loss: dict = dict(type='TagLoss'),
                 decoder: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(
            in_channels,
            num_keypoints,
            deconv_out_channels=None,
            final_layer=None,
            keypoint_loss=keypoint_loss,
            tag_loss=tag_loss,
            decoder=decoder,
            init_cfg=init_cfg)
        _check_options(deconv_out_channels, deconv_kernel_sizes,
                       self.loss_module.tag_loss)
        outputs = 2 * num_keypoints  # heatmaps and tags
        self.final_layers = nn.ModuleList(
            [nn.Conv2d(in_channels, outputs, 1)])
        self.deconv_layers = nn.ModuleList()
        for channels, kernel in zip(deconv_out_channels, deconv_kernel_sizes):
            deconv = self._make_deconv_layers(in_channels + outputs,
                                              (channels, ), (kernel, ))
            blocks = (BasicBlock(channels, channels)
                      for _ in range(num_blocks))
            self.deconv_layers.append(nn.Sequential(deconv, *blocks))
            self.final_layers.append(nn.Conv2d(channels, num_keypoints, 1))
            in_channels, outputs = channels, num_keypoints
        self._check_decoder()

    def forward(self, feats: Features) -> Outputs:
        """All outputs.

        Args:
            feats: Feature maps; the last, (B, C, h, w), is used.

        Returns:
            R heatmaps, (B, K, h, w) first, each twice as fine as the one
            before, and the tags, (B, K, h, w).
        """
        x = feats[-1]
        outputs = [self.final_layers[0](x)]
        for deconv, final in zip(self.deconv_layers, self.final_layers[1:]):
            x = deconv(torch.cat([x, outputs[-1]], dim=1))
            outputs.append(final(x))
        k = self.num_keypoints
        return [output[:, :k] for output in outputs], outputs[0][:, k:]

    def loss(self,
             feats: Features,
             batch_data_samples: list,
             train_cfg: dict = {}) -> dict:
        """All losses, weighted.

        Args:
            feats: As in :meth:`forward`.
            batch_data_samples: B samples with ``gt_fields`` and
                ``gt_instance_labels`` of the codec.
            train_cfg: Not used.

        Returns:
            ``loss_kpt``, the sum over the resolutions, ``loss_pull`` and
            ``loss_push``, scalars.
        """
        heatmaps, tags = self.forward(feats)
        levels = [sample.gt_fields.levels() for sample in batch_data_samples]
        total = 0
        for maps, fields in zip(heatmaps, zip(*levels)):
            target = torch.stack([field.heatmaps for field in fields])
            valid = torch.stack([field.heatmap_mask for field in fields])
            _check_shapes(maps, target)
            total = total + self.loss_module.keypoint_loss(
                maps.float(), target, None, valid)
        pull, push = self.loss_module.tag_loss(tags.float(), [
            sample.gt_instance_labels.keypoint_indices
            for sample in batch_data_samples
        ])
        return dict(loss_kpt=total, loss_pull=pull, loss_push=push)

    def predict(self,
                feats: Union[Features, List[Features]],
                batch_data_samples: list,
                test_cfg: dict = {}):
        """Persons in the frame of the network input.

        Args:
            feats: As in :meth:`forward`; with ``flip_test`` a list of two, of
                the image and of its mirror image.
            batch_data_samples: B samples, of which ``flip_indices`` is used.
            test_cfg: ``flip_test`` and ``output_heatmaps`` (the predictions
                then come with heatmaps (K, H, W) and tags (L K, H, W)).

        Returns:
            list[InstanceData]: keypoints (P, K, 2) in ``_inp`` pixels,
            keypoint_scores (P, K), bbox_scores (P,).
        """
        heatmaps, tags = self.outputs(feats, batch_data_samples, test_cfg)
        preds = self.decode((heatmaps, tags))
        if test_cfg.get('output_heatmaps', False):
            return preds, [PixelData(heatmaps=hm, tags=tag)
                           for hm, tag in zip(heatmaps, tags)]
        return preds

    def outputs(self,
                feats: Union[Features, List[Features]],
                batch_data_samples: list,
                test_cfg: dict = {}) -> Tuple[Tensor, Tensor]:
        """What :meth:`predict`, whose arguments these are, decodes.

        Returns:
            Mean heatmaps (B, K, H, W) and all tags (B, L K, H, W), L being 2
            with ``flip_test`` and else 1.
        """
        if not test_cfg.get('flip_test', False):
            maps, tags = self.aggregate(*self.forward(feats))
            return self.full_size([maps], [tags])
        plain, mirrored = (self.aggregate(*self.forward(part))
                           for part in feats)
        flip_indices = batch_data_samples[0].metainfo['flip_indices']
        return self.full_size(
            *zip(plain, self._flipped(mirrored, flip_indices)))

    def aggregate(self, heatmaps: Sequence[Tensor],
                  tags: Tensor) -> Tuple[Tensor, Tensor]:
        """Outputs -> mean heatmaps and tags, at the finest resolution."""
        size = heatmaps[-1].shape[:1:-1]
        return (aggregate_heatmaps(list(heatmaps), size),
                aggregate_heatmaps([tags], size))

    def full_size(self, heatmaps: Sequence[Tensor],
                  tags: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """Mean of some heatmaps, and all tags, in float32, at input size.

        Args:
            heatmaps: L of (B, K, h, w), of the finest resolution.
            tags: L of (B, K, h, w).

        Returns:
            (B, K, H, W) and (B, L K, H, W).
        """
        stride = self.decoder.heatmap_stride
        size = [side * stride for side in heatmaps[0].shape[:1:-1]]
        return (aggregate_heatmaps([hm.detach().float() for hm in heatmaps],
                                   size),
                aggregate_heatmaps([tag.detach().float() for tag in tags],
                                   size, mode='concat'))

    def _flipped(self, outputs: Tuple[Tensor, Tensor],
                 flip_indices: List[int]) -> Tuple[Tensor, Tensor]:
        """A mirror image's heatmaps and tags, un-flipped.

        Not shifted: a cell's mirror image is a cell.
        """
        return tuple(
            flip_heatmaps(maps, flip_indices, shift_heatmap=False)
            for maps in outputs)

    def _check_decoder(self) -> None:
        """Raise ValueError unless head and codec agree."""
        if self.decoder is None:
            return
        own = dict(num_keypoints=self.num_keypoints,
                   num_resolutions=len(self.final_layers))
        for name, value in own.items():
            if getattr(self.decoder, name) != value:
                raise ValueError(
                    f'the head has {name} {value}, its decoder '
                    f'{getattr(self.decoder, name)}: one transposed '
                    'convolution for each resolution but the first, and one '
                    'number of keypoints')


def _check_options(channels: Sequence[int], kernels: Sequence[int],
                   tag_loss: nn.Module) -> None:
    """Raise ValueError for options that do not fit each other."""
    if len(channels) != len(kernels):
        raise ValueError(
            f'deconv_out_channels {tuple(channels)} and deconv_kernel_sizes '
            f'{tuple(kernels)} must be equally long')
    if not isinstance(tag_loss, TagLoss):
        raise ValueError(
            f'tag_loss must be a TagLoss, not {type(tag_loss).__name__}: '
            "the weights of MMPose's mean something else")


def _check_shapes(heatmaps: Tensor, target: Tensor) -> None:
    if heatmaps.shape != target.shape:
        raise ValueError(
            f'heatmaps {tuple(heatmaps.shape)} but targets '
            f'{tuple(target.shape)}: backbone stride and deconvolutions do '
            "not give the codec's heatmap_size")

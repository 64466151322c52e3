"""MMPose's head of DEKR, for channels-last memory and CPUs too."""
from typing import Tuple

from mmcv.ops import DeformConv2d
from mmengine.logging import print_log
from mmpose.models.heads import DEKRHead
from mmpose.registry import MODELS
from torch import Tensor, nn

from .deformable import deform_conv2d


class CPUDeformConv2d(DeformConv2d):
    """mmcv's layer, with one pass forward and one backward on a CPU.

    mmcv computes the gradients of input and weight by two operators, each of
    which samples the input again.
    """

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """As the base class; see :func:`deform_conv2d` for the shapes."""
        if x.device.type != 'cpu':
            return super().forward(x, offset)
        return deform_conv2d(x, offset, self.weight, None, self.stride,
                             self.padding, self.dilation)


@MODELS.register_module()
class ContiguousDEKRHead(DEKRHead):
    """DEKR's head whose outputs MMPose can flip and decode.

    MMPose takes views of them, which channels-last memory does not allow. The
    deformable convolutions train twice as fast on a CPU. Weights that include
    the network that rescores persons can be loaded without it
    (``rescore_cfg=None``).
    """

    def _make_displacement_conv_layers(self, *args, **kwargs) -> nn.Module:
        """As the base class, with the layers above."""
        layers = super()._make_displacement_conv_layers(*args, **kwargs)
        for module in layers.modules():
            if isinstance(module, DeformConv2d):
                # keeps the initial weights and their names
                module.__class__ = CPUDeformConv2d
        return layers

    def forward(self, feats: Tuple[Tensor, ...]) -> Tuple[Tensor, Tensor]:
        """Heatmaps and displacements, see the base class.

        Args:
            feats: Feature maps; the last, (B, C, h, w), is used.

        Returns:
            (B, K + 1, h, w), the roots last, and (B, 2 K, h, w) in cells.
        """
        heatmaps, displacements = super().forward(feats)
        return heatmaps.contiguous(), displacements.contiguous()

    def _load_state_dict_pre_hook(self, state_dict: dict, prefix: str,
                                  *args) -> None:
        """As the base class, which names what MMPose 0.x named otherwise."""
        unused = [name for name in state_dict
                  if name.startswith(f'{prefix}rescore_net.')]
        if self.rescore_net is None and unused:
            print_log('the weights come with a network that rescores persons, '
                      'which this config does not use', logger='current')
            for name in unused:
                del state_dict[name]
        super()._load_state_dict_pre_hook(state_dict, prefix, *args)

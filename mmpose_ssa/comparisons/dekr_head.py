"""MMPose's head of DEKR, for channels-last memory too."""
from typing import Tuple

from mmpose.models.heads import DEKRHead
from mmpose.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class ContiguousDEKRHead(DEKRHead):
    """DEKR's head whose outputs MMPose can flip and decode.

    It takes views of them, which channels-last memory does not allow.
    """

    def forward(self, feats: Tuple[Tensor, ...]) -> Tuple[Tensor, Tensor]:
        """Heatmaps and displacements, see the base class.

        Args:
            feats: Feature maps; the last, (B, C, h, w), is used.

        Returns:
            (B, K + 1, h, w), the roots last, and (B, 2 K, h, w) in cells.
        """
        heatmaps, displacements = super().forward(feats)
        return heatmaps.contiguous(), displacements.contiguous()

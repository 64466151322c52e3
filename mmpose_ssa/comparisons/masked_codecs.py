"""MMPose's codecs of DEKR and CID, with the mask of the crowds.

The heads mask their heatmap losses by ``heatmap_mask`` if the samples have it.
MMPose's codecs do not hand it on, so that persons in a crowd count as
background.

CID's targets deviate from MMPose's in two ways, as CID's code has them:

- They lie in the cell that contains the keypoint, and its centre is decoded.
  MMPose decodes the centre, too, but rounds to the nearest cell.
- The radius of a Gaussian is a whole number of cells. With another radius
  MMPose places it beside its cell, so that half of the persons are a cell off.
"""
from typing import Optional

import numpy as np
from mmpose.codecs import SPR, DecoupledHeatmap
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module()
class MaskedSPR(SPR):
    """DEKR's codec, see the base class; samples get ``heatmap_mask``."""

    field_mapping_table = dict(
        SPR.field_mapping_table, heatmap_mask='heatmap_mask')


@KEYPOINT_CODECS.register_module()
class MaskedDecoupledHeatmap(DecoupledHeatmap):
    """CID's codec, see the base class; samples get ``heatmap_mask``."""

    field_mapping_table = dict(
        DecoupledHeatmap.field_mapping_table, heatmap_mask='heatmap_mask')

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: Optional[np.ndarray] = None,
               bbox: Optional[np.ndarray] = None) -> dict:
        """Targets of one image with N persons, see the base class.

        Args:
            keypoints: (N, K, 2) in ``_inp`` pixels.
            keypoints_visible: (N, K), positive where labelled.
            bbox: (N, 4, 2) corners in ``_inp`` pixels.

        Returns:
            The base class's targets, of which rounding down makes those of
            the containing cell.
        """
        return super().encode(keypoints - self.scale_factor / 2,
                              keypoints_visible, bbox)

    def _get_instance_wise_sigmas(self, bbox: np.ndarray) -> np.ndarray:
        """(N, 4, 2) corners in cells -> (N,) a third of the radius."""
        radius = 3 * super()._get_instance_wise_sigmas(bbox)
        # float64, whose thirds make whole numbers again
        return radius.astype(np.float64).round().clip(1) / 3

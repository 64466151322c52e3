"""Target heatmaps: a Gaussian at each labelled keypoint (Eq. 1).

Those of MMPose's ``generate_gaussian_heatmaps``, to the bit where 3 sigma is a
whole number, several times faster: it computes the same Gaussian for each
keypoint and cuts it at the edges; here it is computed once and drawn with a
margin around the map. Where 3 sigma is not whole, MMPose's are lopsided, and
one cell off where they touch the left or the upper edge; these are not.

Pure: numpy only.
"""
import math
from typing import Tuple

import numpy as np


def gaussian_heatmaps(size: Tuple[int, int], points_hm: np.ndarray,
                      visible: np.ndarray, sigma: float) -> np.ndarray:
    """Draw the keypoints of N persons; where they overlap, the larger value.

    Args:
        size: Heatmap (W/4, H/4) in cells.
        points_hm: (N, K, 2) in heatmap cells, drawn at the cell they round
            to, inside the map or not.
        visible: (N, K), at least 0.5 where the keypoint is drawn.
        sigma: Of the Gaussians, in cells; they end at 3 sigma.

    Returns:
        (K, H/4, W/4) float32.
    """
    w, h = size
    radius = math.ceil(3 * sigma)
    side = 2 * radius + 1
    offsets = np.arange(side, dtype=np.float32) - radius
    patch = np.exp(-(offsets**2 + offsets[:, None]**2) / (2 * sigma**2))
    cells = (points_hm + 0.5).astype(np.int64)  # toward 0, as MMPose rounds
    near = ((cells >= -radius) & (cells < np.add(size, radius))).all(-1)
    padded = np.zeros((points_hm.shape[1], h + 2 * side, w + 2 * side),
                      np.float32)
    corners = cells + (side - radius)
    for person, kind in zip(*(near & (visible >= 0.5)).nonzero()):
        x, y = corners[person, kind]
        region = padded[kind, y:y + side, x:x + side]
        np.maximum(region, patch, out=region)
    return np.ascontiguousarray(padded[:, side:-side, side:-side])

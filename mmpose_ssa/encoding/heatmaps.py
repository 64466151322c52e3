"""Target heatmaps: a Gaussian at each labelled keypoint (Eq. 1).

Those of MMPose's ``generate_gaussian_heatmaps``, to the bit where 3 sigma is a
whole number, several times faster: it computes the same Gaussian for each
keypoint; here it is computed once, and cut at the edges for all keypoints
together. Where 3 sigma is not whole, MMPose's are lopsided, and one cell off
where they touch the left or the upper edge; these are not.

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
    offsets = np.arange(-radius, radius + 1, dtype=np.float32)
    patch = np.exp(-(offsets**2 + offsets[:, None]**2) / (2 * sigma**2))
    cells = (points_hm + 0.5).astype(np.int64)  # toward 0, as MMPose rounds
    near = ((cells >= -radius) & (cells < np.add(size, radius))).all(-1)
    persons, kinds = (near & (visible >= 0.5)).nonzero()
    corners = cells[persons, kinds] - radius
    starts = np.maximum(corners, 0)
    stops = np.minimum(corners + len(patch), size)
    heatmaps = np.zeros((points_hm.shape[1], h, w), np.float32)
    for kind, (x, y), (left, top), (right, bottom) in zip(
            kinds.tolist(), corners.tolist(), starts.tolist(), stops.tolist()):
        region = heatmaps[kind, top:bottom, left:right]
        np.maximum(region, patch[top - y:bottom - y, left - x:right - x],
                   out=region)
    return heatmaps

"""Target heatmaps are MMPose's, and what they should be where those err."""
import numpy as np
import pytest
from mmpose.codecs.utils import generate_gaussian_heatmaps

from mmpose_ssa.encoding.heatmaps import gaussian_heatmaps

SIZE = W, H = 24, 18


def crowd(rng, low=-12, high=36):
    """40 persons inside, on the edges and outside; some not labelled."""
    points = rng.uniform(low, high, (40, 3, 2))
    points[:12] = np.round(points[:12])  # the cell itself, and its corners
    points[12:20] = np.round(points[12:20]) + .5
    return points, rng.choice([0, .3, .5, 1, 2], (40, 3))


@pytest.mark.parametrize('sigma', [1, 2, 4 / 3, 5 / 3])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_they_are_mmposes_to_the_bit(rng, sigma, dtype):
    points, visible = crowd(rng)
    points = points.astype(dtype)
    for chosen in (slice(0, 0), slice(3, 4), slice(None)):
        expected, _ = generate_gaussian_heatmaps(
            SIZE, points[chosen], visible[chosen], sigma)
        found = gaussian_heatmaps(SIZE, points[chosen], visible[chosen], sigma)
        assert found.dtype == np.float32 and found.flags.c_contiguous
        assert np.array_equal(found, expected)
    assert 0 < (found > 0).mean() < 1


def test_each_keypoint_of_each_place_is_drawn_or_is_not():
    """One at a time, from far left of the map to far right of it."""
    visible = np.ones((1, 1))
    for x in range(-16, W + 16):
        point = np.float64([[[x, 5]]])
        expected, _ = generate_gaussian_heatmaps(SIZE, point, visible, 2)
        assert np.array_equal(
            gaussian_heatmaps(SIZE, point, visible, 2), expected)
        assert expected.any() == (-7 <= x < W + 6)  # -7 rounds to -6


@pytest.mark.parametrize('x, y', [(0, 0), (2, 1), (12, 9), (23, 17)])
def test_a_radius_that_is_not_whole_shifts_nothing(x, y):
    """Sigma 1.5 ends at 5 cells, on both sides, also at the edges."""
    found = gaussian_heatmaps(SIZE, np.float64([[[x, y]]]), np.ones((1, 1)),
                              1.5)
    ys, xs = np.mgrid[:H, :W]
    dx, dy = xs - x, ys - y
    expected = np.exp(-(dx**2 + dy**2) / 4.5)
    expected[(abs(dx) > 5) | (abs(dy) > 5)] = 0
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_no_argument_is_changed(rng):
    points, visible = crowd(rng)
    before = points.copy(), visible.copy()
    gaussian_heatmaps(SIZE, points, visible, 2)
    assert np.array_equal(points, before[0])
    assert np.array_equal(visible, before[1])

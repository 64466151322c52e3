"""Similarity and extent of keypoints."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.keypoints import keypoint_extents, keypoint_similarity

SIGMAS = np.array([.05, .1])


def test_similarity_by_hand():
    # s = 10, 2 sigma = 0.1 and 0.2: one sigma away is exp(-1/2)
    first = np.array([[5., 7.], [5., 7.]])
    second = first + [[1, 0], [0, 2]]
    assert_allclose(keypoint_similarity(first, second, 100, SIGMAS),
                    np.exp([-.5, -.5]))
    assert_allclose(keypoint_similarity(first, first, 100, SIGMAS), 1)
    # the same, a hundredth as large: an area below a pixel
    assert_allclose(keypoint_similarity(first / 100, second / 100, .01,
                                        SIGMAS), np.exp([-.5, -.5]))


def test_an_area_of_0_is_refused():
    with pytest.raises(ValueError, match='area must be positive, got 0'):
        keypoint_similarity(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)),
                            np.array([4, 0]), SIGMAS[:1])


def test_missing_keypoints_do_not_widen_the_extent():
    keypoints = np.array([[[4, 9], [0, 0], [7, 3]], [[0, 0], [5, 6], [0, 0]],
                          [[1, 1], [2, 2], [3, 3]]], float)
    scores = np.array([[.1, 0, .3], [0, .1, 0], [0, 0, 0]])
    assert_array_equal(keypoint_extents(keypoints, scores),
                       [[4, 3, 7, 9], [5, 6, 5, 6], [0, 0, 0, 0]])


def test_nobody_has_no_extent():
    assert keypoint_extents(np.zeros((0, 17, 2)),
                            np.zeros((0, 17))).shape == (0, 4)

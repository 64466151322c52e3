"""How persons of two frames compare: by hand."""
import numpy as np
import pytest

from mmpose_ssa.tracking.persons import (FrameAttention, mask_iou, oks,
                                         thinned, votes)


def test_mask_iou():
    one, other = np.zeros((2, 4, 6), bool), np.zeros((2, 4, 6), bool)
    one[0, :2, :3] = other[0, 1:3, :3] = True  # 6 cells each, 3 shared
    one[1, :, :] = True
    other[1, 3, 5] = True
    np.testing.assert_allclose(mask_iou(one, other),
                               [[3 / 9, 0], [6 / 24, 1 / 24]])
    assert mask_iou(one[:0], other).shape == (0, 2)
    assert mask_iou(one[:1] & False, other[:1] & False) == 0


def test_oks_over_common_keypoints():
    sigmas = np.array([.1, .2, .1])
    then = np.array([[[0., 0], [100, 50], [50, 25]]])
    found = np.array([[True, True, True]])
    now = then + [[[3., 4], [0, 0], [900, 900]]]
    # the third is missing now; the box is 100 x 50, its area counts by 0.53
    expected = (np.exp(-25 / (2 * .2**2 * 5000 * .53)) + 1) / 2
    value = oks(now, np.array([[True, True, False]]), then, found, sigmas)
    np.testing.assert_allclose(value, [[expected]])
    nothing = oks(now, np.array([[False] * 3]), then, found, sigmas)
    assert nothing.tolist() == [[0.]]
    assert oks(now, found, then, ~found, sigmas).tolist() == [[0.]]


def test_oks_of_keypoints_upon_one_line():
    then = np.array([[[5., 0], [5, 60]]])
    found = np.ones((1, 2), bool)
    expected = np.exp(-4 / (2 * .2**2 * 60 * 20 * .53))  # as if 20 wide
    value = oks(then + [2, 0], found, then, found, np.array([.1, .1]))
    np.testing.assert_allclose(value, [[expected]])


def test_thinned_masks_keep_at_most_160_cells_a_side():
    masks = np.zeros((1, 480, 641), bool)
    masks[0, 5, 10] = True
    few = thinned(masks)
    assert few.shape == (1, 96, 129) and few[0, 1, 2] and few.sum() == 1
    assert thinned(masks[:, :160, :160]).shape == (1, 160, 160)


def attention(k, tokens, inside, q=None):
    k = np.asarray(k, float)[None]
    return FrameAttention(k if q is None else np.asarray(q, float)[None], k,
                          np.array(tokens), np.array(inside, bool))


def test_votes_by_hand():
    """Four tokens, two persons then, whose keys are told apart."""
    then = attention([[9, 0], [9, 0], [0, 9], [0, 0]], [[0], [2]],
                     [[1, 1, 0, 0], [0, 0, 1, 0]])
    q = [[1., 0], [0, 1], [0, 0], [0, 0]]
    now = attention(np.zeros((4, 2)), [[0, 1], [1, -1], [-1, -1]],
                    np.zeros((3, 4)), q)
    e = np.exp(9 / 2**.5)
    first, second = 2 * e / (2 * e + 2), e / (e + 3)  # shares held
    np.testing.assert_allclose(
        votes(now, then, np.array([0, 1])),
        [[first / 2, second / 2], [0, second], [0, 0]])
    # who is not asked for takes votes all the same
    np.testing.assert_allclose(votes(now, then, np.array([1])),
                               [[second / 2], [second], [0]])
    assert votes(now, then, np.array([], int)).shape == (3, 0)


def test_votes_average_the_heads():
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 3, 5, 4))
    inside = np.array([[True, False, True, False, False]])
    tokens = np.array([[1, 4]])
    now, then = FrameAttention(q, q, tokens, inside), FrameAttention(
        k, k, tokens, inside)
    expected = 0
    for token in (1, 4):
        for head in range(3):
            row = np.exp(q[head, token] @ k[head].T / 2)
            expected += (row / row.sum())[inside[0]].sum() / 6
    assert votes(now, then, np.array([0]))[0, 0] == pytest.approx(expected)

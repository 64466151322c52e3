"""The metrics of tracks: by hand."""
import numpy as np
from track_benchmark import compare, score

from mmpose_ssa.tracking import FrameAttention, FramePersons

SIGMAS = np.full(2, .1)


def found(*xs) -> FramePersons:
    """Persons of two keypoints and a mask of 10 columns at these places."""
    points = np.array([[[x, 5], [x + 10, 60]] for x in xs], float)
    masks = np.zeros((len(xs), 80, 320), bool)
    for mask, x in zip(masks, xs):
        mask[:, x:x + 10] = True
    nothing = np.zeros((1, 4, 2))
    return FramePersons(
        points.reshape(-1, 2, 2), np.ones((len(xs), 2)), np.ones(len(xs)),
        masks, FrameAttention(nothing, nothing, np.zeros((len(xs), 2), int),
                              np.ones((len(xs), 4), bool)))


def near(n: int, p: int) -> np.ndarray:
    """Each true person is the found one of the same place in the list."""
    return np.where(np.eye(n, p), .1, 1.)


def test_two_persons_who_stay():
    video = [score([7, 8], np.ones(2, bool), found(20, 200), near(2, 2))] * 4
    table = compare([video], SIGMAS)
    assert table['mask IoU + OKS, motion'] == ['1.000', '0', '1.000', '2', '2']
    # votes that are all alike cannot tell the two apart
    assert set(table) > {'attention', 'mask IoU + OKS'}


def test_a_jump_costs_an_id_switch():
    """Two frames here, two there: of 4 pairs, an id fits 2."""
    video = [score([7], np.ones(1, bool), found(x), near(1, 1))
             for x in (20, 20, 280, 280)]
    # IDF1 = 2 * 2 / (4 + 4), MOTA = 1 - 1 / 4
    assert compare([video], SIGMAS)['mask IoU + OKS, motion'] == [
        '0.500', '1', '0.750', '2', '1']
    # a video of its own starts anew
    assert compare([video] * 2, SIGMAS)['mask IoU + OKS, motion'] == [
        '0.500', '2', '0.750', '4', '2']


def test_missed_and_wrong_persons():
    """1 of 2 found, and a wrong one: MOTA = 1 - (1 + 1) / 2 each frame."""
    video = [score([7, 8], np.ones(2, bool), found(20, 200),
                   np.array([[.1, 1], [1, 1.]]))] * 3
    assert compare([video], SIGMAS)['mask IoU + OKS'][:3] == [
        '0.500', '0', '0.000']


def test_who_is_not_labelled_is_ignored():
    scored = score([7, 8], np.array([True, False]), found(20, 200, 100),
                   np.array([[.1, 1, 1], [1, .3, .7]]))
    assert scored.true_ids == [7]
    assert scored.fair.tolist() == [True, False, True]
    np.testing.assert_array_equal(scored.distances, [[.1, np.nan, np.nan]])
    assert compare([[scored]], SIGMAS)['mask IoU + OKS'] == [
        '0.667', '0', '0.000', '3', '1']

"""Hidden as COCO says, and as the model says."""
import numpy as np
from visibility import Found, matched

SIGMAS = np.array([.05, .05, .05, .05])
TRUTH = dict(area=10000., keypoints=[10, 10, 1, 50, 10, 2, 10, 90, 2, 0, 0, 0])


def predicted(*shifts, scores=(1., 1, 1, 1)):
    """One person whose keypoints are shifted to the right."""
    points = np.reshape(TRUTH['keypoints'], (4, 3)).astype(float)
    points[:, 0] += shifts
    points[:, 2] = scores
    return points[None]


def test_found_keypoints_of_the_best_person_count():
    # similarity at d pixels: exp(-d ** 2 / (2 * (0.1 * 100) ** 2))
    points = np.concatenate([predicted(99, 99, 99, 0), predicted(0, 5, 11, 0)])
    hidden = np.array([[False] * 4, [True, False, True, True]])
    assert matched(TRUTH, points, hidden, SIGMAS) == [
        Found(1, True), Found(2, False), Found(2, True)]
    # 11.8 pixels: 0.4985, which is not within one half
    points = predicted(0, 11.8, 0, 0, scores=(1, 1, 0, 1))
    assert matched(TRUTH, points, hidden[1:], SIGMAS) == [Found(1, True)]


def test_a_person_without_a_match_gives_nothing():
    hidden = np.zeros((1, 4), bool)
    assert matched(TRUTH, predicted(40, 40, 0, 0), hidden, SIGMAS) == []
    crowd = dict(TRUTH, iscrowd=1)
    assert matched(crowd, predicted(0, 0, 0, 0), hidden, SIGMAS) == []

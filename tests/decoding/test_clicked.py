"""The person at a point, on a row of six tokens."""
import numpy as np

from mmpose_ssa.decoding.clicked import person_at

ROW = np.array([.4, .2, .1, 0, .04, 0])


def test_a_skeleton_is_the_best_candidates_on_the_map():
    # types       0   0   1   1   2   0
    tokens = np.array([1, 0, 2, 3, 4, 5])
    types = np.array([0, 0, 1, 1, 2, 0])
    scores = np.array([.9, .5, .1, .8, .7, 1])
    person, token_map = person_at(ROW, types, tokens, scores, 4, .2)
    np.testing.assert_allclose(token_map, [1, .5, .25, 0, .1, 0])
    # the better of two; the one that is inside; none inside; no candidate
    assert person.tolist() == [0, 2, -1, -1]


def test_the_map_must_exceed_sigma():
    tokens = types = np.array([0, 2])
    for sigma, second in ((.25, -1), (.24, 1)):
        person, _ = person_at(ROW, types, tokens, np.ones(2), 3, sigma)
        assert person.tolist() == [0, -1, second]


def test_of_equal_scores_the_first_is_taken():
    person, _ = person_at(ROW, np.zeros(3, int), np.array([3, 1, 0]),
                          np.array([.9, .3, .3]), 1, .2)
    assert person.tolist() == [1]


def test_without_candidates_there_is_a_map_and_nobody():
    nothing = np.zeros(0, int)
    person, token_map = person_at(ROW, nothing, nothing, np.zeros(0), 2, .2)
    assert person.tolist() == [-1, -1] and token_map.max() == 1

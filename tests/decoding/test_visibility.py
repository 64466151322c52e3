"""Who hides whom, on a grid of 2 x 3 tokens of 8 pixels."""
import numpy as np

from mmpose_ssa.decoding.visibility import hidden_by

# Tokens in rows: 0 1 2 / 3 4 5
MAPS = np.array([[[1., .6, .1], [.5, .3, 0.]],
                 [[.2, .7, 1.], [.5, .2, .9]],
                 [[0., 0., .3], [0., .35, 1.]]])


def at(*tokens):
    """Points inside the tokens, (1, K, 2)."""
    return np.array([[(8 * (t % 3) + 5., 8 * (t // 3) + 2.) for t in tokens]])


def hidden(person, *tokens, found=True, threshold=.4):
    """Of one person with keypoints at the tokens, the others having none."""
    points = np.zeros((3, len(tokens), 2))
    there = np.zeros((3, len(tokens)), bool)
    points[person], there[person] = at(*tokens), found
    result = hidden_by(points, there, MAPS, 8, threshold)
    assert (np.delete(result, person, axis=0) == -1).all()
    return result[person].tolist()


def test_a_keypoint_in_the_mask_of_another_person_is_hidden_by_them():
    # token 0: mine; 1 and 2: more of person 1; 3: as much of both; 4: in
    # nobody's mask; 5: more of person 2
    assert hidden(0, 0, 1, 2, 3, 4, 5) == [-1, 1, 1, -1, -1, 2]
    assert hidden(1, 0, 1, 2, 3, 4, 5) == [0, -1, -1, -1, -1, 2]


def test_the_threshold_of_the_masks_counts():
    assert hidden(0, 4, threshold=.3) == [2]
    assert hidden(0, 4, threshold=.35) == [-1]


def test_a_missing_keypoint_is_not_hidden():
    assert hidden(0, 1, 5, found=False) == [-1, -1]


def test_one_person_and_nobody():
    points = at(1, 2)
    assert hidden_by(points, np.ones((1, 2), bool), MAPS[:1], 8,
                     .4).tolist() == [[-1, -1]]
    nobody = hidden_by(np.zeros((0, 2, 2)), np.zeros((0, 2), bool),
                       np.zeros((0, 2, 3)), 8, .4)
    assert nobody.shape == (0, 2) and nobody.dtype == np.int64

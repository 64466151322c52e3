"""The keypoint-similarity rule, boxes of masks, by hand and person by
person."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.masks import encode_rle
from mmpose_ssa.decoding.refinement import person_boxes, refine_keypoints

SIGMAS = np.array([.05, .1])


def rle(h, w, *blocks):
    """A mask of blocks x0, y0, x1, y1, without the last column and row."""
    mask = np.zeros((h, w, 1), np.uint8)
    for x0, y0, x1, y1 in blocks:
        mask[y0:y1, x0:x1] = 1
    return encode_rle(mask)[0]


# --- the rule ---------------------------------------------------------------


@pytest.mark.parametrize('fill', [False, True])
def test_the_rule_by_hand(fill):
    """KS 0.75 is at d = 0.7585 (2 sigma) s; s = 10."""
    keypoints = np.array([[5., 7.], [5., 7.], [5., 7.], [0., 0.]])
    scores = np.array([.5, .5, .5, 0.])
    refined = np.array([[5.75, 7.], [5.77, 7.], [5., 9.], [8., 9.]])
    merged, merged_scores = refine_keypoints(
        keypoints, scores, refined, np.full(4, .9), 100, np.full(4, .05),
        fill)
    last = [8, 9] if fill else [0, 0]
    assert_allclose(merged, [[5.75, 7], [5, 7], [5, 7], last])
    assert_allclose(merged_scores, [.5, .5, .5, .9 if fill else 0])
    assert_allclose(keypoints[0], [5, 7])  # as they were


@pytest.mark.parametrize('threshold, taken', [(.5, True), (1., False)])
def test_the_similarity_must_exceed_the_threshold(threshold, taken):
    """A second location in the same place has similarity 1."""
    keypoints, scores = np.array([[5., 7.]]), np.array([.5])
    merged, _ = refine_keypoints(
        keypoints, scores, keypoints + [1e-9, 0], np.array([.9]), 100,
        SIGMAS[:1], False, threshold)
    assert (merged[0, 0] > 5) == taken


def test_what_the_refiner_does_not_find_changes_nothing():
    keypoints, scores = np.array([[5., 7.], [0, 0]]), np.array([.5, 0])
    merged, merged_scores = refine_keypoints(
        keypoints, scores, keypoints + .1, np.zeros(2), 100, SIGMAS, True)
    assert_array_equal(merged, keypoints)
    assert_array_equal(merged_scores, scores)


@pytest.mark.parametrize('fill', [False, True])
def test_persons_together_are_as_each_alone(rng, fill):
    keypoints = rng.uniform(0, 9, (5, 17, 2))
    refined = keypoints + rng.normal(0, 1, keypoints.shape)
    scores = rng.uniform(0, 1, (5, 17)) * rng.integers(0, 2, (5, 17))
    refined_scores = rng.uniform(.1, 1, (5, 17))
    areas, sigmas = rng.uniform(50, 500, 5), rng.uniform(.03, .1, 17)
    together = refine_keypoints(keypoints, scores, refined, refined_scores,
                                areas, sigmas, fill)
    alone = [
        refine_keypoints(*one, sigmas, fill) for one in zip(
            keypoints, scores, refined, refined_scores, areas)
    ]
    for array, arrays in zip(together, zip(*alone)):
        assert_array_equal(array, arrays)
    moved = (together[0] != keypoints).any(axis=2)
    assert moved.any() and not moved.all()


# --- boxes ------------------------------------------------------------------


def test_the_box_holds_all_parts_of_a_mask():
    masks = [rle(40, 50, (3, 4, 10, 9), (20, 30, 22, 31)),
             rle(40, 50, (0, 0, 50, 40))]
    boxes, areas = person_boxes(masks, np.full((2, 4), np.nan))
    assert_array_equal(boxes, [[3, 4, 22, 31], [0, 0, 50, 40]])
    assert_array_equal(areas, [7 * 5 + 2, 2000])


def test_random_masks_have_the_boxes_of_their_pixels(rng):
    pixels = (rng.random((30, 20, 9)) < .01).astype(np.uint8)
    pixels[5, 7] = 1
    boxes, areas = person_boxes(encode_rle(pixels), np.zeros((9, 4)))
    for p in range(9):
        y, x = np.nonzero(pixels[..., p])
        assert_array_equal(boxes[p], [x.min(), y.min(), x.max() + 1,
                                      y.max() + 1])
        assert areas[p] == len(x)


@pytest.mark.parametrize('none', [None, rle(40, 50)])
def test_the_extent_stands_in_for_an_empty_mask(none):
    extents = [[5, 6, 25, 16], [5, 6, 5, 26], [8, 9, 8, 9]]
    boxes, areas = person_boxes([none] * 3, extents)
    # at least a pixel wide, around the same middle
    assert_array_equal(boxes, [[5, 6, 25, 16], [4.5, 6, 5.5, 26],
                               [7.5, 8.5, 8.5, 9.5]])
    assert_allclose(areas, [.53 * 200, 1, 1])


def test_masks_and_stand_ins_keep_their_order():
    masks = [None, rle(40, 50, (3, 4, 10, 9)), rle(40, 50)]
    extents = [[1, 1, 11, 11], [0, 0, 50, 40], [2, 2, 12, 12]]
    boxes, areas = person_boxes(masks, extents)
    assert_array_equal(boxes, [extents[0], [3, 4, 10, 9], extents[2]])
    assert_allclose(areas, [53, 35, 53])


def test_nobody_has_no_box():
    boxes, areas = person_boxes([], np.zeros((0, 4)))
    assert boxes.shape == (0, 4) and areas.shape == (0, )


def test_a_mask_of_one_pixel_is_a_mask():
    boxes, areas = person_boxes([rle(9, 9, (3, 2, 4, 3))], [[0, 0, 8, 8]])
    assert boxes.tolist() == [[3, 2, 4, 3]] and areas.tolist() == [1]

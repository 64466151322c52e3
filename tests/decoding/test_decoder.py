"""From heatmaps and attention rows to persons, by hand."""
import numpy as np
import pytest
from factories import linked_tokens, peaks
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding import DecodeOptions, decode
from mmpose_ssa.decoding.decoder import size_factors

SHAPE = (2, 12, 16)  # of the heatmaps: 64 x 48 pixels, 3 x 4 tokens


def options_of(**options) -> DecodeOptions:
    """Two keypoint types and the link between them."""
    return DecodeOptions(**dict(
        dict(num_keypoints=2, order=(0, 1), edges=((0, 1), )), **options))


class Rows:
    """Rows of an L x L matrix; notes which were asked for."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, tokens):
        self.asked = tokens.tolist()
        return self.matrix[tokens]


def test_persons_by_hand():
    """Three of type 0, in tokens 0, 2 and 8; one of type 1, token 10, with
    the last: scores .45, .35 and (.5 + .95) / 2."""
    heatmaps = peaks(SHAPE, (0, 1, 1, .9), (0, 9, 1, .7), (0, 1, 9, .5),
                     (1, 9, 9, .95))
    rows_of = Rows(linked_tokens((8, 10)))
    found = decode(heatmaps, rows_of, options_of())
    assert rows_of.asked == [0, 2, 8, 10]
    assert found.candidates.tolist() == [[2, 3], [0, -1], [1, -1]]
    assert_allclose(found.scores, [.725, .45, .35])
    assert_allclose(found.keypoint_scores, [[.5, .95], [.9, 0], [.7, 0]])
    assert found.keypoints.tolist() == [[[4, 36], [36, 36]],
                                        [[4, 4], [0, 0]], [[36, 4], [0, 0]]]
    maps = np.zeros((3, 12))
    maps[0, [8, 10]] = maps[1, 0] = maps[2, 2] = 1
    assert_array_equal(found.maps, maps.reshape(3, 3, 4))
    assert_array_equal(found.rows.reshape(4, 12),
                       linked_tokens((8, 10))[[0, 2, 8, 10]])
    best = decode(heatmaps, rows_of, options_of(max_persons=2))
    assert best.candidates.tolist() == found.candidates[:2].tolist()
    few = decode(heatmaps, rows_of, options_of(max_candidates=2))
    assert few.keypoint_scores.tolist() == [
        pytest.approx(scores) for scores in ([0, .95], [.9, 0], [.7, 0])]


def test_large_persons_gain_on_small_ones():
    """A strong person of one token of twelve, a weaker one of two."""
    heatmaps = peaks(SHAPE, (0, 1, 1, .9), (0, 1, 9, .4), (1, 1, 5, .4))
    rows_of = Rows(linked_tokens((4, 8)))

    def scores(content=None, **options):
        found = decode(heatmaps, rows_of, options_of(**options), content)
        return [(len(set(person)), score) for person, score in zip(
            (found.keypoint_scores > 0).tolist(), found.scores)]

    strong, weak = 2, 1  # whether one of two keypoints is missing
    assert scores() == [(strong, pytest.approx(.45)),
                        (weak, pytest.approx(.4))]
    assert scores(size_exponent=1.) == [
        (weak, pytest.approx(.4 * 2 / 12)), (strong, pytest.approx(.45 / 12))]
    assert scores(size_exponent=.125)[0] == (
        strong, pytest.approx(.45 * (1 / 12)**.125))
    # the left quarter of the input is the image, the rest is padding
    assert scores((0, 0, 15, 47), size_exponent=1.) == [
        (weak, pytest.approx(.4 * 2 / 3)), (strong, pytest.approx(.45 / 3))]
    # of all maps no more than the image counts
    assert scores((0, 0, 7, 39), size_exponent=1.)[0] == (
        weak, pytest.approx(.4))


@pytest.mark.parametrize('value', [-.1, float('inf'), float('nan')])
def test_impossible_exponents(value):
    with pytest.raises(ValueError, match=f'size_exponent .* got {value}'):
        options_of(size_exponent=value)


def test_the_matching_is_the_one_asked_for():
    """Of type 1 the strong candidate, or that to which more is attended."""
    heatmaps = peaks(SHAPE, (0, 1, 1, 1.), (1, 9, 1, .9), (1, 1, 9, .4))
    matrix = np.eye(12)
    matrix[2, [0, 2]], matrix[8, [0, 8]] = [.3, .7], [.6, .4]
    expected = dict(attraction=[[0, 2], [-1, 1]],
                    score_attraction=[[0, 1], [-1, 2]])
    for matching, persons in expected.items():
        found = decode(heatmaps, Rows(matrix), options_of(
            matching=matching, merge_threshold=1.))
        assert sorted(found.candidates.tolist()) == sorted(persons)


def test_missing_keypoints_are_filled_from_the_persons_map():
    """Type 1 has no candidate above the threshold .1.

    The person lies in tokens 0 and 1. There type 1's best cell is (5, 2) with
    .06, not (5, 9) with .09. Beside it the heatmap is higher to the left:
    the location moves by a quarter of a cell, a pixel.
    """
    heatmaps = peaks(SHAPE, (0, 1, 1, .9), (1, 5, 2, .06), (1, 5, 9, .09),
                     (1, 4, 2, .02))
    rows_of, given = Rows(linked_tokens((0, 1))), dict(score_threshold=.1)
    plain = decode(heatmaps, rows_of, options_of(**given))
    given['fill_missing'] = 'attention'
    found = decode(heatmaps, rows_of, options_of(**given))
    assert plain.keypoints.tolist() == [[[4, 4], [0, 0]]]
    assert not plain.filled.any()
    assert found.keypoints.tolist() == [[[4, 4], [19, 8]]]
    assert_allclose(found.keypoint_scores, [[.9, .06]])
    assert found.filled.tolist() == [[False, True]]
    for same in ('candidates', 'scores', 'maps', 'rows'):
        assert_array_equal(getattr(found, same), getattr(plain, same))
    for name, value in (('fill_threshold', .061), ('fill_map_threshold', 1)):
        found = decode(heatmaps, rows_of, options_of(**given, **{name: value}))
        assert not found.filled.any()


def test_nothing_is_filled_outside_the_content():
    heatmaps = peaks(SHAPE, (0, 1, 1, .9), (1, 5, 2, .06), (1, 2, 1, .03))
    found = decode(heatmaps, Rows(linked_tokens((0, 1))), options_of(
        fill_missing='attention', score_threshold=.1),
        content_inp=(0, 0, 18, 47))
    assert_allclose(found.keypoint_scores, [[.9, .03]])


def test_merged_persons_are_ranked_by_what_they_have_become():
    """Two halves of .6 and .5 become one person of .55, past the .53."""
    heatmaps = peaks(SHAPE, (0, 1, 1, .6), (1, 9, 1, .5), (0, 9, 9, 1.06))
    rows_of = Rows(linked_tokens((0, 2)))
    options = dict(max_persons=1)
    for lam, best in ((.0025, [0, 2]), (9., [0, 2])):  # grouped, or merged
        found = decode(heatmaps, rows_of, options_of(
            attraction_threshold=lam, **options))
        assert found.candidates.tolist() == [best]
        assert_allclose(found.scores, .55)
    found = decode(heatmaps, rows_of, options_of(
        attraction_threshold=9., merge_threshold=1., **options))
    assert found.candidates.tolist() == [[1, -1]]


@pytest.mark.parametrize('grouping, expected', [
    ('part_first', [[0, 2], [1, 3]]), ('body_first', [[1, 2], [0, -1],
                                                      [-1, 3]])])
def test_the_view_is_the_one_asked_for(grouping, expected):
    """Both of type 0 attend to the better of type 1, the second more; only
    the assignment of all at once gives the first one something too."""
    heatmaps = peaks(SHAPE, (0, 1, 1, .5), (0, 9, 1, .9), (1, 1, 9, .8),
                     (1, 9, 9, .1))
    matrix = np.eye(12, dtype=np.float32)
    first, second, better, weaker = 0, 2, 8, 10
    matrix[better, [better, first, second]] = .2, .3, .5
    matrix[weaker, [weaker, second]] = .6, .4
    matrix[second, better] = .6
    found = decode(heatmaps, Rows(matrix), options_of(
        grouping=grouping, merge_threshold=1.))
    assert sorted(found.candidates.tolist()) == sorted(expected)


def test_the_token_is_that_of_the_cell_not_of_the_refined_location():
    """Cell 4 is pixel 16, the first of token 1; refined it is pixel 15."""
    heatmaps = peaks(SHAPE, (0, 4, 1, .9), (0, 3, 1, .5))
    for refine, x in ((True, 15), (False, 16)):
        rows_of = Rows(linked_tokens())
        found = decode(heatmaps, rows_of, options_of(refine_location=refine))
        assert rows_of.asked == [1]
        assert found.keypoints[0, 0].tolist() == [x, 4]


def test_unbiased_heatmaps_have_their_maximum_between_the_cells():
    ys, xs = np.mgrid[:12, :16]
    gaussian = np.exp(-((xs - 5.25)**2 + (ys - 6.4)**2) / 8)
    heatmaps = np.stack([gaussian, np.zeros((12, 16))])
    found = decode(heatmaps, Rows(linked_tokens()), options_of(
        unbiased=True, score_threshold=.5))
    assert_allclose(found.keypoints[0, 0], [21, 25.6], atol=1e-3)


def test_nothing_above_the_threshold_is_nobody():
    found = decode(np.zeros(SHAPE), Rows(linked_tokens()), options_of())
    assert found.keypoints.shape == (0, 2, 2)
    assert found.keypoint_scores.shape == found.candidates.shape == (0, 2)
    assert found.scores.shape == (0, )
    assert found.maps.shape == found.rows.shape == (0, 3, 4)


def test_heatmaps_of_another_size_and_stride():
    """The last cell of 10 x 20, on 5 x 10 tokens of r = 8."""
    rows_of = Rows(np.eye(50))
    found = decode(peaks((2, 10, 20), (1, 19, 9, .9)), rows_of,
                   options_of(token_stride=8))
    assert rows_of.asked == [49]
    assert found.keypoints.tolist() == [[[0, 0], [76, 36]]]


def test_only_what_lies_in_the_content_is_found():
    """Cell 2 is pixel 8, the first of the content; cell 1 is outside."""
    heatmaps = peaks(SHAPE, (0, 1, 3, .9), (1, 2, 9, .5))
    found = decode(heatmaps, Rows(linked_tokens()), options_of(),
                   content_inp=(7.5, 0, 63, 47))
    assert found.candidates.tolist() == [[-1, 0]]
    assert found.keypoints[0, 1].tolist() == [8, 36]


@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_heatmaps_of_any_precision(dtype):
    heatmaps = peaks(SHAPE, (0, 1, 1, .9), (1, 9, 9, .75)).astype(dtype)
    found = decode(heatmaps, Rows(linked_tokens((0, 10))), options_of())
    assert found.candidates.tolist() == [[0, 1]]
    assert_allclose(found.keypoint_scores, heatmaps[[0, 1], [1, 9], [1, 9]][
        None].astype(np.float32))


def test_no_argument_is_changed():
    heatmaps = peaks(SHAPE, (0, 4, 1, .9), (0, 3, 1, .5), (1, 9, 9, .95))
    matrix = linked_tokens((0, 10))
    before = heatmaps.copy(), matrix.copy()
    decode(heatmaps, Rows(matrix), options_of())
    assert_array_equal(heatmaps, before[0])
    assert_array_equal(matrix, before[1])


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_heatmaps_that_are_not_finite_are_refused(value):
    heatmaps = np.zeros(SHAPE)
    heatmaps[1, 3, 4] = value
    with pytest.raises(ValueError, match='not finite'):
        decode(heatmaps, Rows(linked_tokens()), options_of())


@pytest.mark.parametrize('shape', [(12, 16), (3, 12, 16), (1, 2, 12, 16)])
def test_heatmaps_of_other_keypoints_are_refused(shape):
    with pytest.raises(ValueError, match='num_keypoints=2'):
        decode(np.zeros(shape), Rows(linked_tokens()), options_of())


def test_rows_of_another_stride_are_refused():
    """48 tokens of 8 pixels instead of 12 of 16."""
    with pytest.raises(ValueError, match=r'\(1, 48\).*token_stride'):
        decode(peaks(SHAPE, (0, 1, 1, .9)), Rows(np.eye(48)), options_of())


def test_the_share_of_an_image_that_does_not_begin_at_0():
    """Six tokens of 2 x 2 cells on 8 x 4 cells; more than all of it is 1."""
    maps = np.array([[1, .9, .1, 0] * 3, [1.] * 12])
    options = options_of(size_exponent=.5, token_stride=8)
    assert_allclose(size_factors(maps, (4, 6, 12, 10), options),
                    [np.sqrt(6 * 4 / 32), 1])

"""Person maps and merging: hand arithmetic, and the rule written out."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.merging import (instance_scores, merge_persons,
                                         person_maps)

# --- maps and scores --------------------------------------------------------


def test_a_map_is_the_mean_of_the_rows_over_its_maximum():
    rows = np.array([[.1, .3, .6], [.3, .3, .4], [.5, .3, .2]])
    maps = person_maps(np.array([[0, -1, 2], [1, -1, -1]]), rows)
    assert_allclose(maps, [[.75, .75, 1], [.75, .75, 1]])
    maps = person_maps(np.array([[-1, 0, -1]]), rows)
    assert_allclose(maps, [[1 / 6, .5, 1]])


def test_a_person_without_keypoints_has_no_map():
    with pytest.raises(ValueError, match='person 1 has no keypoint'):
        person_maps(np.array([[0], [-1]]), np.ones((1, 4)))


def test_nobody_has_no_maps():
    persons, maps = merge_persons(np.zeros((0, 3), int), np.zeros(0),
                                  np.zeros((0, 4), np.float32), .4, .3)
    assert persons.shape == (0, 3) and maps.shape == (0, 4)


def test_missing_keypoints_count_as_0_in_the_score():
    scores = instance_scores(np.array([[0, 1, -1, -1], [2, -1, 2, 2]]),
                             np.array([.5, .3, .2]))
    assert_allclose(scores, [.2, .15])


# --- merging ----------------------------------------------------------------

TYPES = 3


def row(*spans, size=40):
    """Attention 1 on the tokens of half-open spans, else 0."""
    values = np.zeros(size, np.float32)
    for start, stop in spans:
        values[start:stop] = 1
    return values


def singles(*kinds):
    """One person per candidate, of the given types."""
    persons = np.full((len(kinds), TYPES), -1)
    persons[range(len(kinds)), kinds] = range(len(kinds))
    return persons


def merge(kinds, scores, rows, **thresholds):
    options = dict(mask_threshold=.4, overlap_threshold=.3) | thresholds
    return merge_persons(singles(*kinds), np.array(scores), np.stack(rows),
                         **options)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_three_tenths_of_the_larger_area_is_not_yet_too_much(dtype):
    """3 tokens lie wholly inside 10: over the smaller area it would be 1."""
    rows = np.stack([row((0, 10)), row((0, 3)), row((0, 4))]).astype(dtype)
    persons, _ = merge([0, 1], [.9, .5], rows[:2])
    assert persons.tolist() == [[0, -1, -1], [-1, 1, -1]]
    persons, _ = merge([0, 1], [.9, .5], rows[[0, 2]])
    assert persons.tolist() == [[0, 1, -1]]


def test_the_denominator_is_the_larger_area_not_the_union():
    """4 of 10 and 10: .4 of either, .25 of the union."""
    persons, _ = merge([0, 1], [.9, .5], [row((0, 10)), row((6, 16))])
    assert persons.tolist() == [[0, 1, -1]]


def test_a_token_belongs_to_the_mask_above_the_threshold_only():
    """Of the second map the tokens at exactly .5 count below .5 alone."""
    faint = row((0, 10))
    faint[5:10] = .5
    args = [0, 1], [.9, .5], [row((5, 15)), faint]
    assert len(merge(*args, mask_threshold=.5)[0]) == 2
    assert len(merge(*args, mask_threshold=.49)[0]) == 1


def test_of_two_candidates_of_a_type_the_better_stays():
    persons = np.array([[0, 1, -1], [2, 3, 4]])
    rows = np.stack([row((0, 10))] * 5)
    merged, _ = merge_persons(persons, np.array([.9, .1, .8, .2, .3]), rows,
                              .4, .3)
    assert merged.tolist() == [[0, 3, 4]]
    merged, _ = merge_persons(persons, np.array([.5, .1, .5, .1, .3]), rows,
                              .4, .3)
    assert merged.tolist() == [[2, 3, 4]]  # now first, and first of equals


def test_merging_goes_into_the_kept_one_overlapped_most():
    rows = [row((0, 10)), row((20, 30)), row((6, 10), (20, 26))]
    persons, _ = merge([0, 0, 1], [.9, .8, .1], rows)
    assert persons.tolist() == [[0, -1, -1], [1, 2, -1]]


def test_persons_come_by_their_scores_before_merging():
    """The second is merged into the third and still counts from there."""
    rows = [row((0, 10)), row((20, 30)), row((20, 30))]
    persons, _ = merge([0, 1, 0], [.5, .3, .4], rows)
    assert persons.tolist() == [[0, -1, -1], [2, 1, -1]]


def test_while_the_pass_runs_masks_are_those_of_before():
    """0 and 1 merge to tokens 0..15; 2 overlaps a third of that, but none of
    what 0 was."""
    rows = [row((0, 10)), row((5, 15)), row((10, 20))]
    persons, maps = merge([0, 1, 2], [.9, .5, .4], rows)
    assert persons.tolist() == [[0, 1, -1], [-1, -1, 2]]
    assert_array_equal(maps[0] > .4, row((0, 15)))  # of the merged person
    assert_allclose(maps[0], (row((0, 10)) + row((5, 15))) / 2)
    assert_array_equal(maps[1], rows[2])


def literal_merge(persons, scores, rows, sigma, overlap):
    """Section 4's words with sets of tokens; persons as lists."""
    def tokens(person):
        total = sum(rows[c] for c in person if c >= 0)
        return set(np.flatnonzero(total / total.max() > sigma))

    def score(person):
        return sum(scores[c] for c in person if c >= 0)

    kept = []  # as it was, what it has become
    for person in sorted(persons.tolist(), key=lambda p: -score(p)):
        mine = tokens(person)
        shares = [len(mine & tokens(was)) / max(len(mine), len(tokens(was)))
                  for was, _ in kept]
        if not shares or max(shares) <= overlap:
            kept.append((person, list(person)))
            continue
        grown = kept[shares.index(max(shares))][1]
        for kind, c in enumerate(person):
            if c >= 0 and (grown[kind] < 0 or scores[c] > scores[grown[kind]]):
                grown[kind] = c
    return [grown for _, grown in kept]


@pytest.mark.parametrize('number', [5, 200])
@pytest.mark.parametrize('sharpness, size', [(1, 40), (6, 40), (6, 300)])
def test_merging_is_that_of_the_literal_rule(rng, number, sharpness, size):
    """From all into one to hardly any; powers of two make sums exact."""
    rows = (rng.integers(1, 17, (2 * number, size)) / 16)**sharpness
    scores = rng.integers(1, 65, 2 * number) / 64
    persons = np.full((number, TYPES), -1)
    places = rng.permutation(number * TYPES)[:2 * number]
    persons.ravel()[places] = np.arange(2 * number)
    persons = persons[(persons >= 0).any(axis=1)]
    merged, maps = merge_persons(persons, scores, rows, .4, .3)
    assert merged.tolist() == literal_merge(persons, scores, rows, .4, .3)
    assert_allclose(maps, person_maps(merged, rows))


@pytest.mark.parametrize('size', [300, 10010, 70000])
def test_masks_of_any_number_of_tokens(size):
    """All tokens but one are shared: more than small numbers can hold."""
    rows = [row((0, size), size=size + 1), row((1, size + 1), size=size + 1),
            row((0, size * 3 // 10), size=size + 1)]
    persons, _ = merge([0, 1, 2], [.9, .5, .4], rows)
    assert persons.tolist() == [[0, 1, -1], [-1, -1, 2]]  # .3 is not above .3
    persons, _ = merge([0, 1, 2], [.9, .5, .4], rows, overlap_threshold=.299)
    assert persons.tolist() == [[0, 1, 2]]


def test_nobody_is_merged_into_one_who_is_merged():
    """The third overlaps the second most, which is gone into the first."""
    rows = [row((0, 10)), row((5, 15)), row((9, 17))]
    persons, _ = merge([0, 1, 2], [.9, .5, .4], rows)
    assert persons.tolist() == [[0, 1, -1], [-1, -1, 2]]


def test_merging_changes_no_argument(rng):
    persons, scores, rows = singles(0, 1, 2, 0), rng.random(4), rng.random(
        (4, 9))
    before = [array.copy() for array in (persons, scores, rows)]
    merge_persons(persons, scores, rows, .4, .3)
    for array, copy in zip((persons, scores, rows), before):
        assert_array_equal(array, copy)

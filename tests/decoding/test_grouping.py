"""Grouping: every rule by hand, and a literal implementation beside it."""
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.optimize import linear_sum_assignment

from mmpose_ssa.decoding.grouping import group_body_first, group_part_first

# --- a literal reading of section 2.4: lists, dictionaries, loops -----------



def attraction(candidate, members, scores, affinity):
    others = [member for member in members if member != candidate]
    if not others:
        return 0.0
    return sum(
        float(scores[f]) * float(affinity[candidate][f])
        for f in others) / len(others)


def by_descending_score(candidates, scores):
    return sorted(candidates, key=lambda c: (-float(scores[c]), c))


def literal_part_first(types, scores, affinity, lam, order, weighted=False):
    persons = []
    for keypoint_type in order:
        found = by_descending_score(
            [c for c in range(len(types)) if types[c] == keypoint_type],
            scores)
        if not persons:
            persons = [{keypoint_type: c} for c in found]
            continue
        if not found:
            continue
        gain = np.array([[
            attraction(c, person.values(), scores, affinity)
            for person in persons
        ] for c in found])
        goal = gain * [[scores[c]] for c in found] if weighted else gain
        joins = {}
        for row, column in zip(*linear_sum_assignment(goal, maximize=True)):
            if gain[row, column] >= lam:
                joins[found[row]] = column
        for c in found:
            if c in joins:
                persons[joins[c]][keypoint_type] = c
        persons += [{keypoint_type: c} for c in found if c not in joins]
    return persons


def breadth_first(start, edges):
    seen, queue = [start], [start]
    while queue:
        here = queue.pop(0)
        for other in sorted({b if a == here else a
                             for a, b in edges if here in (a, b)}):
            if other not in seen:
                seen.append(other)
                queue.append(other)
    return seen[1:]


def literal_body_first(types, scores, affinity, lam, edges):
    persons, owner = [], {}
    queue = by_descending_score(range(len(types)), scores)
    while len(owner) < len(types):
        seed = next(c for c in queue if c not in owner)
        person = {types[seed]: seed}
        persons.append(person)
        owner[seed] = person
        for keypoint_type in breadth_first(types[seed], edges):
            eligible = []
            for c in range(len(types)):
                if types[c] != keypoint_type:
                    continue
                here = attraction(c, person.values(), scores, affinity)
                if c in owner and here <= attraction(
                        c, owner[c].values(), scores, affinity):
                    continue
                eligible.append((float(scores[c]) * here, here, c))
            if not eligible:
                continue
            _, pull, winner = max(eligible, key=lambda item: item[0])
            if pull < lam:
                continue
            if winner in owner:
                del owner[winner][keypoint_type]
            person[keypoint_type] = winner
            owner[winner] = person
    return [person for person in persons if person]


def table(persons, num_keypoints):
    rows = np.full((len(persons), num_keypoints), -1)
    for row, person in zip(rows, persons):
        for keypoint_type, candidate in person.items():
            row[keypoint_type] = candidate
    return rows


def random_problem(rng):
    """Candidates on few tokens, so that many share one.

    All numbers are multiples of powers of two: sums are exact in any order,
    and ties, of which there are many, are ties for everyone.
    """
    num_keypoints = int(rng.choice([1, 2, 5, 17]))
    size = int(rng.integers(0, 41))
    types = rng.integers(0, num_keypoints, size)
    scores = rng.integers(1, rng.choice([5, 129]), size) / 128
    num_tokens = int(rng.integers(1, 60))
    attention = rng.integers(0, rng.choice([4, 257]),
                             (num_tokens, num_tokens)) / 256
    tokens = rng.integers(0, num_tokens, size)
    affinity = attention[tokens][:, tokens]
    order = rng.permutation(num_keypoints)
    tree = [(int(rng.integers(0, k)), k) for k in range(1, num_keypoints)]
    loops = rng.integers(0, num_keypoints, (num_keypoints // 3, 2)).tolist()
    lam = rng.choice([1, 4, 32, 128]) / 4096
    return types, scores, affinity, lam, order, tree + loops


def test_equal_the_literal_reading(rng):
    mixed = weighed = 0
    for _ in range(200):
        types, scores, affinity, lam, order, edges = random_problem(rng)
        k = len(order)
        part = group_part_first(types, scores, affinity, order, lam)
        body = group_body_first(types, scores, affinity, edges, k, lam)
        assert_array_equal(part, table(
            literal_part_first(types, scores, affinity, lam, order), k))
        scored = group_part_first(types, scores, affinity, order, lam,
                                  'score_attraction')
        assert_array_equal(scored, table(
            literal_part_first(types, scores, affinity, lam, order, True), k))
        weighed += not np.array_equal(part, scored)
        assert_array_equal(body, table(
            literal_body_first(types, scores, affinity, lam, edges), k))
        for persons in (part, body):  # each candidate in one person, typed
            rows, columns = np.nonzero(persons >= 0)
            found = persons[rows, columns]
            assert sorted(found) == list(range(len(types)))
            assert_array_equal(types[found], columns)
        mixed += not np.array_equal(part, body)
    assert mixed > 50  # the two views do differ
    assert weighed > 20  # and so do the two matchings


# --- part-first, rule by rule -----------------------------------------------


def affinity_of(size, **pulls):
    """``c1f0=.5``: candidate 1's token attends to candidate 0's by .5."""
    affinity = np.zeros((size, size))
    for names, value in pulls.items():
        c, f = names[1:].split('f')
        affinity[int(c), int(f)] = value
    return affinity


def test_the_first_type_starts_persons_by_descending_score():
    persons = group_part_first([0, 0, 0, 0], [.2, .9, .2, .5], np.ones((4, 4)),
                               [0], .1)
    assert persons.tolist() == [[1], [3], [0], [2]]


def test_order_decides_which_type_is_first():
    args = [0, 0, 1], [.9, .8, .7], np.zeros((3, 3))
    assert group_part_first(*args, [0, 1], .1).tolist() == [[0, -1], [1, -1],
                                                            [-1, 2]]
    assert group_part_first(*args, [1, 0], .1).tolist() == [[-1, 2], [0, -1],
                                                            [1, -1]]


def test_a_match_joins_from_lambda_on():
    """Attraction is .5 * .25 = .125, the row being the candidate's."""
    args = [0, 1], [.5, 1.], affinity_of(2, c1f0=.25, c0f1=.75)
    assert group_part_first(*args, [0, 1], .125).tolist() == [[0, 1]]
    assert group_part_first(*args, [0, 1], .126).tolist() == [[0, -1],
                                                              [-1, 1]]


def test_attraction_is_the_mean_over_the_members_by_their_scores():
    """(.5 * .5 + .25 * .25) / 2 = .15625."""
    args = ([0, 1, 2], [.5, .25, 1.],
            affinity_of(3, c1f0=1., c2f0=.5, c2f1=.25))
    assert group_part_first(*args, [0, 1, 2], .15625).tolist() == [[0, 1, 2]]
    assert group_part_first(*args, [0, 1, 2], .157).tolist() == [[0, 1, -1],
                                                                 [-1, -1, 2]]


def test_the_sum_is_maximised_not_each_in_turn():
    """Greedy would take .9 and be left with .1: 1.0 against .8 + .8."""
    affinity = affinity_of(4, c2f0=.9, c2f1=.8, c3f0=.8, c3f1=.1)
    persons = group_part_first([0, 0, 1, 1], [1, 1, 1, 1], affinity, [0, 1],
                               .05)
    assert persons.tolist() == [[0, 3], [1, 2]]


def test_a_weak_match_counts_in_the_sum_and_still_starts_a_person():
    """Candidate 3's best partner is given to 2; what it gets is too weak."""
    affinity = affinity_of(4, c2f0=.9, c3f0=.8, c3f1=.04)
    persons = group_part_first([0, 0, 1, 1], [1, 1, 1, 1], affinity, [0, 1],
                               .05)
    assert persons.tolist() == [[0, 2], [1, -1], [-1, 3]]


def test_the_unmatched_start_persons_after_the_matches():
    affinity = affinity_of(4, c1f0=.2, c2f0=.9, c3f0=.1)
    persons = group_part_first([0, 1, 1, 1], [1, .4, .5, .6], affinity,
                               [0, 1], .05)
    assert persons.tolist() == [[0, 2], [-1, 3], [-1, 1]]


def test_later_types_join_persons_that_were_started_later():
    affinity = affinity_of(3, c2f1=.5)
    persons = group_part_first([0, 1, 2], [1, 1, 1], affinity, [0, 1, 2], .05)
    assert persons.tolist() == [[0, -1, -1], [-1, 1, 2]]


def test_scores_count_in_the_matching_if_asked():
    """.9 * .3 = .27 goes before .4 * .6 = .24, which is closer."""
    args = [0, 1, 1], [1, .9, .4], affinity_of(3, c1f0=.3, c2f0=.6), [0, 1]
    assert group_part_first(*args, .05).tolist() == [[0, 2], [-1, 1]]
    assert group_part_first(*args, .05, 'score_attraction').tolist() == [
        [0, 1], [-1, 2]]


def test_lambda_is_on_the_attraction_in_either_matching():
    """.3 is enough for lambda = .3, though .1 * .3 is not."""
    args = [0, 1], [1, .1], affinity_of(2, c1f0=.3), [0, 1]
    assert group_part_first(*args, .3, 'score_attraction').tolist() == [
        [0, 1]]
    assert group_part_first(*args, .31, 'score_attraction').tolist() == [
        [0, -1], [-1, 1]]


# --- body-first, rule by rule -----------------------------------------------

CHAIN = ((0, 1), (1, 2))


def test_seeds_are_drawn_by_score_until_all_are_claimed():
    persons = group_body_first([0, 1, 0, 2], [.3, .9, .5, .5],
                               np.zeros((4, 4)), CHAIN, 3, .1)
    assert persons.tolist() == [[-1, 1, -1], [2, -1, -1], [-1, -1, 3],
                                [0, -1, -1]]


def test_score_times_attraction_wins_and_lambda_is_on_the_attraction():
    """.9 * .3 = .27 beats .4 * .6 = .24, but .3 is below lambda = .5."""
    args = [0, 1, 1], [1, .9, .4], affinity_of(3, c1f0=.3, c2f0=.6)
    assert group_body_first(*args, ((0, 1), ), 2, .3).tolist() == [[0, 1],
                                                                   [-1, 2]]
    assert group_body_first(*args, ((0, 1), ), 2, .5).tolist() == [
        [0, -1], [-1, 1], [-1, 2]]


def test_a_stronger_attraction_takes_a_candidate_over():
    """1 * .3 to the first person, .8 * .5 to the second."""
    args = [0, 0, 1], [1, .8, .1], affinity_of(3, c2f0=.3, c2f1=.5)
    assert group_body_first(*args, ((0, 1), ), 2, .1).tolist() == [[0, -1],
                                                                   [1, 2]]


def test_an_equal_attraction_takes_nothing_over():
    args = [0, 0, 1], [1, .5, .1], affinity_of(3, c2f0=.25, c2f1=.5)
    assert group_body_first(*args, ((0, 1), ), 2, .1).tolist() == [[0, 2],
                                                                   [1, -1]]


def test_the_owner_counts_as_it_stands_now():
    """2 was drawn by 1 (.8 * .5) to the first person, and 1 has left it.

    What remains, 1 * .1, is less than the second person's mean of 0 and .4.
    """
    affinity = affinity_of(4, c1f0=.2, c1f3=.5, c2f0=.1, c2f1=.8)
    persons = group_body_first([0, 1, 2, 0], [1, .5, .5, .9], affinity, CHAIN,
                               3, .05)
    assert persons.tolist() == [[0, -1, -1], [3, 1, 2]]


def test_a_candidate_does_not_hold_itself_and_an_empty_person_is_dropped():
    """The seed 0 attends to itself only; alone it is held by nobody."""
    affinity = affinity_of(2, c0f0=1., c0f1=.4)
    persons = group_body_first([0, 1], [1, .5], affinity, ((0, 1), ), 2, .1)
    assert persons.tolist() == [[0, 1]]


# --- both -------------------------------------------------------------------


def part_first(types, scores, affinity, k=2):
    return group_part_first(types, scores, affinity, range(k), .1)


def body_first(types, scores, affinity, k=2):
    chain = [(i, i + 1) for i in range(k - 1)]
    return group_body_first(types, scores, affinity, chain, k, .1)


both = pytest.mark.parametrize('group', [part_first, body_first])


@both
def test_the_earlier_of_equals_wins(group):
    """Two equal candidates, one place."""
    affinity = affinity_of(3, c1f0=.5, c2f0=.5)
    assert group([0, 1, 1], [1, .5, .5], affinity).tolist() == [[0, 1],
                                                                [-1, 2]]


@both
def test_layout_and_type_of_the_affinity_do_not_matter(group, rng):
    types, scores = np.repeat(np.arange(4), 6), rng.random(24)
    affinity = rng.integers(0, 65, (24, 24)) / 64  # exact in float16
    expected = group(types, scores, affinity, 4)
    for given in (np.asfortranarray(affinity), affinity.astype(np.float32),
                  affinity.astype(np.float16), affinity.tolist(),
                  np.repeat(affinity, 2, axis=1)[:, ::2]):
        assert_array_equal(group(types, scores, given, 4), expected)
    assert not np.array_equal(group(types, scores, affinity.T, 4), expected)


@both
@pytest.mark.parametrize('k', [1, 3, 17])
def test_no_candidates_no_persons(group, k):
    assert group([], [], np.zeros((0, 0)), k).shape == (0, k)


@both
def test_arguments_are_left_alone(group, rng):
    types, scores = rng.integers(0, 2, 9), rng.random(9)
    affinity = rng.random((9, 9))
    before = [array.copy() for array in (types, scores, affinity)]
    group(types, scores, affinity)
    for array, copy in zip((types, scores, affinity), before):
        assert_array_equal(array, copy)


@both
@pytest.mark.parametrize('types, scores, size, words', [
    ([0, 2], [1, 1], 2, r'types must lie in \[0, 2\); got 0\.\.2'),
    ([-1, 0], [1, 1], 2, r'types must lie in \[0, 2\); got -1\.\.0'),
    ([0, 1], [1], 2, r'2 types need scores of shape \(2,\).* got \(1,\)'),
    ([0, 1], [1, 1], 3, r'shape \(2, 2\); got \(2,\) and \(3, 3\)'),
])
def test_what_does_not_fit_is_refused(group, types, scores, size, words):
    with pytest.raises(ValueError, match=words):
        group(types, scores, np.ones((size, size)))


@pytest.mark.parametrize('order', [[0, 0], [0, 2], [1, 2]])
def test_order_names_each_type_once(order):
    with pytest.raises(ValueError, match='must name each of the 2 keypoints'):
        group_part_first([0], [1], np.ones((1, 1)), order, .1)


@pytest.mark.parametrize('edges, words', [
    (((0, 3), ), r'edge \(0, 3\) names a keypoint that does not exist'),
    (((-1, 0), ), r'edge \(-1, 0\) names a keypoint that does not exist'),
    (((0, 1), ), r'does not reach keypoints \[2\] from 0: add `edges`'),
    ((), r'does not reach keypoints \[1, 2\] from 0'),
])
def test_the_graph_joins_the_keypoints_there_are(edges, words):
    with pytest.raises(ValueError, match=words):
        group_body_first([0], [1], np.ones((1, 1)), edges, 3, .1)

"""Candidates and their attention to each other -> persons.

Sections 2.4 and A.2 of "Attend to Who You Are" (SSA): the part-first view
(default) and the body-first view. Both take M candidates of K keypoint types
with scores and their M x M affinity, ``affinity[c, f]`` = how much the token
of candidate c attends to the token of candidate f, and return persons as rows
of candidate indices.

Decided where the paper is silent: the order of the types in the part-first
view, ties (the earlier candidate wins), and that a candidate never attracts
itself. Pure: arrays in, arrays out, numpy and scipy only.
"""
from collections import deque
from typing import List, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

MISSING = -1


def descending(scores: np.ndarray) -> np.ndarray:
    """Indices that sort ``scores`` from high to low, ties as they stand."""
    return np.argsort(-np.asarray(scores), kind='stable')


class _Attraction:
    """Attraction(c, S) of Eq. (5), kept up to date as skeletons change.

    ``sums[S, c]`` is the sum over the members f != c of S of s_f * A[c, f].
    Joining adds one column of the affinity, so that a look-up costs nothing.
    """

    def __init__(self, scores: np.ndarray, affinity: np.ndarray) -> None:
        self.pull = (affinity * scores).T.copy()  # pull[f, c] = s_f * A[c, f]
        np.fill_diagonal(self.pull, 0)
        self.sums = np.zeros_like(self.pull)
        self.counts = np.zeros(len(scores), dtype=np.int64)

    def join(self, skeletons: np.ndarray, members: np.ndarray) -> None:
        self.sums[skeletons] += self.pull[members]
        self.counts[skeletons] += 1

    def rebuild(self, skeleton: int, members: np.ndarray) -> None:
        """Start again from the members: subtracting would leave residues."""
        self.sums[skeleton] = self.pull[members].sum(axis=0)
        self.counts[skeleton] = len(members)

    def of(self, candidates: np.ndarray, skeletons: np.ndarray) -> np.ndarray:
        """Means over all members, candidates being no member themselves."""
        return self.sums[skeletons, candidates] / self.counts[skeletons]

    def without_self(self, candidates: np.ndarray,
                     owners: np.ndarray) -> np.ndarray:
        """Means over the other members; 0 where there are none."""
        return self.sums[owners, candidates] / np.maximum(
            self.counts[owners] - 1, 1)


def group_part_first(types: np.ndarray, scores: np.ndarray,
                     affinity: np.ndarray, order: Sequence[int],
                     threshold: float) -> np.ndarray:
    """Group candidates type by type with the Hungarian algorithm.

    Args:
        types: Keypoint type of each candidate, (M,) integers in [0, K).
        scores: Heatmap score of each candidate, (M,).
        affinity: Attention between the candidates' tokens, (M, M).
        order: All K types, in the order in which they are assigned.
        threshold: The least Attraction (lambda) with which a matched
            candidate joins; a weaker one starts its own skeleton.

    Returns:
        (P, K) candidate indices, ``MISSING`` = -1 where a person lacks the
        type; persons in the order in which they were started.

    Raises:
        ValueError: If the inputs do not fit each other, or ``order`` is no
            permutation of the types.
    """
    types, scores, affinity = _checked(types, scores, affinity, len(order))
    check_order(order, len(order))
    attraction = _Attraction(scores, affinity)
    persons = np.full((len(types), len(order)), MISSING)
    num_persons = 0
    ranked = descending(scores)
    for kind in order:
        candidates = ranked[types[ranked] == kind]
        target = np.full(len(candidates), MISSING)
        if num_persons and len(candidates):
            matrix = attraction.of(candidates[:, None],
                                   np.arange(num_persons)[None])
            rows, cols = linear_sum_assignment(matrix, maximize=True)
            joins = matrix[rows, cols] >= threshold
            target[rows[joins]] = cols[joins]
        starts = target == MISSING
        target[starts] = num_persons + np.arange(starts.sum())
        num_persons += starts.sum()
        persons[target, kind] = candidates
        attraction.join(target, candidates)
    return persons[:num_persons]


def group_body_first(types: np.ndarray, scores: np.ndarray,
                     affinity: np.ndarray, edges: Sequence[Tuple[int, int]],
                     num_types: int, threshold: float) -> np.ndarray:
    """Group candidates person by person along the kinematic graph.

    A candidate that an earlier skeleton claimed is taken over if it is drawn
    more strongly to the present one than to its owner as that stands now.

    Args:
        types: Keypoint type of each candidate, (M,) integers in [0, K).
        scores: Heatmap score of each candidate, (M,).
        affinity: Attention between the candidates' tokens, (M, M).
        edges: The kinematic graph (A.2), pairs of types; connected.
        num_types: K.
        threshold: The least Attraction (lambda) with which a candidate joins.

    Returns:
        (P, K) candidate indices, ``MISSING`` = -1 where a person lacks the
        type; persons in the order in which they were seeded, those that lost
        all their keypoints left out.

    Raises:
        ValueError: If the inputs do not fit each other, or the graph names a
            type that does not exist or leaves one out of reach.
    """
    types, scores, affinity = _checked(types, scores, affinity, num_types)
    paths = [search_path(edges, num_types, seed) for seed in range(num_types)]
    attraction = _Attraction(scores, affinity)
    of_type = [np.flatnonzero(types == kind) for kind in range(num_types)]
    owner = np.full(len(types), MISSING)
    persons: List[np.ndarray] = []
    for seed in descending(scores):
        if owner[seed] != MISSING:
            continue
        this = len(persons)
        persons.append(np.full(num_types, MISSING))
        _claim(seed, types[seed], this, persons, owner, attraction)
        for kind in paths[types[seed]]:
            best = _most_attracted(of_type[kind], this, scores, owner,
                                   attraction, threshold)
            if best != MISSING:
                _claim(best, kind, this, persons, owner, attraction)
    found = [p for p in persons if (p != MISSING).any()]
    return np.stack(found) if found else np.empty((0, num_types), np.int64)


def _most_attracted(candidates: np.ndarray, this: int, scores: np.ndarray,
                    owner: np.ndarray, attraction: _Attraction,
                    threshold: float) -> int:
    """The eligible candidate of largest s * Attraction, Eq. (5)."""
    if not len(candidates):
        return MISSING
    here = attraction.of(candidates, this)
    there = attraction.without_self(candidates, owner[candidates])
    eligible = (owner[candidates] == MISSING) | (here > there)
    if not eligible.any():
        return MISSING
    best = np.where(eligible, scores[candidates] * here, -np.inf).argmax()
    return candidates[best] if here[best] >= threshold else MISSING


def _claim(candidate: int, kind: int, this: int, persons: List[np.ndarray],
           owner: np.ndarray, attraction: _Attraction) -> None:
    """Give ``candidate`` to skeleton ``this``, taking it from its owner."""
    former = owner[candidate]
    if former != MISSING:
        persons[former][kind] = MISSING
        rest = persons[former][persons[former] != MISSING]
        attraction.rebuild(former, rest)
    persons[this][kind] = candidate
    owner[candidate] = this
    attraction.join(this, candidate)


def search_path(edges: Sequence[Tuple[int, int]], num_types: int,
                seed: int) -> List[int]:
    """The other types, breadth-first from ``seed``, neighbours ascending.

    Raises:
        ValueError: If an edge names a type outside [0, ``num_types``), or the
            graph does not connect all types.
    """
    neighbours = [set() for _ in range(num_types)]
    for a, b in edges:
        if not (0 <= a < num_types and 0 <= b < num_types):
            raise ValueError(
                f'edge ({a}, {b}) names a keypoint that does not exist: there '
                f'are {num_types}, numbered from 0; correct `edges`')
        neighbours[a].add(b)
        neighbours[b].add(a)
    path, queue = [seed], deque([seed])
    while queue:
        new = sorted(neighbours[queue.popleft()] - set(path))
        path += new
        queue += new
    if len(path) < num_types:
        lost = sorted(set(range(num_types)) - set(path))
        raise ValueError(f'the graph does not reach keypoints {lost} from '
                         f'{seed}: add edges that connect them')
    return path[1:]


def check_order(order: Sequence[int], num_types: int) -> None:
    """Raise ValueError unless ``order`` names each of the types once."""
    if sorted(order) != list(range(num_types)):
        raise ValueError(
            f'order {list(order)} must name each of the {num_types} keypoints '
            f'0..{num_types - 1} exactly once')


def _checked(types, scores, affinity, num_types):
    """The inputs as arrays of int64 and float64, or a ValueError."""
    types = np.asarray(types, dtype=np.int64)
    scores = np.asarray(scores, dtype=np.float64)
    affinity = np.asarray(affinity, dtype=np.float64)
    m = len(types)
    if scores.shape != (m, ) or affinity.shape != (m, m):
        raise ValueError(
            f'{m} types need scores of shape ({m},) and an affinity of shape '
            f'({m}, {m}); got {scores.shape} and {affinity.shape}')
    if m and not (0 <= types.min() and types.max() < num_types):
        raise ValueError(f'types must lie in [0, {num_types}); got '
                         f'{types.min()}..{types.max()}')
    return types, scores, affinity

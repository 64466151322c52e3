"""Candidates and their attention to each other -> persons.

Sections 2.4 and A.2 of "Attend to Who You Are" (SSA): the part-first view
(default) and the body-first view. Both take M candidates of K keypoint types
with scores and their M x M affinity, ``affinity[c, f]`` = how much the token
of candidate c attends to the token of candidate f, and return persons as rows
of candidate indices.

Decided where the paper is silent: the order of the types in the part-first
view, ties (the earlier candidate wins), and that a candidate never attracts
itself. Pure: arrays in, arrays out; numpy and SciPy only.
"""
from typing import List, Sequence, Tuple

import numpy as np

from .graph import check_order, search_path

MISSING = -1


def descending(scores: np.ndarray) -> np.ndarray:
    """Indices that sort ``scores`` from high to low, ties as they stand."""
    return np.argsort(-np.asarray(scores), kind='stable')


def group_part_first(types: np.ndarray, scores: np.ndarray,
                     affinity: np.ndarray, order: Sequence[int],
                     threshold: float,
                     matching: str = 'attraction') -> np.ndarray:
    """Group candidates type by type with the Hungarian algorithm.

    Args:
        types: Keypoint type of each candidate, (M,) integers in [0, K).
        scores: Heatmap score of each candidate, (M,).
        affinity: Attention between the candidates' tokens, (M, M).
        order: All K types, in the order in which they are assigned.
        threshold: The least Attraction (lambda) with which a matched
            candidate joins; a weaker one starts its own skeleton.
        matching: What the sum of is maximised: 'attraction', as the paper
            has it, or 'score_attraction', s_c * Attraction(c, S). A strong
            candidate then goes before a weak one that is a little closer.

    Returns:
        (P, K) candidate indices, ``MISSING`` = -1 where a person lacks the
        type; persons in the order in which they were started.

    Raises:
        ValueError: If the inputs do not fit each other, or ``order`` is no
            permutation of the types.
    """
    # slow to import, needed only here
    from scipy.optimize import linear_sum_assignment
    types, scores, attended = _checked(types, scores, affinity, len(order))
    check_order(order, len(order))
    persons = np.full((len(types), len(order)), MISSING)
    # Running sums of Eq. (5): sums[S, c] is s_f * A[c, f] over the members f
    # of skeleton S. Each member is added once, when it joins: with many false
    # candidates there are hundreds of skeletons to sum for every type.
    sums = np.zeros(attended.shape)
    sizes = np.zeros(len(types), np.int64)
    num_persons = 0
    ranked = descending(scores)
    for kind in order:
        candidates = ranked[types[ranked] == kind]
        target = np.full(len(candidates), MISSING)
        if num_persons and len(candidates):
            # Attraction of Eq. (5), candidates x skeletons
            attraction = sums[:num_persons, candidates].T / sizes[:num_persons]
            gain = attraction
            if matching == 'score_attraction':
                gain = scores[candidates, None] * attraction
            rows, cols = linear_sum_assignment(gain, maximize=True)
            joins = attraction[rows, cols] >= threshold
            target[rows[joins]] = cols[joins]
        starts = target == MISSING
        target[starts] = num_persons + np.arange(starts.sum())
        num_persons += starts.sum()
        persons[target, kind] = candidates
        sizes[target] += 1
        sums[target] += _pulls(candidates, scores, attended)
    return persons[:num_persons]


def _pulls(members: np.ndarray, scores: np.ndarray,
           attended: np.ndarray) -> np.ndarray:
    """What members f add to sums of Eq. (5): s_f * A[c, f] for every c.

    Args:
        members: (n,) candidate indices.
        scores: (M,).
        attended: (M, C), the affinity transposed, or some columns of it.

    Returns:
        (n, C) float64.
    """
    pulls = attended[members].astype(np.float64)
    pulls *= scores[members, None]
    return pulls


def group_body_first(types: np.ndarray, scores: np.ndarray,
                     affinity: np.ndarray, edges: Sequence[Tuple[int, int]],
                     num_types: int, threshold: float) -> np.ndarray:
    """Group candidates person by person along the kinematic graph.

    A candidate that an earlier skeleton claimed is taken over if its
    Attraction to the present one is greater than that to its owner now.

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
    types, scores, attended = _checked(types, scores, affinity, num_types)
    paths = [search_path(edges, num_types, seed) for seed in range(num_types)]
    of_type = [np.flatnonzero(types == kind) for kind in range(num_types)]
    alone = _attract_nobody(of_type, scores, attended, threshold)
    claims = _Claims(scores, attended, num_types)
    for seed in descending(scores):
        if claims.owner[seed] != MISSING:
            continue
        this = claims.start(seed, types[seed])
        if alone[seed]:
            continue
        sums, size = _pulls(np.array([seed]), scores, attended)[0], 1
        for kind in paths[types[seed]]:
            best = claims.most_attracted(of_type[kind], sums, size, threshold)
            if best != MISSING:
                claims.claim(best, kind, this)
                sums += _pulls(np.array([best]), scores, attended)[0]
                size += 1
        claims.update_held(this)
    found = claims.persons[:claims.num_persons]
    return found[(found != MISSING).any(axis=1)]


def _attract_nobody(of_type: List[np.ndarray], scores: np.ndarray,
                    attended: np.ndarray, threshold: float) -> np.ndarray:
    """(M,) whether no candidate of another type would join this one alone.

    Most false candidates are like that: their skeletons need no search.
    """
    alone = np.ones(len(scores), bool)
    for candidates in of_type:
        joins = _pulls(candidates, scores, attended) >= threshold
        joins[:, candidates] = False
        alone[candidates] = ~joins.any(axis=1)
    return alone


class _Claims:
    """Who owns which candidate, as skeletons are built one by one.

    Attributes:
        persons: (M, K) candidate indices of the skeletons, -1 where missing;
            the first ``num_persons`` count.
        owner: (M,) the skeleton that has claimed a candidate, or -1.
        held: (M,) Attraction to the owner's other members; -inf where there
            is no owner. It is not computed for the skeleton that is being
            built, and not needed: each type is searched only once.
    """

    def __init__(self, scores: np.ndarray, attended: np.ndarray,
                 num_types: int) -> None:
        self.scores, self.attended = scores, attended
        self.persons = np.full((len(scores), num_types), MISSING)
        self.num_persons = 0
        self.owner = np.full(len(scores), MISSING)
        self.held = np.full(len(scores), -np.inf)

    def start(self, seed: int, kind: int) -> int:
        """Start a skeleton with a candidate that no other one owns."""
        this = self.num_persons
        self.num_persons += 1
        self.persons[this, kind] = seed
        self.owner[seed], self.held[seed] = this, 0
        return this

    def most_attracted(self, candidates: np.ndarray, sums: np.ndarray,
                       size: int, threshold: float) -> int:
        """The eligible candidate of largest s * Attraction, Eq. (5).

        Args:
            candidates: All of one type, by index.
            sums: (M,) of s_f * A[c, f] over the skeleton's members f.
            size: Their number.
            threshold: The least Attraction (lambda).
        """
        here = sums[candidates] / size
        eligible = here > self.held[candidates]
        if not eligible.any():
            return MISSING
        gain = np.where(eligible, self.scores[candidates] * here, -np.inf)
        best = gain.argmax()
        return candidates[best] if here[best] >= threshold else MISSING

    def claim(self, candidate: int, kind: int, this: int) -> None:
        """Give ``candidate`` to skeleton ``this``, taking it from another."""
        former = self.owner[candidate]
        if former != MISSING:
            self.persons[former, kind] = MISSING
            self.update_held(former)
        self.persons[this, kind] = candidate
        self.owner[candidate] = this

    def update_held(self, skeleton: int) -> None:
        """Update ``held`` of a skeleton's members."""
        members = self.persons[skeleton]
        members = members[members != MISSING]
        pulls = self.attended[np.ix_(members, members)].astype(np.float64)
        pulls *= self.scores[members, None]
        np.fill_diagonal(pulls, 0)
        self.held[members] = pulls.sum(axis=0) / max(len(members) - 1, 1)


def _checked(types, scores, affinity, num_types):
    """Types (int64), scores (float64) and the affinity transposed.

    Transposed, ``attended[f]`` holds how much all candidates attend to f, in
    one piece of memory.
    """
    types = np.asarray(types, dtype=np.int64)
    scores = np.asarray(scores, dtype=np.float64)
    affinity = np.asarray(affinity)
    m = len(types)
    if scores.shape != (m, ) or affinity.shape != (m, m):
        raise ValueError(
            f'{m} types need scores of shape ({m},) and an affinity of shape '
            f'({m}, {m}); got {scores.shape} and {affinity.shape}')
    if m and not (0 <= types.min() and types.max() < num_types):
        raise ValueError(f'types must lie in [0, {num_types}); got '
                         f'{types.min()}..{types.max()}')
    if affinity.dtype != np.float32:
        affinity = affinity.astype(np.float64)
    # costs nothing where columns were taken from attention rows
    return types, scores, np.ascontiguousarray(affinity.T)

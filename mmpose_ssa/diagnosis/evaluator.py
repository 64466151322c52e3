"""Where the errors of multi-person keypoint estimation are.

After Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance
pose estimation", ICCV 2017, and their published tool (coco-analyze), whose
figures these are. Pure: numpy and pycocotools only.

A person found is matched with an annotated one at OKS 0.1, as COCO matches.
Of each of its labelled keypoints, KS is the similarity with every point of
the same type, and of the opposite side, of all annotated persons:

- good: closest to its own point, KS at least 0.85;
- jitter: closest to its own point, KS at least 0.5;
- inversion: KS at least 0.5, closest to the same person's point of the
  opposite side;
- swap: KS at least 0.5, closest to a point of another person;
- miss: no KS reaches 0.5.

Also: the order of the scores, persons found where none is (false positives)
and persons not found (false negatives). What a kind of error costs is the AP
that mending it gains.

As the published tool, and worth knowing:

- Only persons of at least 32^2 pixels count for AP, so it can differ from
  COCO's; ``area_range=(0, 1e10)`` is COCO's.
- Mending moves a keypoint to KS 0.85 (jitter), 0.5 (miss) or the KS that it
  has at the wrong point (inversion, swap), but with distances of half the
  length that OKS gives these KS: its KS becomes the fourth root.
- The area of a result without ``bbox`` is, as in COCO's evaluation, the extent
  of its keypoints, the (0, 0) of missing ones included: a small false positive
  with missing keypoints may count as a large one. Write ``bbox``.

Deviations from the published tool:

- Keypoints (0, 0, 0), which bottom-up methods fill in where they found none,
  are missing, not predictions: always a miss, even where somebody stands in
  the corner, and not alike in the suppression of duplicates.
- KS 0.85 exactly is good; there it is of no kind at all.
- False positives and negatives count only where COCO counts them; there also
  crowds, persons without labelled keypoints and those of other areas, which
  do not matter for AP.
- Where nothing is matched at some threshold, mending the false negatives
  gives AP 1 as elsewhere; there the undefined figure enters the mean as -1.
- Any number of keypoints, and a single range of areas at a time.
"""
from typing import Dict, Iterable, List, NamedTuple, Tuple

import numpy as np

from .errors import GOOD, KINDS, Verdict, judge, keypoint_similarities, mend
from .oks import OKS_THRESHOLDS, OksEvaluation
from .results import Truth

# In the order in which they are mended.
ERRORS = ('miss', 'swap', 'inversion', 'jitter', 'score', 'false positive',
          'false negative')

AREA_RANGE = (32**2, 1e5**2)
NMS_VARIANCE = .5  # Gaussian soft-NMS


class Diagnosis(NamedTuple):
    """The errors of some results.

    Attributes:
        names: K keypoint names.
        counts: (K, 5) labelled keypoints of matched persons by ``KINDS``.
        matched: Per matched person ``result``, its place in the results,
            ``annotation_id`` and ``errors``, kind by keypoint name.
        false_positives: (T,) results without a match at each threshold.
        false_negatives: (T,) annotated persons without a match.
        background: Places in the results without a match at all thresholds.
        overlooked: Numbers of annotations without a match at all thresholds.
        ap: AP, mean over the OKS thresholds 0.5, 0.55 ... 0.95.
        gains: Error -> AP gained by mending it alone; the false negatives'
            is what is left once the false positives are mended.
        cumulative: Error -> AP after it and all before it are mended.
    """
    names: Tuple[str, ...]
    counts: np.ndarray
    matched: List[dict]
    false_positives: np.ndarray
    false_negatives: np.ndarray
    background: List[int]
    overlooked: List[int]
    ap: float
    gains: Dict[str, float]
    cumulative: Dict[str, float]

    @property
    def shares(self) -> Dict[str, float]:
        """Kind -> share of the labelled keypoints of matched persons.

        They add up to 1; where no person is matched, all are 0.
        """
        totals = self.counts.sum(axis=0)
        return dict(zip(KINDS, (totals / max(totals.sum(), 1)).tolist()))


def diagnose(truth: Truth, persons: List[dict],
             area_range: Tuple[float, float] = AREA_RANGE) -> Diagnosis:
    """Find the errors, and what each kind of them costs.

    Args:
        truth: From :func:`~mmpose_ssa.keypoint_results.read_truth`.
        persons: From :func:`~mmpose_ssa.keypoint_results.read_results`.
        area_range: Least and largest area in square image pixels that count
            for AP; keypoints are judged wherever persons are matched.

    Raises:
        ValueError: If no person of these areas is annotated.
    """
    verdicts = judge(truth, persons, area_range)
    evaluation = OksEvaluation(truth, persons, area_range)
    extra = evaluation.false_positives()
    unseen = evaluation.false_negatives()
    ap = evaluation.ap()
    places = {person['id']: person['index'] for person in persons}
    annotations = truth.coco.anns
    return Diagnosis(
        names=truth.names,
        counts=_counts(verdicts.values(), len(truth.names)),
        matched=[
            dict(result=places[person],
                 annotation_id=annotations[v.annotation]['original_id'],
                 errors={truth.names[k]: KINDS[v.kinds[k]]
                         for k in np.flatnonzero(v.kinds > GOOD)})
            for person, v in verdicts.items()
        ],
        false_positives=_sum(extra.values()),
        false_negatives=_sum(unseen.values()),
        background=sorted(places[p] for p, t in extra.items() if t.all()),
        overlooked=sorted(annotations[a]['original_id']
                          for a, t in unseen.items() if t.all()),
        ap=ap,
        gains=_gains(truth, persons, verdicts, evaluation, area_range),
        cumulative=_cumulative(truth, persons, verdicts, area_range))


# --- scores -----------------------------------------------------------------


def rescore(persons: List[dict], evaluation: OksEvaluation,
            sigmas: np.ndarray) -> List[dict]:
    """Copies of the persons with the scores that order them best.

    The score is the largest OKS that a person reaches, lowered for the
    duplicates of better ones.

    Args:
        persons: As evaluated.
        evaluation: Theirs.
        sigmas: (K,) OKS's standard deviations.
    """
    by_number = {person['id']: person for person in persons}
    scores: Dict[int, float] = {}
    for numbers, best_oks in evaluation.best_oks():
        points = [by_number[n]['keypoints'] for n in numbers]
        points = np.array(points, float).reshape(-1, len(sigmas), 3)
        kept = suppress_duplicates(points, best_oks, sigmas)
        scores.update(zip(numbers, kept.tolist()))
    return [dict(person, score=scores[person['id']]) for person in persons]


def suppress_duplicates(points: np.ndarray, scores: np.ndarray,
                        sigmas: np.ndarray) -> np.ndarray:
    """(P,) scores after soft-NMS by the similarity of persons.

    Args:
        points: (P, K, 3) keypoints x, y in image pixels and score; all zero
            where missing.
        scores: (P,) scores before.
        sigmas: (K,) OKS's standard deviations.
    """
    scores = np.array(scores, float)
    waiting = list(range(len(scores)))
    while waiting:
        waiting.sort(key=lambda p: -scores[p])
        best = waiting.pop(0)
        for other in waiting:
            oks = _mutual_oks(points[best], points[other], sigmas)
            scores[other] *= np.exp(-oks**2 / NMS_VARIANCE)
    return scores


def _mutual_oks(one: np.ndarray, other: np.ndarray, sigmas: np.ndarray
                ) -> float:
    """OKS of two found persons over the keypoints that either has."""
    found = np.stack([one, other]).any(axis=-1)
    area = np.mean([_extent(one[found[0]]), _extent(other[found[1]])])
    similarity = keypoint_similarities(
        one, np.dstack([other[None, :, :2], found.all(axis=0)]),
        np.array([area]), sigmas)
    return similarity.clip(0).sum() / max(found.any(axis=0).sum(), 1)


def _extent(points: np.ndarray) -> float:
    """Area of the box around (n, 3) keypoints, square image pixels."""
    return np.ptp(points[:, :2], axis=0).prod() if len(points) else 0.


# --- what it costs ----------------------------------------------------------


def _gains(truth: Truth, persons: List[dict], verdicts: Dict[int, Verdict],
           evaluation: OksEvaluation, area_range: Tuple[float, float]
           ) -> Dict[str, float]:
    """AP gained by mending each kind alone."""
    ap = evaluation.ap()
    changed = {error: mend(persons, verdicts, [error]) for error in ERRORS[:4]}
    changed['score'] = rescore(persons, evaluation, truth.sigmas)
    gains = {error: OksEvaluation(truth, better, area_range).ap() - ap
             for error, better in changed.items()}
    clean = evaluation.ap(without_false_positives=True)
    # nobody is overlooked any more, nothing is wrong: AP 1
    return {**gains, 'false positive': clean - ap, 'false negative': 1 - clean}


def _cumulative(truth: Truth, persons: List[dict],
                verdicts: Dict[int, Verdict],
                area_range: Tuple[float, float]) -> Dict[str, float]:
    """AP after mending each kind and all before it."""
    after = {}
    for last, error in enumerate(ERRORS[:4], start=1):
        better = mend(persons, verdicts, ERRORS[:last])
        evaluation = OksEvaluation(truth, better, area_range)
        after[error] = evaluation.ap()
    better = rescore(better, evaluation, truth.sigmas)
    evaluation = OksEvaluation(truth, better, area_range)
    return {**after, 'score': evaluation.ap(),
            'false positive': evaluation.ap(without_false_positives=True),
            'false negative': 1.}


def _counts(verdicts: Iterable[Verdict], num_keypoints: int) -> np.ndarray:
    """(K, 5) keypoints of each kind."""
    kinds = np.array([v.kinds for v in verdicts]).reshape(-1, num_keypoints)
    return np.stack([(kinds == kind).sum(axis=0)
                     for kind in range(len(KINDS))], axis=1)


def _sum(flags: Iterable[np.ndarray]) -> np.ndarray:
    """(T,) how many flags are set at each threshold."""
    return np.sum([np.zeros(len(OKS_THRESHOLDS), int), *flags], axis=0)

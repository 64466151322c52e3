"""Error diagnosis of multi-person keypoint results.

After Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance
pose estimation", ICCV 2017, and their published tool (coco-analyze), whose
numbers these are. Pure: numpy and pycocotools only.

A person found is matched with an annotated one at OKS 0.1, as COCO matches.
Of each of its labelled keypoints, KS is the similarity with every point of
the same type, and of the opposite side, of all annotated persons:

- good: closest to its own point, KS at least 0.85;
- jitter: closest to its own point, KS at least 0.5;
- inversion: KS at least 0.5, closest to the same person's point of the
  opposite side;
- swap: KS at least 0.5, closest to a point of another person;
- miss: no KS reaches 0.5.

Further errors are the order of the scores, persons found where nobody is
(false positives) and persons not found (false negatives). What an error costs
is the AP that fixing it gains.

As in the published tool, and worth knowing:

- Only persons of at least 32^2 pixels count for AP, so it can differ from
  COCO's; ``area_range=(0, 1e10)`` is COCO's.
- A fix moves a keypoint to KS 0.85 (jitter), 0.5 (miss) or the KS that it
  has at the wrong point (inversion, swap), but by half the distance that OKS
  gives these KS: its KS becomes the fourth root.
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
- Where nothing is matched at some threshold, fixing the false negatives
  gives AP 1 as elsewhere; there the undefined value enters the mean as -1.
- Any number of keypoints, and a single range of areas at a time.
"""
from functools import partial
from typing import (Callable, Dict, Iterable, List, NamedTuple, Optional,
                    Sequence, Tuple)

import numpy as np

from ..decoding.keypoints import keypoint_similarity
from .oks import OKS_THRESHOLDS, OksEvaluation
from .results import Truth, read_results, read_truth

KINDS = ('good', 'jitter', 'inversion', 'swap', 'miss')
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
UNLABELLED = -1

MATCH_OKS = .1
GOOD_KS = .85
JITTER_KS = .5
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
        overlooked: Ids of annotations without a match at all thresholds.
        ap: AP, mean over the OKS thresholds 0.5, 0.55 ... 0.95.
        gains: Error -> AP gained by fixing it alone; the false negatives' is
            what is left once the false positives are fixed.
        cumulative: Error -> AP after it and all before it are fixed.
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


def diagnose(annotations: dict,
             results: List[dict],
             area_range: Tuple[float, float] = AREA_RANGE,
             sigmas: Optional[Sequence[float]] = None) -> Diagnosis:
    """Find the errors of keypoint results, and what each kind costs.

    Args:
        annotations: What a COCO annotation file holds.
        results: What a COCO keypoint result file holds.
        area_range: Least and largest area in square image pixels that count
            for AP; keypoints are judged wherever persons are matched.
        sigmas: (K,) OKS's standard deviations. Defaults to None: those of
            COCO and CrowdPose, by keypoint name.

    Raises:
        ValueError: If annotations or results are faulty or of different data
            sets, or no person of these areas is annotated.
    """
    truth = read_truth(annotations, sigmas)
    return Evaluator(truth, read_results(results, truth),
                     area_range).diagnosis()


class Evaluator:
    """The errors of some persons, and the AP that fixing them gives.

    Args:
        truth: From :func:`~mmpose_ssa.diagnosis.results.read_truth`.
        persons: From :func:`~mmpose_ssa.diagnosis.results.read_results`.
        area_range: As :func:`diagnose` takes it.

    Attributes:
        verdicts: Person -> what is wrong with it, of those matched.
    """

    def __init__(self, truth: Truth, persons: List[dict],
                 area_range: Tuple[float, float] = AREA_RANGE) -> None:
        if not 0 <= area_range[0] < area_range[1]:
            raise ValueError(f'area_range is {area_range}: give the least and '
                             'the largest area in square pixels')
        self.truth = truth
        self.verdicts = judge(truth, persons, area_range)
        self._evaluations: Dict[Tuple[str, ...], OksEvaluation] = {
            (): OksEvaluation(truth, persons, area_range)}

    def after(self, *errors: str) -> OksEvaluation:
        """Evaluate with these errors of ``FIXES`` fixed, one by one."""
        if errors not in self._evaluations:
            *earlier, last = errors
            self._evaluations[errors] = FIXES[last](self.after(*earlier),
                                                    self.verdicts)
        return self._evaluations[errors]

    def ap_after(self, *errors: str) -> float:
        """Return AP with these errors of ``ERRORS`` fixed."""
        if 'false negative' in errors:
            return 1.  # nobody is overlooked, and what is wrong was fixed
        return self.after(*errors).ap()

    def diagnosis(self) -> Diagnosis:
        """Return all there is to say.

        Raises:
            ValueError: If no person of these areas is annotated.
        """
        ap, before = self.ap_after(), self.after()
        gains = {error: self.ap_after(error) - ap for error in FIXES}
        gains['false negative'] = 1 - self.ap_after('false positive')
        extra, unseen = before.false_positives(), before.false_negatives()
        places = {person['id']: person['index'] for person in before.persons}
        annotations, names = self.truth.coco.anns, self.truth.names
        return Diagnosis(
            names=names,
            counts=_counts(self.verdicts.values(), len(names)),
            matched=[
                dict(result=places[person],
                     annotation_id=annotations[v.annotation]['original_id'],
                     errors={names[k]: KINDS[v.kinds[k]]
                             for k in np.flatnonzero(v.kinds > GOOD)})
                for person, v in self.verdicts.items()
            ],
            false_positives=_sum(extra.values()),
            false_negatives=_sum(unseen.values()),
            background=sorted(places[p] for p, t in extra.items() if t.all()),
            overlooked=sorted(annotations[a]['original_id']
                              for a, t in unseen.items() if t.all()),
            ap=ap,
            gains=gains,
            cumulative={error: self.ap_after(*ERRORS[:n])
                        for n, error in enumerate(ERRORS, start=1)})


def _counts(verdicts: Iterable['Verdict'], num_keypoints: int) -> np.ndarray:
    """(K, 5) keypoints of each kind."""
    kinds = np.array([v.kinds for v in verdicts]).reshape(-1, num_keypoints)
    return np.stack([(kinds == kind).sum(axis=0)
                     for kind in range(len(KINDS))], axis=1)


def _sum(flags: Iterable[np.ndarray]) -> np.ndarray:
    """(T,) how many flags are set at each threshold."""
    return np.sum([np.zeros(len(OKS_THRESHOLDS), int), *flags], axis=0)


# --- what is wrong ----------------------------------------------------------


class Verdict(NamedTuple):
    """What is wrong with one matched person.

    Attributes:
        annotation: Number of the annotated person.
        kinds: (K,) index into ``KINDS``, -1 where nothing is labelled.
        fixed: (K, 2) where a fix moves the keypoints, image pixels.
    """
    annotation: int
    kinds: np.ndarray
    fixed: np.ndarray


def judge(truth: Truth, persons: List[dict],
          area_range: Tuple[float, float]) -> Dict[int, Verdict]:
    """Person -> verdict, of those matched with a person with keypoints."""
    evaluation = OksEvaluation(truth, persons, area_range, [MATCH_OKS])
    matches, verdicts = evaluation.matches(), {}
    for person in persons:
        own = truth.coco.anns.get(matches.get(person['id']))
        if own is None or not own['num_keypoints']:
            continue
        others = [ann for ann in truth.coco.imgToAnns[person['image_id']]
                  if ann is not own]
        points, *truths = (np.reshape(one['keypoints'], (-1, 3)).astype(float)
                           for one in (person, own, *others))
        areas = np.array([ann['area'] for ann in (own, *others)], float)
        verdicts[person['id']] = Verdict(own['id'], *classify(
            points, np.array(truths), areas, truth.sigmas, truth.flip))
    return verdicts


def classify(points: np.ndarray, truths: np.ndarray, areas: np.ndarray,
             sigmas: np.ndarray, flip: np.ndarray
             ) -> Tuple[np.ndarray, np.ndarray]:
    """Judge the keypoints of one person.

    Args:
        points: (K, 3) found keypoints x, y in image pixels and score; all
            zero where missing.
        truths: (N, K, 3) annotated keypoints x, y in image pixels and
            visibility of all persons, the person itself first.
        areas: (N,) their areas in square image pixels.
        sigmas: (K,) OKS's standard deviations.
        flip: (K,) type of the point on the other side.

    Returns:
        (K,) kinds and (K, 2) fixed locations, see :class:`Verdict`.
    """
    # (2N, K): every person's point of the type, then of its opposite side
    candidates = np.concatenate([truths, truths[:, flip]])
    similarity = np.where(
        candidates[..., 2] > 0, keypoint_similarity(
            points[:, :2], candidates[..., :2],
            np.tile(areas, 2) + np.spacing(1), sigmas), -1)
    closest, best = similarity.argmax(axis=0), similarity.max(axis=0)
    kinds = np.select(
        [truths[0, :, 2] <= 0, (best < JITTER_KS) | ~points.any(axis=1),
         closest == len(truths), closest > 0, best < GOOD_KS],
        [UNLABELLED, MISS, INVERSION, SWAP, JITTER], GOOD)
    target = np.select([kinds == MISS, kinds == JITTER], [JITTER_KS, GOOD_KS],
                       np.clip(best, JITTER_KS, 1))
    # half the distance at which KS is the target, as the published tool
    distance = sigmas * np.sqrt(-2 * areas[0] * np.log(target))
    moved = truths[0, :, :2] + np.stack([distance, 0 * distance], axis=1)
    return kinds, np.where(kinds[:, None] > GOOD, moved, points[:, :2])


# --- how it is fixed --------------------------------------------------------


def fix_keypoints(before: OksEvaluation, verdicts: Dict[int, Verdict],
                  kind: int) -> OksEvaluation:
    """Move the keypoints that have this kind of error."""
    persons = []
    for person in before.persons:
        if person['id'] in verdicts:
            verdict = verdicts[person['id']]
            points = np.array(person['keypoints'], float).reshape(-1, 3)
            wrong = verdict.kinds == kind
            points[wrong, :2] = verdict.fixed[wrong]
            person = dict(person, keypoints=points.ravel().tolist())
        persons.append(person)
    return before.of(persons)


def fix_scores(before: OksEvaluation, _: Dict[int, Verdict]) -> OksEvaluation:
    """Give each person the score that orders them best.

    That is the largest OKS that it reaches, lowered for the duplicates of
    better ones.
    """
    sigmas = before.truth.sigmas
    by_number = {person['id']: person for person in before.persons}
    scores: Dict[int, float] = {}
    for numbers, best_oks in before.best_oks():
        points = np.array([by_number[n]['keypoints'] for n in numbers],
                          float).reshape(-1, len(sigmas), 3)
        kept = suppress_duplicates(points, best_oks, sigmas)
        scores.update(zip(numbers, kept.tolist()))
    return before.of([dict(person, score=scores[person['id']])
                      for person in before.persons])


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
    found = np.any(np.stack([one, other]), axis=-1)
    area = np.mean([_extent(one[found[0]]), _extent(other[found[1]])])
    similarity = keypoint_similarity(one[:, :2], other[:, :2],
                                     area + np.spacing(1), sigmas)
    return (similarity * found.all(axis=0)).sum() / max(
        found.any(axis=0).sum(), 1)


def _extent(points: np.ndarray) -> float:
    """Area of the box around (n, 3) keypoints, square image pixels."""
    return np.ptp(points[:, :2], axis=0).prod() if len(points) else 0.


# Each fix takes an evaluation and the verdicts and returns an evaluation.
FIXES: Dict[str, Callable[..., OksEvaluation]] = {
    'miss': partial(fix_keypoints, kind=MISS),
    'swap': partial(fix_keypoints, kind=SWAP),
    'inversion': partial(fix_keypoints, kind=INVERSION),
    'jitter': partial(fix_keypoints, kind=JITTER),
    'score': fix_scores,
    'false positive': lambda before, _: before.without_false_positives(),
}

# In the order in which they are fixed; after the last AP is 1.
ERRORS = (*FIXES, 'false negative')

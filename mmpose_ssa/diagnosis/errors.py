"""Jitter, inversion, swap, miss: the errors of keypoints, and their mending.

The definitions are Ronchi and Perona's, see :mod:`.evaluator`,
which also lists the deviations. Pure: numpy and pycocotools only.
"""
from typing import Dict, Iterable, List, NamedTuple, Tuple

import numpy as np

from .oks import OksEvaluation
from .results import Truth

KINDS = ('good', 'jitter', 'inversion', 'swap', 'miss')
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
UNLABELLED = -1

MATCH_OKS = .1
GOOD_KS = .85
JITTER_KS = .5


class Verdict(NamedTuple):
    """What is wrong with one matched person.

    Attributes:
        annotation: Number of the annotated person.
        kinds: (K,) index into ``KINDS``, -1 where nothing is labelled.
        mended: (K, 2) where mending moves the keypoints, image pixels.
    """
    annotation: int
    kinds: np.ndarray
    mended: np.ndarray


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
        (K,) kinds and (K, 2) mended locations, see :class:`Verdict`.
    """
    candidates = np.concatenate([truths, truths[:, flip]])
    similarity = keypoint_similarities(
        points, candidates, np.tile(areas, 2), sigmas)
    closest, best = similarity.argmax(axis=0), similarity.max(axis=0)
    kinds = np.select(
        [truths[0, :, 2] <= 0, (best < JITTER_KS) | ~points.any(axis=1),
         closest == len(truths), closest > 0, best < GOOD_KS],
        [UNLABELLED, MISS, INVERSION, SWAP, JITTER], GOOD)
    target = np.select([kinds == MISS, kinds == JITTER], [JITTER_KS, GOOD_KS],
                       np.clip(best, JITTER_KS, 1))
    distance = sigmas * np.sqrt(-2 * areas[0] * np.log(target))
    moved = truths[0, :, :2] + np.stack([distance, 0 * distance], axis=1)
    return kinds, np.where(kinds[:, None] > GOOD, moved, points[:, :2])


def keypoint_similarities(points: np.ndarray, truths: np.ndarray,
                          areas: np.ndarray, sigmas: np.ndarray
                          ) -> np.ndarray:
    """(N, K) terms of OKS, -1 where nothing is labelled.

    Args:
        points: (K, 2 or more) locations in image pixels.
        truths: (N, K, 3) annotated keypoints x, y in image pixels and
            visibility.
        areas: (N,) areas in square image pixels.
        sigmas: (K,) OKS's standard deviations.
    """
    squared = np.square(truths[..., :2] - points[:, :2]).sum(axis=-1)
    scale = 2 * (areas[:, None] + np.spacing(1)) * np.square(2 * sigmas)
    return np.where(truths[..., 2] > 0, np.exp(-squared / scale), -1)


def mend(persons: List[dict], verdicts: Dict[int, Verdict],
         errors: Iterable[str]) -> List[dict]:
    """Copies of the persons, the keypoints with these errors moved."""
    kinds = [KINDS.index(error) for error in errors]
    mended = []
    for person in persons:
        if person['id'] in verdicts:
            verdict = verdicts[person['id']]
            points = np.array(person['keypoints'], float).reshape(-1, 3)
            wrong = np.isin(verdict.kinds, kinds)
            points[wrong, :2] = verdict.mended[wrong]
            person = dict(person, keypoints=points.ravel().tolist())
        mended.append(person)
    return mended

"""Ids of persons across the frames of a video.

Each frame's persons are assigned to the tracks of the last frames, so that
the sum of their similarities is largest (Hungarian algorithm). A person who is
left over starts a new track. A track without a person is lost; it may be found
again within some frames, and then ends. No id is used twice.
"""
from dataclasses import dataclass
from typing import Dict, List, Optional

import numpy as np
from scipy.optimize import linear_sum_assignment

from .persons import FramePersons, mask_iou, oks, votes

METHODS = ('overlap', 'attention', 'both')


@dataclass(frozen=True)
class TrackOptions:
    """How persons are assigned to tracks.

    Attributes:
        method: 'overlap', the mean of mask IoU and OKS (OKS alone without
            masks); 'attention', the votes of keypoints, see
            :func:`persons.votes`; or 'both', the mean of these.
        motion: Move a track by its last velocity before it is compared, as
            'overlap' and 'both' do.
        threshold: Similarity below which a person is not assigned.
        max_lost: Frames for which a lost track may be found again.
        birth_thr: Score below which a person does not start a track.
    """
    method: str = 'overlap'
    motion: bool = True
    threshold: float = .1
    max_lost: int = 12
    birth_thr: float = .2

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f'method is {self.method!r}: give one of '
                             f'{", ".join(METHODS)}')
        if self.max_lost < 0:
            raise ValueError(f'max_lost is {self.max_lost}: give 0 or more')


@dataclass
class _Track:
    """A person followed."""
    number: int  # its id
    frame: int  # in which the person was last seen
    seen: FramePersons  # all of that frame
    place: int  # among these
    # (2,) image pixels per frame, None until there are two frames
    velocity: Optional[np.ndarray] = None


class Tracker:
    """Gives ids to the persons of one video.

    ::

        tracker = Tracker(sigmas)
        for persons in frames:
            ids = tracker.update(persons)

    Args:
        sigmas: (K,) of the keypoints, as COCO's OKS has them.
        options: See :class:`TrackOptions`.
    """

    def __init__(self, sigmas: np.ndarray,
                 options: Optional[TrackOptions] = None) -> None:
        self.sigmas = np.asarray(sigmas, float)
        self.options = options or TrackOptions()
        self._tracks: List[_Track] = []
        self._frame = -1
        self._last = 0  # id that was given

    def update(self, persons: FramePersons,
               image_width: Optional[int] = None) -> np.ndarray:
        """Process the next frame.

        Args:
            persons: Of the frame; none is fine.
            image_width: Of the image in pixels, to which the masks' width
                belongs. None: that of the masks.

        Returns:
            (P,) ids from 1, -1 for persons without one: nobody's, and with a
            score too low to begin a track.
        """
        self._frame += 1
        self._tracks = [track for track in self._tracks if
                        self._frame - track.frame <= self.options.max_lost + 1]
        ids = np.full(len(persons.scores), -1)
        cells = 1.
        if persons.masks is not None and image_width:
            cells = persons.masks.shape[2] / image_width
        similarity = self._similarity(persons, cells)
        for p, t in assigned(similarity, self.options.threshold):
            ids[p] = self._tracks[t].number
            self._go_on(self._tracks[t], persons, p)
        for p in np.flatnonzero(ids < 0):
            if persons.scores[p] >= self.options.birth_thr:
                self._last += 1
                ids[p] = self._last
                self._tracks.append(_Track(self._last, self._frame, persons,
                                           int(p)))
        return ids

    def _similarity(self, persons: FramePersons, cells: float) -> np.ndarray:
        """(P, T); ``cells`` are a mask's cells per image pixel."""
        shape = len(persons.scores), len(self._tracks)
        parts = []
        if not all(shape):
            return np.zeros(shape)
        if self.options.method != 'attention':
            parts.append(self._overlap(persons, cells))
        if self.options.method != 'overlap':
            parts.append(self._votes(persons))
        return np.mean(parts, axis=0)

    def _overlap(self, persons: FramePersons, cells: float) -> np.ndarray:
        """(P, T) mean of mask IoU and OKS to where the tracks should be."""
        shifts = np.array([
            track.velocity * (self._frame - track.frame)
            if self.options.motion and track.velocity is not None
            else np.zeros(2) for track in self._tracks])
        points = np.stack([t.seen.keypoints[t.place] for t in self._tracks])
        scores = np.stack([t.seen.keypoint_scores[t.place]
                           for t in self._tracks])
        similarity = oks(persons.keypoints, persons.keypoint_scores > 0,
                         points + shifts[:, None], scores > 0, self.sigmas)
        if persons.masks is None:
            return similarity
        masks = np.stack([
            shifted(track.seen.masks[track.place], shift * cells)
            for track, shift in zip(self._tracks, shifts)
            if track.seen.masks is not None])
        return (similarity + mask_iou(persons.masks, masks)) / 2

    def _votes(self, persons: FramePersons) -> np.ndarray:
        """(P, T), by the frame in which each track was last seen."""
        if persons.attention is None:
            raise ValueError(
                f'method {self.options.method!r} needs the attention of each '
                "frame's persons, which there is not: give method 'overlap'")
        result = np.zeros((len(persons.scores), len(self._tracks)))
        by_frame: Dict[int, List[int]] = {}
        for t, track in enumerate(self._tracks):
            by_frame.setdefault(track.frame, []).append(t)
        for tracks in by_frame.values():
            then = self._tracks[tracks[0]].seen.attention
            assert then is not None
            result[:, tracks] = votes(
                persons.attention, then,
                np.array([self._tracks[t].place for t in tracks]))
        return result

    def _go_on(self, track: _Track, persons: FramePersons, p: int) -> None:
        """Move a track to a person of this frame."""
        both = ((persons.keypoint_scores[p] > 0)
                & (track.seen.keypoint_scores[track.place] > 0))
        if both.any():
            # the median: some keypoints swing, and some are wrong
            moved = np.median(persons.keypoints[p][both] - track.seen.
                              keypoints[track.place][both], axis=0)
            velocity = moved / (self._frame - track.frame)
            track.velocity = velocity if track.velocity is None else \
                .7 * track.velocity + .3 * velocity
        track.frame, track.seen, track.place = self._frame, persons, int(p)


def assigned(similarity: np.ndarray, threshold: float) -> List[tuple]:
    """Pairs (person, track) whose similarities have the largest sum.

    Args:
        similarity: (P, T).
        threshold: Pairs of a lower similarity are none, and count as 0.
    """
    kept = np.where(similarity >= threshold, similarity, 0)
    return [(p, t) for p, t in zip(*linear_sum_assignment(-kept))
            if similarity[p, t] >= threshold]


def shifted(mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    """A mask (h, w) moved by whole cells (x, y); what comes in is False."""
    h, w = mask.shape
    x, y = np.clip(np.round(by).astype(int), (-w, -h), (w, h)).tolist()
    moved = np.zeros_like(mask)
    moved[max(y, 0):h + min(y, 0), max(x, 0):w + min(x, 0)] = \
        mask[max(-y, 0):h + min(-y, 0), max(-x, 0):w + min(-x, 0)]
    return moved

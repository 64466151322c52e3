"""Ids: planted persons keep theirs; none is given twice."""
from itertools import permutations

import numpy as np
import pytest

from mmpose_ssa.tracking import (FrameAttention, FramePersons, Tracker,
                                 TrackOptions)
from mmpose_ssa.tracking.tracker import assigned, shifted

SIGMAS = np.full(4, .08)
WIDTH, HEIGHT = 160, 100


def frame(*corners, scores=None, with_masks=True) -> FramePersons:
    """Persons of 20 x 40 pixels with these left upper corners."""
    corners = np.reshape(np.array(corners, float), (-1, 2))
    box = np.array([[0, 0], [19, 0], [0, 39], [19, 39]])
    points = corners[:, None] + box
    masks = np.zeros((len(corners), HEIGHT, WIDTH), bool)
    for mask, (x, y) in zip(masks, corners.astype(int)):
        mask[max(y, 0):max(y + 40, 0), max(x, 0):max(x + 20, 0)] = True
    return FramePersons(
        points, np.ones(points.shape[:2]),
        np.ones(len(corners)) if scores is None else np.array(scores),
        masks if with_masks else None)


def run(frames, **options) -> list:
    tracker = Tracker(SIGMAS, TrackOptions(**options))
    return [tracker.update(persons).tolist() for persons in frames]


@pytest.mark.parametrize('with_masks', [True, False])
def test_crossing_persons_keep_their_ids(with_masks):
    """Two walk through each other, listed in changing order."""
    frames, expected = [], []
    for n in range(25):
        people = [(2 + 5 * n, 20), (124 - 5 * n, 20)]
        turn = -1 if n % 3 == 1 else 1
        frames.append(frame(*people[::turn], with_masks=with_masks))
        expected.append([1, 2][::turn])
    assert run(frames) == expected
    # places alone, without the motion, would exchange them
    assert run(frames, motion=False) != expected


def test_hidden_while_crossing():
    """The one behind is not found for 5 frames, and goes on beyond."""
    frames = []
    for n in range(25):
        front, behind = (2 + 5 * n, 20), (122 - 5 * n, 28)
        frames.append(frame(front) if 10 <= n < 15 else frame(front, behind))
    ids = run(frames)
    assert ids[9] == [1, 2] and ids[12] == [1]
    assert ids[15:] == [[1, 2]] * 10
    # without motion it is sought where it was lost, 25 pixels away
    assert run(frames, motion=False)[16] != [1, 2]


def test_assignment_is_the_best_of_all():
    rng = np.random.default_rng(3)
    for _ in range(200):
        p, t = rng.integers(0, 5, 2).tolist()
        similarity = rng.random((p, t))
        pairs = assigned(similarity, .3)
        kept = np.where(similarity >= .3, similarity, 0)
        wide = kept if p <= t else kept.T
        best = max((sum(wide[i, j] for i, j in enumerate(order))
                    for order in permutations(range(max(p, t)), min(p, t))),
                   default=0)
        assert sum(similarity[i, j] for i, j in pairs) == pytest.approx(best)
        assert all(similarity[i, j] >= .3 for i, j in pairs)
        for side in zip(*pairs):
            assert len(set(side)) == len(pairs)


def test_it_is_not_greedy():
    """0.9 + 0 is less than 0.8 + 0.7."""
    assert assigned(np.array([[.9, .8], [.7, 0]]), .1) == [(0, 1), (1, 0)]


@pytest.mark.parametrize('absent, id_then', [(3, 1), (4, 2)])
def test_lost_for_some_frames(absent, id_then):
    """With max_lost=3: found after 3 frames without, not after 4."""
    frames = [frame((30, 30))] + [frame()] * absent + [frame((30, 30))]
    assert run(frames, max_lost=3) == [[1]] + [[]] * absent + [[id_then]]


def test_velocity_over_frames_without_the_person():
    """4 pixels per frame, seen in frames 0, 3 and 10."""
    seen = {0: (0, 20), 3: (12, 20), 10: (40, 20)}
    ids = run([frame(seen[n]) if n in seen else frame() for n in range(11)])
    assert [ids[n] for n in seen] == [[1]] * 3


def test_leaving_and_another_one_coming():
    frames = [frame((30, 30), (90, 30)), frame((30, 30)),
              frame((30, 30), (130, 50)), frame((130, 50), (30, 30))]
    assert run(frames) == [[1, 2], [1], [1, 3], [3, 1]]


def test_empty_frames():
    assert run([frame()] * 3 + [frame((5, 5))]) == [[], [], [], [1]]


def test_weak_persons_go_on_but_do_not_begin():
    frames = [frame((30, 30), (90, 30), scores=(.9, .1)),
              frame((30, 30), (90, 30), scores=(.1, .1)),
              frame((30, 30), (90, 30), scores=(.1, .9))]
    assert run(frames, birth_thr=.2) == [[1, -1], [1, -1], [1, 2]]
    assert run(frames, birth_thr=.1) == [[1, 2]] * 3


def test_no_id_is_given_twice():
    """Anybody anywhere: ids of a frame differ, new ones count up."""
    rng = np.random.default_rng(0)
    tracker, last, back = Tracker(SIGMAS, TrackOptions(max_lost=1)), 0, 0
    gone = set()
    previous: list = []
    for _ in range(150):
        number = rng.integers(0, 5)
        ids = tracker.update(frame(*rng.integers(0, 100, (number, 2))
                                   )).tolist()
        assert len(set(ids)) == len(ids) == number
        new = [i for i in ids if i > last]
        assert new == list(range(last + 1, last + 1 + len(new)))
        last += len(new)
        assert not gone & set(ids)
        previous.append(set(ids))
        # whoever was seen last 3 frames ago has ended
        gone |= set(range(1, last + 1)) - set.union(*previous[-2:])
        back += len(set(ids) - set(new))
    assert last > 100 and back > 20


def test_a_new_tracker_starts_anew():
    frames = [frame((30, 30)), frame((90, 30))]
    assert run(frames) == run(frames) == [[1], [2]]


@pytest.mark.parametrize('width, id_then', [(WIDTH, 1), (WIDTH // 2, 2)])
def test_masks_of_another_resolution(width, id_then):
    """Half as many cells as pixels: a mask moves half as many, too."""
    tracker = Tracker(SIGMAS)
    for n in range(3):
        persons = frame((2 + 8 * n, 20))
        persons = persons._replace(masks=persons.masks[:, ::2, ::2])
        assert tracker.update(persons, width).tolist() == [1]
    persons = frame((26, 20), with_masks=False)
    persons = persons._replace(  # missing keypoints have no OKS
        masks=frame((26, 20)).masks[:, ::2, ::2],
        keypoint_scores=np.zeros((1, 4)))
    # IoU 1, so (1 + 0) / 2; moved 8 cells in place of 4: 3 / 14
    tracker.options = TrackOptions(threshold=.49)
    assert tracker.update(persons, width).tolist() == [id_then]


def test_attention_follows_who_looks_alike():
    """Two change places at once: votes say so, places do not."""
    def attended(persons, order):
        looks = np.eye(2)[order] * 9
        tokens = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
        return persons._replace(attention=FrameAttention(
            looks[None], looks[None], tokens, np.eye(2, dtype=bool)))
    places = frame((30, 30), (90, 30))
    frames = [attended(places, [0, 1]), attended(places, [1, 0])]
    assert run(frames, method='attention') == [[1, 2], [2, 1]]
    assert run(frames, method='overlap') == [[1, 2], [1, 2]]


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="method is 'colour': give one of"):
        TrackOptions(method='colour')
    with pytest.raises(ValueError, match='max_lost is -1'):
        TrackOptions(max_lost=-1)
    with pytest.raises(ValueError, match="give method 'overlap'"):
        run([frame((1, 1))] * 2, method='attention')


@pytest.mark.parametrize('by, there', [
    ((1, 0), (1, 2)), ((0, -1), (0, 1)), ((-1.4, .6), (2, 0)),
    ((9, 0), None), ((0, -7), None)])
def test_shifted(by, there):
    mask = np.zeros((4, 3), bool)
    mask[1, 1] = True
    expected = np.zeros_like(mask)
    if there:
        expected[there] = True
    assert (shifted(mask, np.array(by)) == expected).all()

"""Local maxima by the literal rule, and locations inside the cell."""
import numpy as np
import pytest
from factories import peaks
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.candidates import (find_candidates, quarter_offset,
                                            taylor_offset)


def candidates(heatmaps, threshold=.0025, window=7, limit=100, content=None):
    """Those of the whole map by default."""
    h, w = heatmaps.shape[1:]
    return find_candidates(heatmaps, threshold, window, limit,
                           content or (0, 0, w, h))


def literal_candidates(heatmaps, window, threshold, limit):
    """Section 3's words, cell by cell."""
    found, reach = [], window // 2
    for kind, heatmap in enumerate(heatmaps):
        peaks = []
        for y, x in np.ndindex(heatmap.shape):
            around = heatmap[max(y - reach, 0):y + reach + 1,
                             max(x - reach, 0):x + reach + 1]
            if heatmap[y, x] == around.max() and heatmap[y, x] > threshold:
                peaks.append((y, x))
        first = [
            (y, x) for y, x in peaks if not any(
                (b, a) < (y, x) and abs(a - x) <= reach and abs(b - y) <= reach
                for b, a in peaks)
        ]
        first.sort(key=lambda cell: -heatmap[cell])  # stable
        found += [(kind, *cell) for cell in sorted(first[:limit or None])]
    return found


@pytest.mark.parametrize('levels', [3, 6, 1000])
def test_candidates_are_those_of_the_literal_rule(rng, levels):
    """With few levels nearly all peaks are plateaus."""
    for _ in range(30):
        heatmaps = rng.integers(0, levels, (3, 12, 15)) / np.float32(levels)
        window = int(rng.choice([1, 3, 5, 7]))
        limit = int(rng.choice([0, 2, 9]))
        found = candidates(heatmaps, .25, window, limit)
        cells = [(kind, y, x) for kind, (x, y) in zip(found.types,
                                                      found.cells)]
        assert cells == literal_candidates(heatmaps, window, .25, limit)
        assert_array_equal(found.scores, [heatmaps[cell] for cell in cells])


def test_a_candidate_lies_above_the_threshold_not_on_it():
    heatmaps = peaks((2, 12, 16), (0, 3, 3, .5), (1, 3, 3, .5001))
    found = candidates(heatmaps, .5)
    assert found.types.tolist() == [1]


def test_no_candidate_lies_outside_the_content():
    across = peaks((16, 12, 16), *((x, x, 5, 1) for x in range(16)))
    found = candidates(across, content=(2, 0, 8, 12))
    assert found.cells.tolist() == [[x, 5] for x in range(2, 8)]
    down = peaks((12, 12, 16), *((y, 9, y, 1) for y in range(12)))
    found = candidates(down, content=(0, 3, 16, 10))
    assert found.cells.tolist() == [[9, y] for y in range(3, 10)]
    assert not len(candidates(down, content=(0, 12, 16, 12)).cells)


def test_a_maximum_is_one_of_the_whole_map():
    """What rises towards a peak in the padding is no maximum."""
    heatmaps = peaks((1, 12, 16), (0, 6, 3, .5), (0, 9, 3, .9), (0, 2, 9, .4))
    found = candidates(heatmaps, content=(0, 0, 8, 12))
    assert found.cells.tolist() == [[2, 9]]


# --- locations inside the cell ----------------------------------------------

CENTRE = np.zeros(1, int), np.array([[1, 1]])


def gaussian(x, y, sigma):
    """(3, 3), centred on x and y."""
    ys, xs = np.mgrid[:3, :3]
    return np.exp(-((xs - x)**2 + (ys - y)**2) / (2 * sigma**2))


def test_a_quarter_toward_the_higher_neighbour():
    heatmap = np.array([[[0, .7, 0], [.5, 1, .6], [0, .2, 0]]])
    assert quarter_offset(heatmap, *CENTRE).tolist() == [[.25, -.25]]
    heatmap[0, 1, 2] = .5
    assert quarter_offset(heatmap, *CENTRE).tolist() == [[0, -.25]]
    # the corners do not count
    heatmap[0, [0, 0, 2, 2], [0, 2, 0, 2]] = .9, .1, .1, .9
    assert quarter_offset(heatmap, *CENTRE).tolist() == [[0, -.25]]


@pytest.mark.parametrize('refine', [quarter_offset, taylor_offset])
def test_no_offset_without_a_neighbour(refine):
    heatmap = np.full((1, 3, 3), .5)
    heatmap[0, 0, 0] = 1
    corner = np.zeros(1, int), np.zeros((1, 2), int)
    assert refine(heatmap, *corner).tolist() == [[0, 0]]
    assert refine(heatmap, corner[0][:0], corner[1][:0]).shape == (0, 2)


def test_taylor_finds_the_centre_of_any_gaussian(rng):
    """Turned and stretched ones too: their logarithm is the expansion."""
    cells = rng.integers(2, 10, (50, 2))
    offsets = rng.uniform(-.5, .5, (50, 2))
    roots = rng.uniform(-.3, .3, (50, 2, 2))
    precision = roots @ roots.transpose(0, 2, 1) + .1 * np.eye(2)
    ys, xs = np.mgrid[:12, :12]
    d = np.stack([xs, ys], axis=-1) - (cells + offsets)[:, None, None]
    heatmaps = .3 * np.exp(-np.einsum('nyxi,nij,nyxj->nyx', d, precision, d))
    found = taylor_offset(heatmaps, np.arange(50), cells)
    assert_allclose(found, offsets, atol=1e-9)


@pytest.mark.parametrize('heatmap', [
    np.ones((3, 3)),  # flat
    np.exp([[0., .9, 0], [-1, 0, -.8], [0, 1.1, 0]]),  # a saddle
    np.exp([[-.2, -.1, 0]] * 3),  # a ridge
    gaussian(2.5, 1, 2),  # centred more than a cell away
])
def test_taylor_stays_where_the_expansion_does_not_hold(heatmap):
    assert taylor_offset(heatmap[None], *CENTRE).tolist() == [[0, 0]]


def test_each_candidate_is_judged_alone():
    heatmaps = np.stack([gaussian(1.2, .9, 1), np.ones((3, 3)),
                         gaussian(1.9, 1, 2), gaussian(1, 2.5, 2)])
    assert_allclose(
        taylor_offset(heatmaps, np.arange(4), np.ones((4, 2), int)),
        [[.2, -.1], [0, 0], [.9, 0], [0, 0]], atol=1e-9)

"""Missing keypoints from a person's own map, on grids small enough to read."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmpose_ssa.decoding.filling import fill_missing, resize_maps

EVERYWHERE = (0, 0, 8, 8)


def people():
    """Two people: left and right half of 4 x 4 tokens, 8 x 8 cells."""
    maps = np.zeros((2, 4, 4))
    maps[0, :, :2] = maps[1, :, 2:] = 1
    return maps


def heatmap(*peaks):
    """One heatmap of 8 x 8 cells with values at x, y."""
    values = np.zeros((1, 8, 8), np.float32)
    for x, y, value in peaks:
        values[0, y, x] = value
    return values


def test_each_person_gets_the_best_cell_on_its_own_map():
    heatmaps = heatmap((1, 5, .3), (2, 2, .1), (6, 0, .05))
    found = fill_missing(np.ones((2, 1), bool), people(), heatmaps, EVERYWHERE)
    assert found.persons.tolist() == [0, 1]
    assert found.types.tolist() == [0, 0]
    assert found.cells.tolist() == [[1, 5], [6, 0]]
    np.testing.assert_array_equal(found.scores, np.float32([.3, .05]))


def test_what_is_found_is_not_filled():
    missing = np.array([[False], [True]])
    heatmaps = heatmap((1, 5, .3), (6, 0, .05))
    found = fill_missing(missing, people(), heatmaps, EVERYWHERE)
    assert found.persons.tolist() == [1]


def test_each_type_is_read_in_its_own_heatmap():
    heatmaps = np.concatenate([heatmap((1, 1, .3)), heatmap((2, 6, .2))])
    found = fill_missing(np.ones((1, 2), bool), people()[:1], heatmaps,
                         EVERYWHERE)
    assert found.types.tolist() == [0, 1]
    assert found.cells.tolist() == [[1, 1], [2, 6]]


def test_the_value_must_exceed_the_threshold():
    heatmaps = heatmap((1, 5, .25))
    options = dict(missing=np.ones((1, 1), bool), maps=people()[:1],
                   heatmaps=heatmaps, content_hm=EVERYWHERE)
    assert len(fill_missing(**options, threshold=.25).persons) == 0
    assert len(fill_missing(**options, threshold=.24).persons) == 1


def test_the_map_must_exceed_its_threshold_after_resizing():
    """Between tokens of 1 and 0 the cells have 0.75 and 0.25."""
    heatmaps = heatmap((3, 4, .1), (4, 4, .3), (5, 4, .9))
    best = [
        fill_missing(np.ones((1, 1), bool), people()[:1], heatmaps,
                     EVERYWHERE, map_threshold=t).cells.tolist()
        for t in (.2, .25)
    ]
    assert best == [[[4, 4]], [[3, 4]]]


def test_nothing_lies_outside_the_content():
    heatmaps = heatmap((1, 1, .9), (2, 6, .2), (3, 7, .8))
    found = fill_missing(np.ones((1, 1), bool), people()[:1], heatmaps,
                         (1, 2, 8, 7))
    assert found.cells.tolist() == [[2, 6]]


def test_of_equal_cells_the_first():
    heatmaps = heatmap((3, 2, .5), (0, 3, .5))
    found = fill_missing(np.ones((1, 1), bool), people()[:1], heatmaps,
                         EVERYWHERE)
    assert found.cells.tolist() == [[3, 2]]


@pytest.mark.parametrize('content', [EVERYWHERE, (4, 4, 4, 8)])
def test_nobody_and_nowhere(content):
    maps = people() * (content != EVERYWHERE)  # else no map exceeds anything
    missing = np.ones((2, 3), bool)
    heatmaps = np.ones((3, 8, 8), np.float32)
    found = fill_missing(missing, maps, heatmaps, content)
    none = fill_missing(missing[:0], maps[:0], heatmaps, content)
    for part in (*found, *none):
        assert len(part) == 0
    assert found.cells.shape == none.cells.shape == (0, 2)


@pytest.mark.parametrize('shape', [(8, 12), (6, 9), (5, 7), (2, 3)])
def test_resizing_is_that_of_the_mask_loss(shape):
    maps = np.random.RandomState(0).rand(2, 4, 6)
    expected = F.interpolate(
        torch.from_numpy(maps)[None], shape, mode='bilinear',
        align_corners=False)[0]
    np.testing.assert_allclose(resize_maps(maps, shape), expected, atol=1e-12)


def test_arguments_are_not_changed():
    given = (np.ones((2, 1), bool), people(), heatmap((1, 5, .3)))
    before = [part.copy() for part in given]
    fill_missing(*given, EVERYWHERE)
    for part, old in zip(given, before):
        np.testing.assert_array_equal(part, old)

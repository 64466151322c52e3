"""Tiles that cover an image, and persons across their seams."""
import numpy as np
import pycocotools.mask as coco_mask
import pytest

from mmpose_ssa.decoding.tiles import join_tiles, on_image, tile_windows


@pytest.mark.parametrize('width, height, side, overlap', [
    (100, 80, 40, .5), (101, 33, 40, .5), (40, 40, 40, .5), (1000, 50, 64, .2),
    (7, 300, 50, 0.), (64, 65, 64, .5)])
def test_tiles_cover_the_image_and_overlap(width, height, side, overlap):
    windows = tile_windows(width, height, side, overlap)
    seen = np.zeros((height, width), int)
    for x0, y0, x1, y1 in windows:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert x1 - x0 == min(side, width) and y1 - y0 == min(side, height)
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1
    for axis in (0, 1):
        starts = sorted({window[axis] for window in windows})
        assert np.diff(starts).max(initial=0) <= side * (1 - overlap) + 1
    assert len(set(windows)) == len(windows)


def test_as_few_tiles_as_the_overlap_allows():
    assert tile_windows(100, 40, 40, .5) == [
        (0, 0, 40, 40), (20, 0, 60, 40), (40, 0, 80, 40), (60, 0, 100, 40)]
    assert tile_windows(80, 40, 40, 0.) == [(0, 0, 40, 40), (40, 0, 80, 40)]


@pytest.mark.parametrize('side, overlap', [(0, .5), (40, 1.), (40, -.1)])
def test_tiles_that_are_none(side, overlap):
    with pytest.raises(ValueError, match='tiles of 0|overlap of'):
        tile_windows(100, 100, side, overlap)


# Two tiles, columns 0 to 5 and 4 to 9, of an image of 10 x 4
LEFT, RIGHT = WINDOWS = [(0, 0, 6, 4), (4, 0, 10, 4)]


def seen(window, *cells):
    """A person who fills some columns (rows, columns) of the image."""
    whole = np.zeros((4, 10), np.uint8)
    for cell in cells:
        whole[cell] = 1
    x0, y0, x1, y1 = window
    return on_image(whole[y0:y1, x0:x1], window, 10, 4)


def test_a_mask_lies_where_its_window_is():
    rle = seen(RIGHT, np.s_[1:3, 3:7])
    expected = np.zeros((4, 10), int)
    expected[1:3, 4:7] = 1
    assert coco_mask.decode(rle).tolist() == expected.tolist()


def test_who_agrees_in_the_overlap_is_one():
    person = np.s_[0:2, 2:9]
    below = np.s_[2:4, 2:9]
    masks = [seen(LEFT, person), seen(LEFT, below), seen(RIGHT, below),
             seen(RIGHT, person)]
    assert join_tiles(masks, [0, 0, 1, 1], WINDOWS, [.5, .9, .2, .7]) == [
        [1, 2], [3, 0]]


def test_who_lies_outside_the_overlap_stays_alone():
    masks = [seen(LEFT, np.s_[0:4, 0:3]), seen(RIGHT, np.s_[0:4, 7:9])]
    assert join_tiles(masks, [0, 1], WINDOWS, [.5, .9]) == [[1], [0]]


def test_half_of_the_smaller_is_not_enough():
    # columns 4 and 5 are common: 4 rows against 2 of them, which all agree
    masks = [seen(LEFT, np.s_[0:4, 4:6]), seen(RIGHT, np.s_[2:4, 4:6])]
    assert join_tiles(masks, [0, 1], WINDOWS, [.5, .9]) == [[1, 0]]
    # 2 of 4 cells of the smaller agree
    masks = [seen(LEFT, np.s_[0:3, 4:6]), seen(RIGHT, np.s_[2:4, 4:6])]
    assert join_tiles(masks, [0, 1], WINDOWS, [.5, .9]) == [[1], [0]]
    assert join_tiles(masks, [0, 1], WINDOWS, [.5, .9], .4) == [[1, 0]]


def test_a_tile_has_one_person_in_a_group():
    """Two of the left tile agree with one of the right: the better one."""
    masks = [seen(LEFT, np.s_[0:3, 4:6]), seen(LEFT, np.s_[0:4, 5:6]),
             seen(RIGHT, np.s_[0:3, 4:6], np.s_[3, 5])]
    assert join_tiles(masks, [0, 0, 1], WINDOWS, [.5, .4, .3]) == [[0, 2], [1]]


def test_nobody():
    assert join_tiles([], [], WINDOWS, []) == []

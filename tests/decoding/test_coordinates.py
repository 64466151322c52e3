"""Cells and tokens of pixels, by hand."""
import numpy as np
import pytest

from mmpose_ssa.decoding.coordinates import (content_box, content_cells,
                                             input_from_image, token_grid,
                                             tokens_at)


def test_the_way_of_an_image_into_the_input():
    """The image's point (50, 40) lies in the middle, the image is halved in
    width and quartered in height; its edges are half a pixel outside."""
    metainfo = dict(input_size=(64, 48), input_scale=(128, 192),
                    input_center=(50, 40), ori_shape=(80, 100, 3))
    scale, offset = input_from_image(metainfo)
    assert (scale * [50, 40] + offset).tolist() == [32, 24]
    assert scale.tolist() == [.5, .25] and offset.tolist() == [7, 14]
    assert content_box(metainfo) == (6.75, 13.875, 56.75, 33.875)


@pytest.mark.parametrize('content, cells', [
    (None, (0, 0, 16, 12)),
    ((-.5, -.5, 63.5, 47.5), (0, 0, 16, 12)),
    # cell x is pixel 4x: of pixels 5 to 31 those are cells 2 to 7
    ((5, -.5, 31, 47.5), (2, 0, 8, 12)),
    ((-9, 9, 99, 39.9), (0, 3, 16, 10)),
    ((8, 12, 8, 12), (2, 3, 3, 4)),
    # nothing of it inside: an empty range at the edge
    ((-99, 0, -20, 47), (0, 0, 0, 12)),
    ((0, -99, 63, -9), (0, 0, 16, 0)),
    ((80, 0, 99, 47), (16, 0, 16, 12)),
    ((0, 60, 63, 99), (0, 12, 16, 12)),
])
def test_cells_of_the_content(content, cells):
    assert content_cells(content, 4, (12, 16)) == cells


@pytest.mark.parametrize('heatmap, stride, grid', [
    ((12, 16), 16, (3, 4)), ((12, 16), 8, (6, 8)), ((10, 20), 8, (5, 10)),
    ((10, 13), 16, (3, 4)),  # the last tokens reach beyond the heatmap
    ((1, 1), 16, (1, 1)),
])
def test_tokens_cover_the_whole_heatmap(heatmap, stride, grid):
    assert token_grid(heatmap, 4, stride) == grid


def test_tokens_are_in_row_major_order_and_clamped():
    points = np.array([[[17, 35], [0, 0], [63.9, 47.9]],
                       [[64, 10], [-.1, 10], [1e30, -1e30]]])
    tokens = tokens_at(points, 16, (3, 4))
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [[2 * 4 + 1, 0, 11], [3, 0, 3]]


def test_points_outside_are_in_the_nearest_tokens():
    """In 3 x 4 tokens, row-major: the corners, and far beyond them."""
    corners = np.array([(-1., -1), (64, -1), (-1, 48), (64, 48)])
    assert tokens_at(corners, 16, (3, 4)).tolist() == [0, 3, 8, 11]
    assert tokens_at(corners * 1e30, 16, (3, 4)).tolist() == [0, 3, 8, 11]

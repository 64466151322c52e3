"""Annotations -> masks at heatmap size, against warps of full images."""
import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest

from mmpose_ssa.encoding.masks import (FARTHEST, image_to_heatmap, rasterize,
                                       valid_region)

IDENTITY = np.float64([[1, 0, 0], [0, 1, 0]])


def blob(rng, center, radius, vertices=14):
    """A star-shaped polygon in edge coordinates."""
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    r = radius * rng.uniform(.6, 1, vertices)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * r[:, None]
    return (points + center).ravel().tolist()


def random_warp(rng, img_shape, input_size):
    """A rotation, scale and shift in index coordinates."""
    h, w = img_shape
    scale = min(input_size) / min(h, w) * rng.uniform(.7, 1.3)
    warp = cv2.getRotationMatrix2D((w / 2, h / 2), rng.uniform(-30, 30), scale)
    warp[:, 2] += np.array(input_size) / 2 - [w / 2, h / 2]
    return warp + np.r_[0, 0, rng.uniform(-9, 9)]


def decode(polygons, img_shape):
    rles = coco_mask.frPyObjects(polygons, *img_shape)
    return coco_mask.decode(coco_mask.merge(rles))


def column_runs(mask):
    """Uncompressed RLE, written without the library: column by column."""
    flat = np.r_[0, mask.ravel(order='F'), 2]
    edges = np.flatnonzero(np.diff(flat)).tolist()
    counts = np.diff([0, *edges]).tolist()
    return {'size': list(mask.shape), 'counts': counts}


def naive(mask, warp, input_size, heatmap_size, flip):
    """Full-size warp, mirror, and average over the pixels of each cell."""
    warped = cv2.warpAffine(mask.astype(np.float32), warp, input_size)
    if flip:
        warped = warped[:, ::-1]
    return cv2.resize(warped, heatmap_size, interpolation=cv2.INTER_AREA) >= .5


def iou(a, b):
    return np.logical_and(a, b).sum() / np.logical_or(a, b).sum()


@pytest.mark.parametrize('flip', [False, True])
def test_whole_image_fills_the_whole_map(flip):
    matrix = image_to_heatmap(IDENTITY, (96, 64), (24, 16), flip)
    whole = [[0, 0, 96, 0, 96, 64, 0, 64]]
    rle = column_runs(np.ones((64, 96), np.uint8))
    for segmentation in (whole, rle):
        mask = rasterize(segmentation, (64, 96), matrix, (24, 16))
        assert mask.shape == (16, 24) and mask.dtype == np.uint8
        assert mask.all()


@pytest.mark.parametrize('kind', ['polygon', 'rle'])
@pytest.mark.parametrize('flip', [False, True])
def test_edges_land_on_cells_without_a_half_pixel_error(kind, flip):
    # x 8..24, y 12..20 in pixels is columns 2..5, rows 3..4 in cells of 4
    segmentation = [[8, 12, 24, 12, 24, 20, 8, 20]]
    if kind == 'rle':
        segmentation = column_runs(decode(segmentation, (64, 96)))
    matrix = image_to_heatmap(IDENTITY, (96, 64), (24, 16), flip)
    expected = np.zeros((16, 24), np.uint8)
    expected[3:5, 2:6] = 1
    mask = rasterize(segmentation, (64, 96), matrix, (24, 16))
    assert np.array_equal(mask, expected[:, ::-1] if flip else expected)


def test_matrix_by_hand():
    # index x 10 -> 2 * 10 + 3 = 23; edge: 10.5 -> 23.5; in cells 23.5 / 4
    warp = np.float32([[2, 0, 3], [0, 2, 5]])
    matrix = image_to_heatmap(warp, (64, 32), (16, 8))
    assert matrix @ [10.5, 2.5, 1] == pytest.approx([23.5 / 4, 9.5 / 4])
    # pixel 23 is mirrored to 64 - 1 - 23 = 40, its centre to edge 40.5
    mirrored = image_to_heatmap(warp, (64, 32), (16, 8), flip=True)
    assert mirrored @ [10.5, 2.5, 1] == pytest.approx([40.5 / 4, 9.5 / 4])
    assert warp.tolist() == [[2, 0, 3], [0, 2, 5]]


@pytest.mark.parametrize('seed', range(6))
def test_equals_the_warped_full_mask(seed):
    rng = np.random.default_rng(seed)
    shape, size, hm = (180, 240), (192, 160), (48, 40)
    warp, flip = random_warp(rng, shape, size), bool(seed % 2)
    polygons = [blob(rng, (80, 90), 60), blob(rng, (170, 80), 50)]
    full = decode(polygons, shape)
    expected = naive(full, warp, size, hm, flip)
    matrix = image_to_heatmap(warp, size, hm, flip)
    assert expected.sum() > 100
    for segmentation in (polygons, column_runs(full)):
        mask = rasterize(segmentation, shape, matrix, hm)
        assert iou(mask, expected) > .95


def test_neither_form_makes_persons_larger_or_smaller():
    rng, hm = np.random.default_rng(0), (40, 40)
    areas = np.zeros(3)
    for _ in range(60):
        warp = random_warp(rng, (160, 160), (160, 160))
        polygons = [blob(rng, (80, 80), 50)]
        full = decode(polygons, (160, 160))
        matrix = image_to_heatmap(warp, (160, 160), hm)
        areas += [
            naive(full, warp, (160, 160), hm, False).sum(),
            rasterize(polygons, (160, 160), matrix, hm).sum(),
            rasterize(column_runs(full), (160, 160), matrix, hm).sum()]
    assert areas[1:] / areas[0] == pytest.approx(1, abs=.01)


def test_a_lit_point_and_its_mask_land_together():
    rng = np.random.default_rng(0)
    shape, size, hm = (100, 140), (128, 128), (32, 32)
    for flip in (False, True):
        warp = random_warp(rng, shape, size)
        point = np.array([60., 40.])  # index coordinates
        image = np.zeros(shape, np.float32)
        cv2.circle(image, (60, 40), 9, 1, -1)
        lit = cv2.warpAffine(image, warp, size)
        lit = lit[:, ::-1] if flip else lit
        centroid_inp = np.array(
            [np.sum(lit * g) / lit.sum() for g in np.indices(lit.shape)[::-1]])
        matrix = image_to_heatmap(warp, size, hm, flip)
        mapped = matrix @ [*(point + .5), 1]
        assert mapped == pytest.approx((centroid_inp + .5) / 4, abs=.01)
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], 1) * 9.5
        polygon = (circle + point + .5).ravel().tolist()
        mask = rasterize([polygon], shape, matrix, hm)
        rows, columns = np.nonzero(mask)
        center = np.array([columns.mean(), rows.mean()]) + .5
        assert center == pytest.approx(mapped, abs=.3)


@pytest.mark.parametrize('seed', range(4))
def test_flip_mirrors_the_map(seed):
    rng = np.random.default_rng(seed)
    shape, size, hm = (180, 240), (160, 160), (40, 40)
    warp = random_warp(rng, shape, size)
    polygons = [blob(rng, (120, 90), 70)]
    straight, mirrored = (
        image_to_heatmap(warp, size, hm, flip) for flip in (False, True))
    rle = column_runs(decode(polygons, shape))
    for segmentation in (polygons, rle):
        a = rasterize(segmentation, shape, straight, hm)
        b = rasterize(segmentation, shape, mirrored, hm)
        # The outline is rounded to one side: at most single cells on it
        assert iou(a[:, ::-1], b) > .97


def test_the_three_forms_of_rle_are_one():
    rng = np.random.default_rng(3)
    shape, size, hm = (90, 120), (96, 96), (24, 24)
    polygons = [blob(rng, (50, 45), 40)]
    full = decode(polygons, shape)
    runs = column_runs(full)
    from_polygon = coco_mask.merge(coco_mask.frPyObjects(polygons, *shape))
    as_text = {**from_polygon, 'counts': from_polygon['counts'].decode()}
    matrix = image_to_heatmap(random_warp(rng, shape, size), size, hm)
    masks = [rasterize(s, shape, matrix, hm)
             for s in (runs, from_polygon, as_text)]
    assert masks[0].sum() > 20
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])
    assert isinstance(runs['counts'], list)  # the annotation is untouched


def test_parts_of_a_person_are_united_and_the_outside_is_cut_off():
    matrix = image_to_heatmap(IDENTITY, (32, 32), (8, 8))
    left, right = [0, 0, 8, 0, 8, 8, 0, 8], [24, 0, 80, 0, 80, 8, 24, 8]
    mask = rasterize([left, right], (32, 32), matrix, (8, 8))
    expected = np.zeros((8, 8), np.uint8)
    expected[:2, [0, 1, 6, 7]] = 1
    assert np.array_equal(mask, expected)
    beyond = [[100, 100, 120, 100, 120, 120]]
    assert not rasterize(beyond, (32, 32), matrix, (8, 8)).any()


def test_valid_region_is_zero_inside_and_one_in_the_padding():
    # The image, 16 x 32, covers the upper half of the input only
    matrix = image_to_heatmap(IDENTITY, (32, 32), (8, 8))
    crowd = np.zeros((16, 32), np.uint8)
    crowd[:8, 16:] = 1
    polygon = [[0, 8, 12, 8, 12, 16, 0, 16]]
    valid = valid_region([column_runs(crowd), polygon], (16, 32), matrix,
                         (8, 8))
    expected = np.ones((8, 8), np.uint8)
    expected[:2, 4:] = 0
    expected[2:4, :3] = 0
    assert valid.dtype == np.uint8 and np.array_equal(valid, expected)
    assert valid_region([], (16, 32), matrix, (8, 8)).all()


@pytest.mark.parametrize('segmentation, error, words', [
    (None, TypeError, 'None'),
    ([], TypeError, r'\[\]'),
    ('polygon', TypeError, 'polygon'),
    ([[1, 2, 3, 4]], ValueError, r'three vertices, got \[1, 2, 3, 4\]'),
    ([[1, 2, 3, 4, 5, 6, 7]], ValueError, '5, 6, 7'),
    ([[1, 2, 3, 4, 5, float('nan')]], ValueError, 'not finite'),
    ([[1, 2, 3, 4, 5, 1e10]], ValueError, 'too large'),
    ([1, 2, 3, 4, 5, 6], ValueError, 'flat list'),
    ({'counts': [12]}, ValueError, "'size'"),
    ({'size': [3, 4], 'counts': [12]}, ValueError, r'\[3, 4\].*\[4, 3\]'),
    ({'size': [4, 3], 'counts': [5, 4]}, ValueError, '9 pixels'),
])
def test_bad_segmentations_are_named(segmentation, error, words):
    matrix = image_to_heatmap(IDENTITY, (16, 16), (4, 4))
    with pytest.raises(error, match=words):
        rasterize(segmentation, (4, 3), matrix, (4, 4))


def test_perspective_is_refused():
    with pytest.raises(ValueError, match=r'\(3, 3\)'):
        image_to_heatmap(np.eye(3), (16, 16), (4, 4))


def test_a_cell_of_half_size_is_half_of_its_pixels():
    """An RLE's four pixels under each cell: two of them are enough."""
    mask = (np.random.default_rng(0).random((12, 20)) < .5).astype(np.uint8)
    rle = coco_mask.encode(np.asfortranarray(mask))
    found = rasterize(rle, (12, 20), IDENTITY / 2, (10, 6))
    blocks = mask.reshape(6, 2, 10, 2).sum(axis=(1, 3))
    assert set(blocks.ravel()) == {0, 1, 2, 3, 4}
    assert (found == (blocks >= 2)).all()


def test_the_valid_region_is_as_wide_as_the_map():
    assert valid_region([], (9, 9), IDENTITY, (5, 3)).tolist() == [[1] * 5] * 3


def test_the_farthest_vertex():
    near = np.nextafter(FARTHEST, 0)
    rasterize([[0, 0, near, 0, 0, 1]], (9, 9), IDENTITY / 1e9, (5, 3))
    for far in (FARTHEST, -FARTHEST):
        with pytest.raises(ValueError, match='too large'):
            rasterize([[0, 0, far, 0, 0, 1]], (9, 9), IDENTITY, (5, 3))

"""Segmentations that COCO's tools could not draw, or would draw for ever."""
import numpy as np
import pycocotools.mask as coco_mask
import pytest

from mmpose_ssa.annotations.segmentations import (check_rle, mask_area,
                                                  pixels_around,
                                                  plain_segmentation,
                                                  run_lengths)

TRIANGLE = [0, 0, 8, 0, 8, 8]


def runs_of(mask):
    """The lengths of a mask's runs, counted on its pixels."""
    pixels = np.append(mask.ravel(order='F'), 2)
    ends = np.flatnonzero(np.diff(pixels, prepend=0))
    return np.diff(ends, prepend=0).tolist()


def random_masks(rng, number):
    for _ in range(number):
        shape = rng.integers(1, 60, 2)
        yield (rng.random(shape) < rng.random()).astype(np.uint8, order='F')


def test_runs_are_those_of_the_pixels(rng):
    longest = 0
    for mask in random_masks(rng, 100):
        mask = np.repeat(mask, 40, axis=0)  # runs of several characters
        encoded = coco_mask.encode(np.asfortranarray(mask))
        expected = runs_of(mask)
        assert run_lengths(encoded['counts']).tolist() == expected
        assert run_lengths(encoded['counts'].decode()).tolist() == expected
        longest = max(longest, *expected)
    assert longest > 2**12


def test_a_good_segmentation_is_left_alone(rng):
    for mask in random_masks(rng, 20):
        h, w = mask.shape
        encoded = coco_mask.encode(mask)
        rle = dict(size=[h, w], counts=encoded['counts'].decode())
        plain = dict(size=[h, w], counts=runs_of(mask))
        for good in (rle, plain):
            assert plain_segmentation(good, h, w) is good
            assert mask_area(good, h, w) == mask.sum()
            assert check_rle(good, h, w).tolist() == runs_of(mask)
    polygons = [TRIANGLE, [-5., 2.5, 12, 3, 7, 9, 1, 1]]
    assert plain_segmentation(polygons, 10, 10) is polygons
    assert mask_area([[2, 1, 8, 1, 8, 6, 2, 6]], 10, 10) == 6 * 5


@pytest.mark.parametrize('segmentation, words', [
    (None, 'neither a list of polygons nor an RLE: None'),
    ('12 12', "nor an RLE: '12 12'"),
    ([], r'nor an RLE: \[\]'),
    (TRIANGLE, 'flat list .* three vertices, got 0'),
    ([TRIANGLE, [1, 2, 3, 4]], r'three vertices, got \[1, 2, 3, 4\]'),
    ([[]], r'three vertices, got \[\]'),
    ([[1, 2, 3, 4, 5, 6, 7]], 'three vertices, got'),
    ([[[0, 0], [8, 0], [8, 8]]], r'got \[\[0, 0\]'),
    ([['0', '0', '8', '0', '8', '8']], "got \\['0'"),
    ([[0, 0, 8, 0, 8, None]], 'got .*None'),
    ([[0, 0, 8, 0, 8, 10**400]], 'three vertices, got'),
    ([[0, 0, 8, 0, 8, .5, 0, 10**400]], 'three vertices, got'),
    ([[0, 0, 8, 0, 8, True]], 'three vertices, got'),
    ([['x' * 10**6, *[0] * 10**6]], 'three vertices, got'),
    (dict(size=[10, 10], counts=['x' * 10**6, *[0] * 10**6]), 'whole number'),
    ([[0, 0, 8, 0, 8, float('nan')]], 'not finite .*nan'),
    ([[0, 0, 8, 0, 8, float('inf')]], 'not finite .*inf'),
    ([[0, 0, 8, 0, 8, 1e10]], 'far outside .* 10 pixels: .*10000000000.0'),
    ([[0, 0, 8, 0, 8, -2**63]], 'far outside'),
    ([[0, 0, 8, 0, 8, 20.5]], 'far outside .*20.5'),
    ([[0, 0, 8, 0, -20.5, 2]], 'far outside .*-20.5'),
    ({}, "needs 'size' and 'counts', got {}"),
    (dict(size=[10, 10]), "needs 'size' and 'counts'"),
    (dict(size=[10], counts=[100]), r'size \[10\] on .* \[10, 10\]'),
    (dict(size=[10, 20], counts=[200]), r'\[10, 20\] on .* \[10, 10\]'),
    (dict(size='10 10', counts=[100]), "size '10 10'"),
    (dict(size=[10., 10.], counts=[100]), r'size \[10.0, 10.0\]'),
    (dict(size=[10, 10], counts=[99]), 'add up to 10 x 10 = 100'),
    (dict(size=[10, 10], counts=[]), 'whole numbers, got|add up'),
    (dict(size=[10, 10], counts=[120, -20]), 'add up'),
    (dict(size=[10, 10], counts=[2**62, 2**62, 2**62, 2**62, 100]), 'add up'),
    (dict(size=[10, 10], counts=[50.5, 49.5]), 'whole numbers, got'),
    (dict(size=[10, 10], counts=[float('nan'), 100]), 'whole numbers'),
    (dict(size=[10, 10], counts=['100']), 'whole numbers'),
    (dict(size=[10, 10], counts=[[100]]), 'whole numbers'),
    (dict(size=[10, 10], counts=None), 'whole numbers, got None'),
    (dict(size=[10, 10], counts=''), 'cut'),
    (dict(size=[10, 10], counts='T3'), 'add up'),  # 100 is 'T3': see below
    (dict(size=[10, 10], counts='`'), 'cut'),
    (dict(size=[10, 10], counts='P' * 10 + '1'), 'more than 30 bits'),
    (dict(size=[10, 10], counts='0é0'), "counts hold 'é'"),
    (dict(size=[10, 10], counts='\udc80'), 'counts hold .*damaged'),
    (dict(size=[10, 10], counts='/0'), "counts hold '/'"),
])
def test_a_damaged_segmentation_is_refused(segmentation, words):
    if segmentation == dict(size=[10, 10], counts='T3'):
        assert run_lengths('T3').tolist() == [100]
        segmentation = dict(segmentation, counts='T30O0')
    with pytest.raises(ValueError, match=words):
        plain_segmentation(segmentation, 10, 10)


def test_polygons_that_are_too_long_to_draw():
    """COCO's code keeps each fifth of a pixel of the way around."""
    zigzag = [-7999, -7999, 7999, 7999] * 62  # 9,919,000 points
    assert plain_segmentation([zigzag], 3000, 4000) == [zigzag]
    for polygons in ([zigzag, zigzag], [zigzag * 64], [zigzag] * 64):
        with pytest.raises(ValueError, match='drawing them takes .* points'):
            plain_segmentation(polygons, 3000, 4000)


def written_in(runs, length):
    """A compressed RLE of numbers of so many characters each."""
    numbers = runs[:3] + [b - a for a, b in zip(runs[1:], runs[3:])]
    return ''.join(
        chr(48 + (number >> 5 * k & 31) + 32 * (k < length - 1))
        for number in numbers for k in range(length))


@pytest.mark.parametrize('length', range(3, 9))
def test_numbers_in_more_characters_than_they_need(length):
    """COCO's code shifts an int: it reads no seventh character as is."""
    runs = [1000, 3000, 2000, 500, 1000, 2500]
    rle = dict(size=[100, 100], counts=written_in(runs, length))
    if length > 6:
        with pytest.raises(ValueError, match='more than 30 bits'):
            check_rle(rle, 100, 100)
        return
    assert check_rle(rle, 100, 100).tolist() == runs
    assert mask_area(rle, 100, 100) == sum(runs[1::2])
    assert runs_of(coco_mask.decode(rle)) == runs


def test_the_longest_runs_are_read():
    """As COCO's code writes them: in no more than six characters."""
    side = 2**13
    runs = [1, 2**26 - 10, 2, 1, 2, 1, 3]
    encoded = coco_mask.frPyObjects(
        dict(size=[side, side], counts=runs), side, side)
    assert check_rle(encoded, side, side).tolist() == runs
    assert mask_area(encoded, side, side) == sum(runs[1::2])


def test_masks_of_more_pixels_than_fit_into_memory():
    for size in ([100_000, 1], [1, 40_000], [30_000, 30_000]):
        pixels = size[0] * size[1]
        with pytest.raises(ValueError, match=f'{size[0]} x {size[1]} pixels'):
            plain_segmentation(dict(size=size, counts=[pixels]), *size)


def test_every_cut_of_a_compressed_rle_is_refused(rng):
    for mask in random_masks(rng, 5):
        mask = np.kron(mask, np.ones((9, 7), np.uint8))
        counts = coco_mask.encode(np.asfortranarray(mask))['counts'].decode()
        for end in range(len(counts)):
            with pytest.raises(ValueError):
                plain_segmentation(
                    dict(size=list(mask.shape), counts=counts[:end]),
                    *mask.shape)


def test_empty_runs_are_joined(rng):
    """COCO's code compares them wrongly, and writes where it may not."""
    for _ in range(300):
        h, w = (int(side) for side in rng.integers(2, 8, 2))
        cuts = np.sort(rng.integers(0, h * w + 1, rng.integers(1, 9)))
        counts = np.diff([0, *cuts, h * w]).tolist()
        values = np.arange(len(counts)) % 2
        mask = np.repeat(values, counts).reshape(w, h).T.astype(np.uint8)
        plain = plain_segmentation(dict(size=[h, w], counts=counts), h, w)
        assert plain == dict(size=[h, w], counts=runs_of(mask))
        decoded = coco_mask.decode(coco_mask.frPyObjects(plain, h, w))
        assert np.array_equal(decoded, mask)


@pytest.mark.parametrize('compressed', [True, False])
def test_pixels_around_points_are_those_of_the_decoded_mask(compressed):
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 20), np.uint8, order='F')
    mask[4:22, 3:9] = mask[0:5, 12:20] = mask[29, 19] = 1
    mask ^= (rng.random(mask.shape) < .05).astype(np.uint8)
    rle = coco_mask.encode(mask)
    if not compressed:
        rle = dict(size=[30, 20], counts=runs_of(mask))
    points = rng.uniform(-6, 34, (300, 2))
    for reach in (0, 1, 4, 50):
        found = pixels_around(rle, points, reach)
        for (x, y), number in zip(np.floor(points + .5).astype(int), found):
            near = mask[max(y - reach, 0):max(y + reach + 1, 0),
                        max(x - reach, 0):max(x + reach + 1, 0)]
            assert number == near.sum()


def test_pixels_of_a_huge_mask():
    """11585 x 11585 pixels in a few bytes, which are not decoded."""
    rle = dict(size=[11585, 11585], counts=[11585**2 // 2, 11585**2 // 2 + 1])
    points = np.array([[100., 5000], [11000, 5000]])
    assert (pixels_around(rle, points, 580) > 0).tolist() == [False, True]

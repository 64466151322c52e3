"""Targets from persons, and what the decoding is given: values."""
import numpy as np
import pytest
import torch
from factories import linked_tokens, peaks
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.evaluation.oracle import PerfectAttention
from mmpose_ssa.models.codec import AttentionGrouping

W, H = 64, 48  # input pixels; 16 x 12 cells, 4 x 3 tokens of 16 pixels


def codec_of(**options) -> AttentionGrouping:
    return AttentionGrouping(**dict(
        dict(input_size=(W, H), heatmap_size=(W // 4, H // 4)), **options))


def pair_codec(**options) -> AttentionGrouping:
    """Two keypoint types and the link between them."""
    return codec_of(**dict(
        dict(num_keypoints=2, order=(0, 1), edges=((0, 1), )), **options))


class Matrix:
    """Attention from L x L matrices, one for each image."""

    def __init__(self, *matrices, grid=(3, 4)):
        self.matrices, self.grid = matrices, grid

    def rows(self, image, tokens):
        self.asked = tokens.tolist()
        return torch.as_tensor(self.matrices[image])[tokens].float()


# --- annotations -> targets -------------------------------------------------


def person(*points):
    """(1, 17, 2) keypoints and (1, 17) visibilities, by type."""
    keypoints, visible = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17))
    for kind, (x, y, v) in enumerate(points):
        keypoints[0, kind], visible[0, kind] = (x, y), v
    return keypoints, visible


def encode(codec, *persons, masks=None):
    keypoints, visible = (np.concatenate(part) for part in zip(*persons))
    if masks is None:
        masks = np.ones((len(persons), H // 4, W // 4), np.uint8)
    return codec.encode(keypoints, visible, masks)


def gaussian(x, y, sigma):
    ys, xs = np.mgrid[:H // 4, :W // 4]
    return np.exp(-((xs - x)**2 + (ys - y)**2) / (2 * sigma**2))


@pytest.mark.parametrize('unbiased, centre', [(False, (10, 6)),
                                              (True, (10.25, 5.5))])
@pytest.mark.parametrize('sigma', [1, 2])
def test_a_gaussian_lies_on_the_rounded_cell_or_between(
        unbiased, centre, sigma):
    """Pixel (41, 22) is cell (10.25, 5.5)."""
    codec = codec_of(unbiased=unbiased, sigma=sigma)
    heatmaps = encode(codec, person((41, 22, 1)))['heatmaps']
    expected = gaussian(*centre, sigma)
    near = expected > np.exp(-4.5)  # both are cut off at 3 sigma
    assert_allclose(heatmaps[0][near], expected[near], rtol=1e-5)
    assert not heatmaps[1:].any()
    if not unbiased:
        assert heatmaps[0, 6, 10] == 1


@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('visible', [1e-3, .45, 1, 2])
def test_a_keypoint_is_labelled_where_v_is_above_0(unbiased, visible):
    """For the heatmaps as for the attention."""
    codec = codec_of(unbiased=unbiased)
    targets = encode(codec, person((40, 20, visible), (40, 20, 0),
                                   (40, 20, -1)))
    assert targets['heatmaps'][0].max() == pytest.approx(1)
    assert not targets['heatmaps'][1:].any()
    assert targets['keypoint_weights'][0].nonzero()[0].tolist() == [0]


def test_of_several_gaussians_the_largest_counts():
    heatmaps = encode(codec_of(), person((20, 24, 1)),
                      person((32, 24, 1)))['heatmaps']
    expected = np.maximum(gaussian(5, 6, 2), gaussian(8, 6, 2))
    near = expected > np.exp(-2)
    assert_allclose(heatmaps[0][near], expected[near], rtol=1e-5)


def test_tokens_and_weights_by_hand():
    """A keypoint outside keeps the nearest token and has no weight."""
    points = [(17, 35, 1), (0, 0, 1), (63.9, 47.9, 1), (64, 10, 1),
              (-.1, 10, 1), (20, 48, 1), (20, 20, 0)]
    targets = encode(codec_of(), person(*points))
    assert targets['keypoint_tokens'].dtype == np.int64
    assert targets['keypoint_tokens'][0, :7].tolist() == [
        2 * 4 + 1, 0, 11, 3, 0, 9, 5]
    assert targets['keypoint_weights'][0].tolist() == [1, 1, 1] + [0] * 14


def test_only_who_can_supervise_is_handed_on_and_all_are_drawn():
    """Kept: the first and the last, whose second keypoint lies inside."""
    persons = [person((8, 8, 1)), person((70, 8, 1)), person((24, 8, 1)),
               person((40, 8, 0)), person((-9, 8, 1), (40, 40, 1))]
    masks = np.zeros((5, H // 4, W // 4), np.uint8)
    for n in (0, 1, 3, 4):  # the third has no mask
        masks[n, n] = 1
    targets = encode(codec_of(), *persons, masks=masks)
    assert_array_equal(targets['instance_masks'], masks[[0, 4]])
    assert targets['keypoint_tokens'][:, :2].tolist() == [[0, 0], [0, 10]]
    assert targets['keypoint_weights'][:, :2].tolist() == [[1, 0], [0, 1]]
    assert targets['heatmaps'][0, 2, [2, 6]].tolist() == [1, 1]
    # not labelled: there is but the rim of the Gaussian 4 cells away
    assert targets['heatmaps'][0, 2, 10] == pytest.approx(np.exp(-2))


def test_encoding_changes_no_argument():
    arrays = [*person((41, 22, 1)), np.ones((1, H // 4, W // 4), np.uint8)]
    before = [array.copy() for array in arrays]
    codec_of().encode(*arrays)
    for array, copy in zip(arrays, before):
        assert_array_equal(array, copy)


@pytest.mark.parametrize('masks', [None, np.ones((2, H // 4, W // 4))])
def test_every_person_needs_a_mask(masks):
    with pytest.raises(ValueError, match='1 persons need as many instance_ma'
                       '.*put GeneratePersonMasks before GenerateTarget'):
        codec_of().encode(*person((9, 9, 1)), masks)


# --- persons without masks --------------------------------------------------


def encode_pairs(codec, *persons, masked=(), crowd=(), corners=False):
    """Boxes are the whole input, areas 64 square pixels."""
    keypoints, visible = (np.concatenate(part) for part in zip(*persons))
    n = len(persons)
    masks = np.zeros((n, H // 4, W // 4), np.uint8)
    masks[list(masked)] = 1
    boxes = np.tile(np.float32([0, 0, W - 1, H - 1]), (n, 1))
    if corners:
        boxes = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    return codec.encode(
        keypoints, visible, masks, bbox=boxes, area=np.full(n, 64.),
        iscrowd=[int(i in crowd) for i in range(n)], skeleton_links=[(0, 1)])


@pytest.mark.parametrize('corners', [False, True])
def test_pairs_of_those_without_masks_come_last(corners):
    """0 has no mask, 1 has one, 2 nothing visible, 3 is a crowd."""
    people = [person((7, 7, 1), (40, 7, 1)), person((7, 23, 1)),
              person((7, 7, 0)), person((7, 40, 1))]
    codec = codec_of(pair_targets=True)
    assert codec.auxiliary_encode_keys == {
        'instance_masks', 'bbox', 'area', 'iscrowd', 'skeleton_links'}
    assert codec.label_mapping_table['pair_targets'] == 'pair_targets'
    given = encode_pairs(codec, *people, masked=[1], crowd=[3],
                         corners=corners)
    assert len(given['instance_masks']) == 1
    assert given['keypoint_tokens'][:, 0].tolist() == [4, 0]
    assert given['keypoint_weights'].sum(1).tolist() == [1, 2]
    # where others are, the crowd among them, 0
    assert given['pair_targets'].tolist() == [
        [[0, 0, 0, -1], [1, -1, -1, -1], [0, -1, -1, -1]],
        [[1, 1, 1, -1], [0, -1, -1, -1], [0, -1, -1, -1]]]


def test_without_pairs_nobody_without_mask_is_handed_on():
    codec = codec_of()
    given = encode(codec, person((7, 7, 1)),
                   masks=np.zeros((1, H // 4, W // 4), np.uint8))
    assert codec.auxiliary_encode_keys == {'instance_masks'}
    assert 'pair_targets' not in given
    assert len(given['keypoint_tokens']) == 0


# --- outputs -> persons -----------------------------------------------------

CELLS = (2, 12, 16)


def test_the_attention_of_the_image_asked_for_is_used():
    heatmaps = torch.from_numpy(peaks(CELLS, (0, 1, 1, .9), (1, 9, 9, .8)))
    both = Matrix(linked_tokens(), linked_tokens((0, 10)))
    assert len(pair_codec().decode(heatmaps, both, 0).scores) == 2
    assert len(pair_codec().decode(heatmaps, both, 1).scores) == 1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16,
                                   torch.float64])
def test_heatmaps_of_any_precision_with_gradient(dtype):
    heatmaps = torch.from_numpy(peaks(CELLS, (0, 1, 1, .75), (1, 9, 9, .5)))
    attention = Matrix(linked_tokens((0, 10)))
    found = pair_codec().decode(heatmaps.to(dtype).requires_grad_(),
                                attention, content_inp=(0, 0, 30, 30))
    assert attention.asked == [0]  # token 10 lies outside the content
    assert found.keypoint_scores.tolist() == [[.75, 0]]
    assert found.keypoints.tolist() == [[[4, 4], [0, 0]]]


@pytest.mark.parametrize('grid', [(6, 8), (4, 3), (2, 6)])
def test_attention_of_another_grid_is_refused(grid):
    attention = Matrix(np.eye(grid[0] * grid[1]), grid=grid)
    with pytest.raises(ValueError, match=rf'\({grid[0]}, {grid[1]}\) tokens'
                       r'.*16 need \(3, 4\)'):
        codec_of().decode(torch.zeros(17, 12, 16), attention)


def test_the_last_tokens_may_reach_beyond_the_heatmap():
    """10 x 13 cells are 40 x 52 pixels: 2.5 x 3.25 tokens."""
    codec_of().check_grid((3, 4), (10, 13))
    with pytest.raises(ValueError, match=r'\(2, 3\) tokens.*need \(3, 4\)'):
        codec_of().check_grid((2, 3), (10, 13))


# --- there and back ---------------------------------------------------------

SIDE, STRIDE = 160, 8


def two_persons(rng, k=17):
    """Keypoints inside two rectangles of which one covers the other's edge.

    The second person's last two keypoints are not labelled.
    """
    rows, columns = np.divmod(np.arange(k), 3)
    first = np.stack([25 + 28 * columns, 25 + 20 * rows], axis=-1)
    second = np.stack([75 + 28 * columns, 35 + 20 * rows[::-1]], axis=-1)
    keypoints = np.stack([first, second]) + rng.uniform(-3, 3, (2, k, 2))
    visible = np.ones((2, k), np.float32)
    visible[1, -2:] = 0
    masks = np.zeros((2, SIDE // 4, SIDE // 4), np.uint8)
    masks[0, 5:36, 5:22] = masks[1, 8:39, 18:35] = 1
    return keypoints.astype(np.float32), visible, masks


def ideal_attention(targets):
    cells = STRIDE // 4
    tokens = SIDE // STRIDE
    coverage = targets['instance_masks'].reshape(
        -1, tokens, cells, tokens, cells).mean(axis=(2, 4))
    return PerfectAttention(coverage, targets['keypoint_tokens'],
                          targets['keypoint_weights'] > 0)


CHAIN_14 = dict(num_keypoints=14, order=list(range(13, -1, -1)),
                edges=[(i, i + 1) for i in range(13)])


@pytest.mark.parametrize('grouping', ['part_first', 'body_first'])
@pytest.mark.parametrize('unbiased, error', [(False, 2), (True, .1)])
@pytest.mark.parametrize('skeleton', [{}, CHAIN_14])
def test_two_overlapping_persons_come_back(rng, grouping, unbiased, error,
                                           skeleton):
    """Rounded to a cell a location is up to two pixels off."""
    codec = AttentionGrouping(
        (SIDE, SIDE), (SIDE // 4, SIDE // 4), STRIDE, grouping=grouping,
        unbiased=unbiased, score_threshold=.9, **skeleton)
    keypoints, visible, masks = two_persons(rng, codec.num_keypoints)
    targets = codec.encode(keypoints, visible, masks)
    found = codec.decode(torch.from_numpy(targets['heatmaps']),
                         ideal_attention(targets))
    assert len(found.scores) == 2  # the first has more keypoints: it leads
    missing = visible == 0
    assert_array_equal(found.keypoint_scores == 0, missing)
    assert not found.keypoints[missing].any()
    assert_allclose(found.keypoints[~missing], keypoints[~missing],
                    atol=error + 1e-4)
    if not unbiased:
        assert_array_equal(found.keypoint_scores, visible)
        assert_allclose(found.scores, [1, 1 - 2 / codec.num_keypoints])


@pytest.mark.parametrize('options, words', [
    (dict(input_size=(60, 48)), r'\(60, 48\) must be a multiple of .* 16'),
    (dict(heatmap_size=(16, 16)), r'\(16, 16\) must be one whole number'),
    (dict(heatmap_size=(24, 18)), r'must be one whole number, got \[2\.66'),
    (dict(nms_kernel=6), 'nms_kernel .*6'),  # and all that DecodeOptions does
])
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        codec_of(**options)


def test_what_the_decoding_knows_not_is_refused():
    with pytest.raises(TypeError, match='scor_threshold'):
        codec_of(scor_threshold=.1)

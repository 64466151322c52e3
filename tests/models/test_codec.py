"""Targets from persons, candidates and persons from outputs: values."""
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.candidates import quarter_offset, taylor_offset
from mmpose_ssa.evaluation.oracle import IdealAttention
from mmpose_ssa.models.codec import COCO_EDGES, COCO_ORDER, AttentionGrouping

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


# --- heatmaps -> candidates -------------------------------------------------


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
        codec = codec_of(nms_kernel=window, max_candidates=limit,
                         score_threshold=.25)
        found = codec.candidates(torch.tensor(heatmaps))
        cells = [(kind, y, x) for kind, (x, y) in zip(found.types,
                                                      found.cells)]
        assert cells == literal_candidates(heatmaps, window, .25, limit)
        assert_array_equal(found.scores, [heatmaps[cell] for cell in cells])


def peaks(shape, *cells):
    """Heatmaps that are 0 but for (type, x, y, score)."""
    heatmaps = torch.zeros(shape)
    for kind, x, y, score in cells:
        heatmaps[kind, y, x] = score
    return heatmaps


def test_a_candidate_lies_above_the_threshold_not_on_it():
    heatmaps = peaks((2, 12, 16), (0, 3, 3, .5), (1, 3, 3, .5001))
    found = codec_of(score_threshold=.5).candidates(heatmaps)
    assert found.types.tolist() == [1]


def test_no_candidate_lies_outside_the_content():
    """Cell x is pixel 4x: of pixels 5 to 31 those are cells 2 to 7."""
    across = peaks((16, 12, 16), *((x, x, 5, 1) for x in range(16)))
    found = codec_of().candidates(across, (5, -.5, 31, 47.5))
    assert found.cells.tolist() == [[x, 5] for x in range(2, 8)]
    down = peaks((12, 12, 16), *((y, 9, y, 1) for y in range(12)))
    found = codec_of().candidates(down, (-9, 9, 99, 39.9))
    assert found.cells.tolist() == [[9, y] for y in range(3, 10)]


def test_a_maximum_is_one_of_the_whole_map():
    """What rises towards a peak in the padding is no maximum."""
    heatmaps = peaks((1, 12, 16), (0, 6, 3, .5), (0, 9, 3, .9), (0, 2, 9, .4))
    found = codec_of().candidates(heatmaps, (0, 0, 31, 47))
    assert found.cells.tolist() == [[2, 9]]


def test_attention_of_another_stride_is_refused():
    attention = Matrix(np.eye(48), grid=(6, 8))
    with pytest.raises(ValueError, match=r'\(6, 8\) tokens.*16 need \(3, 4\)'):
        codec_of().decode(torch.zeros(17, 12, 16), attention)


# --- locations inside the cell ----------------------------------------------

CENTRE = np.zeros(1, int), np.array([[1, 1]])


def test_a_quarter_toward_the_higher_neighbour():
    heatmap = np.array([[[0, .7, 0], [.5, 1, .6], [0, .2, 0]]])
    assert quarter_offset(heatmap, *CENTRE).tolist() == [[.25, -.25]]
    heatmap[0, 1, 2] = .5
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
    gaussian(2.5, 1, 2)[:3, :3],  # centred more than a cell away
])
def test_taylor_stays_where_the_expansion_does_not_hold(heatmap):
    assert taylor_offset(heatmap[None], *CENTRE).tolist() == [[0, 0]]


# --- outputs -> persons -----------------------------------------------------


def pairs(*links):
    """Tokens attend to themselves, linked ones half to the other."""
    matrix = np.eye(12)
    for a, b in links:
        matrix[[a, b], [a, b]] = matrix[[a, b], [b, a]] = .5
    return matrix


def test_persons_by_hand():
    """Three of type 0, in tokens 0, 2 and 8; one of type 1, token 10, with
    the last: scores .45, .35 and (.5 + .95) / 2."""
    heatmaps = peaks((2, 12, 16), (0, 1, 1, .9), (0, 9, 1, .7), (0, 1, 9, .5),
                     (1, 9, 9, .95))
    attention = Matrix(pairs((8, 10)))
    found = pair_codec().decode(heatmaps, attention)
    assert attention.asked == [0, 2, 8, 10]
    assert found.candidates.tolist() == [[2, 3], [0, -1], [1, -1]]
    assert_allclose(found.scores, [.725, .45, .35])
    assert_allclose(found.keypoint_scores, [[.5, .95], [.9, 0], [.7, 0]])
    assert found.keypoints.tolist() == [[[4, 36], [36, 36]],
                                        [[4, 4], [0, 0]], [[36, 4], [0, 0]]]
    maps = np.zeros((3, 12))
    maps[0, [8, 10]] = maps[1, 0] = maps[2, 2] = 1
    assert_array_equal(found.maps, maps.reshape(3, 3, 4))
    assert_array_equal(found.rows.reshape(4, 12), pairs((8, 10))[[0, 2, 8,
                                                                  10]])
    best = pair_codec(max_persons=2).decode(heatmaps, attention)
    assert best.candidates.tolist() == found.candidates[:2].tolist()


def test_merged_persons_are_ranked_by_what_they_have_become():
    """Two halves of .6 and .5 become one person of .55, past the .53."""
    heatmaps = peaks((2, 12, 16), (0, 1, 1, .6), (1, 9, 1, .5),
                     (0, 9, 9, 1.06))
    same = pairs((0, 2))
    options = dict(max_persons=1)
    for lam, best in ((.0025, [0, 2]), (9., [0, 2])):  # grouped, or merged
        found = pair_codec(attraction_threshold=lam, **options).decode(
            heatmaps, Matrix(same))
        assert found.candidates.tolist() == [best]
        assert_allclose(found.scores, .55)
    found = pair_codec(attraction_threshold=9., merge_threshold=1.,
                       **options).decode(heatmaps, Matrix(same))
    assert found.candidates.tolist() == [[1, -1]]


def test_the_attention_of_the_image_asked_for_is_used():
    heatmaps = peaks((2, 12, 16), (0, 1, 1, .9), (1, 9, 9, .8))
    both = Matrix(pairs(), pairs((0, 10)))
    assert len(pair_codec().decode(heatmaps, both, 0).scores) == 2
    assert len(pair_codec().decode(heatmaps, both, 1).scores) == 1


def test_the_token_is_that_of_the_cell_not_of_the_refined_location():
    """Cell 4 is pixel 16, the first of token 1; refined it is pixel 15."""
    heatmaps = peaks((2, 12, 16), (0, 4, 1, .9), (0, 3, 1, .5))
    for refine, x in ((True, 15), (False, 16)):
        attention = Matrix(pairs())
        found = pair_codec(refine_location=refine).decode(heatmaps, attention)
        assert attention.asked == [1]
        assert found.keypoints[0, 0].tolist() == [x, 4]


def test_nothing_above_the_threshold_is_nobody():
    found = pair_codec().decode(torch.zeros(2, 12, 16), Matrix(pairs()))
    assert found.keypoints.shape == (0, 2, 2)
    assert found.keypoint_scores.shape == found.candidates.shape == (0, 2)
    assert found.scores.shape == (0, )
    assert found.maps.shape == found.rows.shape == (0, 3, 4)


def test_heatmaps_of_another_size_than_in_training():
    """The last cell of 10 x 20, on 5 x 10 tokens of r = 8."""
    codec = pair_codec(token_stride=8)
    attention = Matrix(np.eye(50), grid=(5, 10))
    found = codec.decode(peaks((2, 10, 20), (1, 19, 9, .9)), attention)
    assert attention.asked == [49]
    assert found.keypoints.tolist() == [[[0, 0], [76, 36]]]


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
    return IdealAttention(coverage, targets['keypoint_tokens'],
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


# --- the skeleton -----------------------------------------------------------


def test_order_and_edges_are_the_papers():
    assert COCO_ORDER == (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14,
                          15, 16)
    assert len(set(COCO_EDGES)) == 20
    mirrored = [0] + [k + 1 if k % 2 else k - 1 for k in range(1, 17)]
    edges = {frozenset(edge) for edge in COCO_EDGES}
    assert edges == {frozenset(mirrored[k] for k in edge) for edge in edges}
    assert sum(frozenset((0, k)) in edges for k in range(17)) == 4


@pytest.mark.parametrize('given', [{}, dict(order=range(14)),
                                   dict(edges=CHAIN_14['edges'])])
def test_other_skeletons_need_order_and_edges(given):
    with pytest.raises(ValueError, match='14 keypoints need their own `order`'
                       ' and `edges`'):
        codec_of(num_keypoints=14, **given)


@pytest.mark.parametrize('options, words', [
    (dict(input_size=(60, 48)), r'\(60, 48\) must be a multiple of .* 16'),
    (dict(heatmap_size=(16, 16)), r'\(16, 16\) must be one whole number'),
    (dict(heatmap_size=(24, 18)), r'must be one whole number, got \[2\.66'),
    (dict(grouping='greedy'), "'part_first' or 'body_first', got 'greedy'"),
    (dict(nms_kernel=6), 'nms_kernel must be odd and positive, got 6'),
    (dict(nms_kernel=-7), 'nms_kernel must be odd and positive, got -7'),
    (dict(mask_mode='hard'), "mask_mode must be 'soft' or 'binary', got"),
    (dict(order=()), 'must name each of the 17 keypoints'),
    (dict(order=[1] * 17), 'must name each of the 17 keypoints'),
    (dict(edges=[(0, 17)]), r'edge \(0, 17\) names a keypoint that does not'),
])
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        codec_of(**options)

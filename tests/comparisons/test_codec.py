"""Targets with tags, and persons from heatmaps and tags."""
import mmpose_ssa.register  # noqa: F401  before mmpose.codecs  # isort: split
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpose.codecs import AssociativeEmbedding
from numpy.testing import assert_allclose

from mmpose_ssa.comparisons.codec import TagGrouping
from mmpose_ssa.comparisons.oracle import nearest_tags

pytestmark = pytest.mark.usefixtures('mmpose')

EVERYWHERE = np.ones((1, 16, 24), np.uint8)


def codec(num_keypoints=2, **options):
    """Two resolutions, 16 x 24 and 8 x 12 cells, of a 64 x 96 input."""
    return TagGrouping((96, 64), (24, 16), **{
        'num_resolutions': 2, 'num_keypoints': num_keypoints,
        'order': range(num_keypoints), **options})


def persons(*points):
    return np.array(points, np.float32).reshape(-1, 2, 2)


# --- targets ----------------------------------------------------------------


def test_cells_by_hand():
    """x 37.9 is in cell 9 of 4 pixels and in cell 4 of 8 pixels."""
    targets = codec().encode(
        persons([[37.9, 21], [95.9, 63.9]]), None, EVERYWHERE)
    coarse, fine = targets['heatmaps']
    assert coarse.shape == (2, 8, 12) and fine.shape == (2, 16, 24)
    for maps, cells in ((fine, [(5, 9), (15, 23)]),
                        (coarse, [(2, 4), (7, 11)])):
        for kind, (y, x) in enumerate(cells):
            assert np.argwhere(maps[kind] == 1).tolist() == [[y, x]]
            assert maps[kind, y - 1, x] == pytest.approx(np.exp(-1 / 8))
            assert maps[kind, y, x - 2] == pytest.approx(np.exp(-4 / 8))
    assert targets['keypoint_indices'].tolist() == [
        [[2 * 12 + 4, 1], [7 * 12 + 11, 1]]]
    assert targets['keypoint_indices'].dtype == np.int64


@pytest.mark.parametrize('sigma', (1, 5 / 3, 2))
def test_every_cell_has_its_peak_where_its_tag_is(sigma):
    """Also those at the edge, where a Gaussian is cut."""
    y, x = np.mgrid[4:64:8, 4:96:8].reshape(2, -1)
    centres = np.stack([x, y], -1)[None].astype(np.float32)
    targets = codec(len(x), sigma=sigma).encode(centres, None, EVERYWHERE)
    coarse = targets['heatmaps'][0].reshape(len(x), -1)
    assert (coarse.argmax(1) == targets['keypoint_indices'][0, :, 0]).all()
    assert (coarse.max(1) == 1).all()


@pytest.mark.parametrize('sigma', (0, -1, 1.5))
def test_a_sigma_that_would_shift_peaks_is_refused(sigma):
    with pytest.raises(ValueError, match=f'got sigma {sigma}'):
        codec(sigma=sigma)


def test_what_is_not_there_draws_nothing():
    points = persons([[-.5, 10], [40, 10]], [[96, 10], [10, 64]],
                     [[20, 10], [30, 10]])
    targets = codec().encode(points, np.array([[1, 1], [1, 1], [1, 0]]),
                             EVERYWHERE)
    for maps in targets['heatmaps']:
        assert (maps == 1).sum(axis=(1, 2)).tolist() == [1, 1]
    # the second has no keypoint inside
    assert targets['keypoint_indices'].tolist() == [
        [[0, 0], [12 + 5, 1]], [[12 + 2, 1], [0, 0]]]


def test_nobody():
    targets = codec().encode(np.zeros((0, 2, 2), np.float32), None,
                             EVERYWHERE)
    assert targets['keypoint_indices'].shape == (0, 2, 2)
    assert not any(maps.any() for maps in targets['heatmaps'])


def test_a_coarse_cell_counts_where_half_of_the_fine_ones_do():
    mask = EVERYWHERE.copy()
    mask[0, 0, :2] = 0  # two of four
    mask[0, 2:4, 2:4] = 0  # all
    mask[0, 4:6, 4:6] = [[0, 0], [0, 1]]  # three
    coarse, fine = codec().encode(persons(), None, mask)['heatmap_mask']
    assert np.array_equal(fine, mask)
    assert np.argwhere(coarse[0] == 0).tolist() == [[1, 1], [2, 2]]


# --- persons ----------------------------------------------------------------


def outputs(codec, points, visible=None):
    """Perfect heatmaps and tags, at the size of the input."""
    w, h = codec.heatmap_size
    targets = codec.encode(points, visible, np.ones((1, h, w), np.uint8))
    coarse = targets['heatmaps'][0].shape[1:]
    maps = [torch.from_numpy(maps)[None] for maps in targets['heatmaps']]
    tags = torch.from_numpy(
        nearest_tags(targets['keypoint_indices'], coarse))[None]
    finest = maps[-1].shape[2:]
    mean = sum(resize(part, finest) for part in maps) / len(maps)
    size = codec.input_size[::-1]
    return resize(mean, size), resize(resize(tags, finest), size)


def resize(maps, size):
    return F.interpolate(maps, size, mode='bilinear', align_corners=False)


def apart(rng, number, kinds=17, size=(192, 128)):
    """(N, K, 2) points, those of one kind 16 pixels apart."""
    points = np.zeros((number, kinds, 2), np.float32)
    for kind in range(kinds):
        cells = rng.permutation(size[0] // 24 * (size[1] // 24))[:number]
        y, x = np.divmod(cells, size[0] // 24)
        points[:, kind] = np.stack([x, y], axis=-1) * 24 + rng.uniform(
            4, 20, (number, 2))
    return points


@pytest.mark.parametrize('resolutions', [1, 2])
def test_perfect_outputs_give_the_persons_back(rng, resolutions):
    """Within half a cell, and not to one side."""
    scale = 2**(2 - resolutions)
    tagged = TagGrouping((192, 128), (96 // scale, 64 // scale), resolutions)
    points = apart(rng, 8)
    visible = rng.uniform(size=(8, 17)) < .8
    keypoints, scores, instance_scores = tagged.batch_decode(
        *outputs(tagged, points, visible))
    assert keypoints[0].shape == (8, 17, 2) and scores[0].shape == (8, 17)
    # whose it is: the nearest of the persons found
    distance = np.linalg.norm(
        np.where(visible[:, None, :, None],
                 keypoints[0][None] - points[:, None], 0), axis=-1).mean(-1)
    owner = distance.argmin(axis=1)
    assert sorted(owner) == list(range(8))
    errors = (keypoints[0][owner] - points)[visible]
    cell = tagged.heatmap_stride
    assert np.abs(errors).max() <= cell / 2 + .3
    assert np.abs(errors.mean(axis=0)).max() < .2 * cell
    assert scores[0][owner][visible].min() > .7
    share = np.where(visible, scores[0][owner], 0).mean(axis=1)
    assert_allclose(instance_scores[0][owner], share, atol=1e-6)
    assert (np.diff(instance_scores[0]) <= 0).all()  # best first


def test_mmposes_own_targets_decode_to_half_a_cell_beside(rng):
    """Why the cells are others here."""
    theirs = AssociativeEmbedding((96, 64), (24, 16), sigma=2)
    decode = AssociativeEmbedding(
        (96, 64), (96, 64), decode_keypoint_order=[0, 1],
        decode_center_shift=.5)
    errors = []
    for _ in range(40):
        point = rng.uniform(16, 48, (1, 2, 2)).astype(np.float32)
        heatmaps = torch.from_numpy(theirs.encode(point)['heatmaps'])[None]
        found = decode.batch_decode(
            resize(heatmaps, (64, 96)), torch.zeros(1, 2, 64, 96))
        errors.append(found[0][0][0] - point[0])
    assert np.mean(errors, axis=(0, 1)) == pytest.approx([2, 2], abs=.6)


def test_nobody_is_found_where_nothing_is():
    tagged = codec(17)
    keypoints, scores, instances = tagged.batch_decode(
        torch.zeros(2, 17, 64, 96), torch.zeros(2, 17, 64, 96))
    for image in range(2):
        assert keypoints[image].shape == (0, 17, 2)
        assert scores[image].shape == (0, 17)
        assert instances[image].shape == (0, )


def test_of_equal_neighbours_one_is_a_candidate():
    """With tags that differ, each of them would be a person."""
    tagged = codec()
    heatmaps = torch.zeros(1, 2, 64, 96)
    heatmaps[0, 0, 10:12, 20:22] = .5
    heatmaps[0, 0, 10, 30] = .5
    heatmaps[0, 1, 40, 50:53:2] = .4  # in one window of five
    tags = torch.arange(64 * 96).view(1, 1, 64, 96).repeat(1, 2, 1, 1) * 5.
    tags[0, 1, 40, 50] = tags[0, 0, 10, 20]
    keypoints, scores, _ = tagged.batch_decode(heatmaps, tags)
    assert len(keypoints[0]) == 2
    assert_allclose(scores[0][0], [.5, .4])
    assert np.abs(keypoints[0][0] - [[20.5, 10.5], [50.5, 40.5]]).max() <= .25


@pytest.mark.parametrize('which', [0, 1])
def test_outputs_that_are_not_finite_are_named(which):
    outputs = torch.zeros(2, 1, 2, 64, 96)
    outputs[0, 0, 0, 10, 20] = 1
    outputs[which, 0, 0, 10, 20] = float('nan')
    with pytest.raises(ValueError, match='not finite.* lr'):
        codec().batch_decode(*outputs)


def test_more_peaks_than_candidates():
    """A plateau does not crowd out other peaks."""
    heatmaps = torch.zeros(1, 2, 64, 96)
    heatmaps[0, 0, 10:12, 20:22] = .9
    heatmaps[0, 0, 30, 20], heatmaps[0, 0, 50, 20] = .8, .7
    tags = torch.arange(64 * 96).view(1, 1, 64, 96).repeat(1, 2, 1, 1) * 5.
    _, scores, _ = codec(max_candidates=2).batch_decode(heatmaps, tags)
    assert_allclose(scores[0][:, 0], [.9, .8])


def test_the_best_persons_are_kept():
    heatmaps = torch.zeros(1, 2, 64, 96)
    tags = torch.zeros(1, 2, 64, 96)
    for person, score in enumerate([.3, .9, .5, .7]):
        heatmaps[0, :, 10 * person + 10, 20] = score
        tags[0, :, 10 * person + 10, 20] = 10 * person + 10
    keypoints, scores, _ = codec(max_persons=2).batch_decode(heatmaps, tags)
    assert_allclose(scores[0], [[.9, .9], [.7, .7]])
    assert keypoints[0][:, 0, 1] == pytest.approx([20.5, 40.5])


def test_missing_keypoints_are_filled_by_heatmap_and_tag():
    """Alike by heatmap, tag 2.2 is two, 1.4 one, and 3.2 no step from 3."""
    tagged = codec()
    heatmaps = torch.zeros(1, 2, 64, 96)
    tags = torch.full((1, 2, 64, 96), 50.)
    heatmaps[0, 0, 10, 20], tags[0, 0, 10, 20] = .6, 3.
    for x, score, tag in ((30, .09, 1.4), (40, .08, 3.2), (50, .095, 9.)):
        heatmaps[0, 1, 30, x], tags[0, 1, 30, x] = score, tag
        heatmaps[0, 1, 30, x + 1] = score / 2
    keypoints, scores, instances = tagged.batch_decode(heatmaps, tags)
    assert_allclose(keypoints[0], [[[20.5, 10.5], [40.75, 30.5]]])
    assert_allclose(scores[0], [[.6, .08]])
    assert_allclose(instances[0], [.3])  # of what was found


def test_a_filled_score_is_never_negative():
    heatmaps = torch.full((1, 2, 64, 96), -.1)
    heatmaps[0, 0, 10, 20] = .6
    _, scores, _ = codec().batch_decode(heatmaps, torch.zeros(1, 2, 64, 96))
    assert_allclose(scores[0], [[.6, 0]])


def test_decoding_changes_no_input(rng):
    heatmaps, tags = outputs(codec(17), apart(rng, 2, size=(96, 64)))
    before = heatmaps.clone(), tags.clone()
    codec(17).batch_decode(heatmaps, tags)
    assert torch.equal(heatmaps, before[0]) and torch.equal(tags, before[1])


# --- what it refuses --------------------------------------------------------


@pytest.mark.parametrize('options, message', [
    (dict(heatmap_size=(24, 12)), r'heatmap_size \(24, 12\)'),
    (dict(num_resolutions=5), r'\(24, 16\) .* 16 .* 5 resolutions'),
    (dict(num_resolutions=0), 'num_resolutions .* 0'),
    (dict(num_resolutions=1.5), 'num_resolutions .* 1.5'),
    (dict(heatmap_size=(0, 0)), r'heatmap_size .* \(0, 0\)'),
    (dict(input_size=(96, -64)), r'input_size .* \(96, -64\)'),
    (dict(max_candidates=0), 'max_candidates .* 0'),
    (dict(max_persons=-1), 'max_persons .* -1'),
    (dict(nms_kernel=4), 'nms_kernel .* 4'),
    (dict(num_keypoints=14), '14 keypoints .*`order`'),
    (dict(num_keypoints=3, order=[0, 2, 2]), r'order \[0, 2, 2\]'),
])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        TagGrouping(**{**dict(input_size=(96, 64), heatmap_size=(24, 16)),
                       **options})


def test_targets_without_their_mask():
    with pytest.raises(ValueError, match=r'\(1, 16, 24\), got None: '
                       '.*GeneratePersonMasks'):
        codec().encode(persons([[1, 1], [2, 2]]))
    with pytest.raises(ValueError, match=r'got \(1, 8, 12\)'):
        codec().encode(persons([[1, 1], [2, 2]]), None,
                       np.ones((1, 8, 12), np.uint8))
    with pytest.raises(ValueError, match='17 keypoints .*num_keypoints=2'):
        codec().encode(np.zeros((1, 17, 2), np.float32), None, EVERYWHERE)

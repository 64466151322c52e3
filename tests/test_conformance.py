"""Numbers of an independent implementation, met by the code that trains and
tests.

``pytest tests/test_conformance.py --vectors FILE`` takes another file: an
``.npz`` with ``count`` and, for each case i, arrays ``i/NAME``:

- attention: q, k (heads, L, d_head) and tokens (M,) -> rows (M, L), affinity
  (M, M);
- mask loss: q, k, h, w, gt_tokens and gt_visible (N, K), gt_masks
  (N, 4h, 4w) -> mask_loss, of those with something visible and a mask that
  is not empty;
- grouping: types, scores (M,), affinity, lam -> part_first, body_first
  (P, K), candidate indices or -1, persons as started;
- merging: part_first, scores, rows -> merged (P', K), maps (P', h, w);
- refinement: bu_kpts (K, 2), bu_scores, td_kpts, td_scores, area ->
  ref1_kpts, ref1_scores, ref2_kpts, ref2_scores.

Integers are equal, floats to 1e-5 relative.
"""
import numpy as np
import pytest
import torch
from factories import COCO_SIGMAS, DATA
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.decoder import group
from mmpose_ssa.decoding.merging import merge_persons
from mmpose_ssa.decoding.refinement import refine_keypoints
from mmpose_ssa.models.codec import AttentionGrouping
from mmpose_ssa.models.encoder import TokenAttention
from mmpose_ssa.models.losses import AttentionMaskLoss

BUNDLED = DATA / 'conformance_vectors.npz'
STRIDE = 16
INPUTS = ('q k h w tokens gt_tokens gt_visible gt_masks types scores lam '
          'bu_kpts bu_scores td_kpts td_scores area').split()
EXPECTED = ('rows affinity mask_loss part_first body_first merged maps '
            'ref1_kpts ref1_scores ref2_kpts ref2_scores').split()


def pytest_generate_tests(metafunc):
    if 'case' in metafunc.fixturenames:
        with np.load(metafunc.config.getoption('vectors')) as vectors:
            cases = [
                {name: vectors[f'{i}/{name}'] for name in INPUTS + EXPECTED}
                for i in range(int(vectors['count']))
            ]
        metafunc.parametrize('case', cases, ids=range(len(cases)))


# Testing hands float32 on; a float64 reference must not differ in a decision.
precisions = pytest.mark.parametrize('dtype', [np.float32, np.float64])


def close(actual, expected):
    assert np.isfinite(expected).all()
    assert_allclose(actual, expected, rtol=1e-5)


def attention_of(case) -> TokenAttention:
    q, k = (torch.from_numpy(case[name])[None] for name in 'qk')
    return TokenAttention(q, k, (int(case['h']), int(case['w'])))


def codec_of(case, **options) -> AttentionGrouping:
    h, w = int(case['h']), int(case['w'])
    return AttentionGrouping((w * STRIDE, h * STRIDE), (w * 4, h * 4),
                             STRIDE, attraction_threshold=float(case['lam']),
                             **options)


def test_the_file_holds_cases(request):
    with np.load(request.config.getoption('vectors')) as vectors:
        assert vectors['count'] > 0


def test_the_bundled_file_holds_what_is_compared():
    with np.load(BUNDLED) as vectors:
        cases = range(int(vectors['count']))
        assert any(vectors[f'{i}/types'].size for i in cases)
        assert any(vectors[f'{i}/mask_loss'] > 0 for i in cases)
        assert any(vectors[f'{i}/part_first'].shape
                   > vectors[f'{i}/merged'].shape for i in cases)


def test_attention(case):
    tokens = torch.from_numpy(case['tokens'])
    rows = attention_of(case).rows(0, tokens).numpy()
    close(rows, case['rows'])
    close(rows[:, case['tokens']], case['affinity'])


def test_mask_loss(case):
    """From keypoints and masks: the codec's tokens, and whom it leaves out."""
    w = int(case['w'])
    tokens = case['gt_tokens']
    centres = np.stack([tokens % w, tokens // w], axis=-1) + 0.5
    targets = codec_of(case).encode(
        (centres * STRIDE).astype(np.float32),
        case['gt_visible'].astype(np.float32), case['gt_masks'])
    able = case['gt_visible'].any(1) & case['gt_masks'].any((1, 2))
    assert_array_equal(targets['keypoint_tokens'], tokens[able])
    loss = AttentionMaskLoss()(attention_of(case), *(
        [torch.from_numpy(targets[name])]
        for name in ('keypoint_tokens', 'keypoint_weights',
                     'instance_masks')))
    close(loss.numpy(), case['mask_loss'])


def test_a_person_with_an_empty_mask_does_not_count(case):
    masks, visible = case['gt_masks'], case['gt_visible']
    test_mask_loss(dict(
        case,
        gt_tokens=np.concatenate([case['gt_tokens'][:1], case['gt_tokens']]),
        gt_visible=np.concatenate([np.ones_like(visible[:1]), visible]),
        gt_masks=np.concatenate([np.zeros_like(masks[:1]), masks])))


@precisions
@pytest.mark.parametrize('grouping', ['part_first', 'body_first'])
def test_grouping(case, grouping, dtype):
    persons = group(case['types'], case['scores'],
                    case['affinity'].astype(dtype),
                    codec_of(case, grouping=grouping).options)
    assert_array_equal(persons, case[grouping])


@precisions
def test_merging(case, dtype):
    options = codec_of(case).options
    persons, maps = merge_persons(
        case['part_first'], case['scores'], case['rows'].astype(dtype),
        options.mask_threshold, options.merge_threshold)
    assert_array_equal(persons, case['merged'])
    close(maps.reshape(case['maps'].shape), case['maps'])


@pytest.mark.parametrize('number', [1, 2])
def test_refinement(case, number):
    keypoints, scores = refine_keypoints(
        case['bu_kpts'], case['bu_scores'], case['td_kpts'],
        case['td_scores'], float(case['area']), np.array(COCO_SIGMAS),
        fill=number == 2)
    close(keypoints, case[f'ref{number}_kpts'])
    close(scores, case[f'ref{number}_scores'])

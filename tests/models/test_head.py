"""Both losses by value, and what reaches the decoder."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch.testing import assert_close

from mmpose_ssa.decoding import DecodedPersons, DecodeOptions
from mmpose_ssa.decoding.coordinates import content_box, input_from_image
from mmpose_ssa.models.encoder import TokenAttention
from mmpose_ssa.models.head import as_instances

pytestmark = pytest.mark.usefixtures('mmpose')

TINY = Config.fromfile(Path(__file__).parents[1] / 'data/ssa_tiny_64.py')
K, CELLS, GRID, DIMS = 17, 16, (8, 8), 16
FLIP = [0] + [k + 1 if k % 2 else k - 1 for k in range(1, K)]
META = dict(input_size=(64, 64), input_scale=np.float32([64, 64]),
            input_center=np.float32([32, 32]), ori_shape=(64, 64),
            flip_indices=FLIP)


def head_of(**options):
    head = MODELS.build(dict(TINY.copy().model.head, **options))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=.3)
    return head


def features(batch=2):
    q, k = torch.randn(2, batch, 1, GRID[0] * GRID[1], DIMS)
    x = torch.randn(batch, DIMS, *GRID)
    return (TokenAttention(q.requires_grad_(), k.requires_grad_(), GRID),
            x.requires_grad_())


def sample(num_persons=2):
    """Targets at random; a quarter of the heatmap does not count."""
    valid = torch.ones(1, CELLS, CELLS, dtype=torch.uint8)
    valid[:, :8, :8] = 0
    return PoseDataSample(
        metainfo=dict(META),
        gt_fields=PixelData(
            heatmaps=torch.rand(K, CELLS, CELLS), heatmap_mask=valid,
            instance_masks=torch.randint(2, (num_persons, CELLS, CELLS))),
        gt_instance_labels=InstanceData(
            keypoint_tokens=torch.randint(64, (num_persons, K)),
            keypoint_weights=torch.ones(num_persons, K)))


# --- losses -----------------------------------------------------------------


def test_the_heatmap_loss_is_the_masked_mean_over_everything():
    head, feats, samples = head_of(), features(), [sample(), sample()]
    losses = head.loss(feats, samples)
    total = 0.
    for predicted, each in zip(head.forward(feats), samples):
        error = (predicted - each.gt_fields.heatmaps).square()
        error[:, :8, :8] = 0
        total += error.sum()
    assert_close(losses['loss_kpt'], total / (2 * K * CELLS * CELLS))


@pytest.mark.parametrize('weight', [.01, 2.])
def test_the_mask_loss_is_weighted_and_trains_the_attention(weight):
    mask_loss = dict(type='AttentionMaskLoss', loss_weight=weight)
    head, feats, samples = head_of(mask_loss=mask_loss), features(), [
        sample(2), sample(0)]
    losses = head.loss(feats, samples)
    assert set(losses) == {'loss_kpt', 'loss_mask', 'mask_error'}
    error = head.mask_loss_module(
        feats[0], *([s.gt_instance_labels[name] for s in samples]
                    for name in ('keypoint_tokens', 'keypoint_weights')),
        [s.gt_fields.instance_masks for s in samples])
    assert error > 0
    assert_close(losses['loss_mask'], weight * error)
    assert_close(losses['mask_error'], error.detach())
    assert not losses['mask_error'].requires_grad
    losses['loss_mask'].backward()
    for tensor in (feats[0].q, feats[0].k):
        assert tensor.grad[0].abs().max() > 0
        assert not tensor.grad[1].any()  # nobody there


def test_without_weight_the_error_is_logged_and_trains_nothing():
    naive = dict(type='AttentionMaskLoss', loss_weight=0.)
    feats, samples = features(), [sample(), sample()]
    losses = head_of(mask_loss=naive).loss(feats, samples)
    assert set(losses) == {'loss_kpt', 'mask_error'}
    assert not losses['mask_error'].requires_grad
    supervised = head_of(
        mask_loss=dict(type='AttentionMaskLoss', loss_weight=1.))
    assert_close(losses['mask_error'],
                 supervised.loss(feats, samples)['loss_mask'].detach())


@pytest.mark.parametrize('weight', [0., .01])
def test_no_error_is_logged_where_nobody_has_a_mask(weight):
    """Its 0 would lower the mean that is logged; training goes on."""
    mask_loss = dict(type='AttentionMaskLoss', loss_weight=weight)
    feats = features()
    losses = head_of(mask_loss=mask_loss).loss(feats, [sample(0), sample(0)])
    assert set(losses) == {'loss_kpt', *(['loss_mask'] if weight else [])}
    if weight:
        assert losses['loss_mask'] == 0
        losses['loss_mask'].backward()
        assert not feats[0].q.grad.any() and not feats[0].k.grad.any()


def test_those_without_masks_train_the_attention_by_pairs():
    """Of each image those with masks come first."""
    pair_loss = dict(type='AttentionPairLoss', loss_weight=.5)
    head, feats = head_of(pair_loss=pair_loss), features()
    samples = [sample(2), sample(1)]
    alone = head_of().loss(feats, samples)
    both = [sample(2), sample(1)]
    for mixed, masked, others in zip(both, samples, (1, 3)):
        labels, more = masked.gt_instance_labels, sample(others)
        more = more.gt_instance_labels
        mixed.gt_fields = masked.gt_fields
        mixed.gt_instance_labels = InstanceData(
            pair_targets=torch.randint(-1, 2, (len(labels) + others, *GRID)),
            **{name: torch.cat([labels[name], more[name]])
               for name in labels.keys()})
    losses = head.loss(feats, both)
    assert set(losses) == {'loss_kpt', 'loss_mask', 'loss_pair', 'mask_error'}
    assert_close(losses['loss_mask'], alone['loss_mask'])
    parts = [s.gt_instance_labels[n:] for s, n in zip(both, (2, 1))]
    error = head.pair_loss_module(feats[0], *(
        [part[name] for part in parts]
        for name in ('keypoint_tokens', 'keypoint_weights', 'pair_targets')))
    assert_close(losses['loss_pair'], .5 * error)


def test_the_pair_loss_names_the_targets_it_lacks():
    head = head_of(pair_loss=dict(type='AttentionPairLoss'))
    with pytest.raises(ValueError, match='pair_targets=True'):
        head.loss(features(), [sample(), sample()])


def test_keypoints_and_tokens_must_be_those_of_the_decoder():
    with pytest.raises(ValueError, match='out_channels 14 .* decoder, 17'):
        head_of(out_channels=14)
    attention, feats = features()
    coarse = TokenAttention(attention.q[:, :, :16], attention.k[:, :, :16],
                            (4, 4))
    with pytest.raises(ValueError, match=r'grid of \(4, 4\) tokens.* 8 need '
                       r'\(8, 8\): set token_stride'):
        head_of().loss((coarse, feats), [sample(), sample()])


def test_targets_of_another_size_are_refused():
    q, x = torch.zeros(2, 1, 16, DIMS), torch.zeros(2, DIMS, 4, 4)
    with pytest.raises(ValueError, match=r'heatmaps \(2, 17, 8, 8\) but target'
                       r's \(2, 17, 16, 16\): .* heatmap_size'):
        head_of().loss((TokenAttention(q, q, (4, 4)), x), [sample(),
                                                           sample()])


def test_sigmoid_heatmaps_are_probabilities_in_float32():
    feats = features()
    head = head_of(activation='sigmoid')
    plain = head_of()
    plain.load_state_dict(head.state_dict())
    plain.eval(), head.eval()
    assert_close(head.forward(feats), plain.forward(feats).sigmoid())
    torch.nn.init.constant_(head.final_layer.bias, 99.)
    with torch.autocast('cpu', torch.bfloat16):
        sure = head.forward(feats)
    assert sure.dtype == torch.float32
    assert torch.isfinite((1 - sure).log()).all()
    with pytest.raises(ValueError, match="activation.*'relu'"):
        head_of(activation='relu')


# --- predictions ------------------------------------------------------------


class Seen:
    """Takes the decoder's place and notes what it was asked to decode."""

    def __init__(self, decode):
        self.decode, self.asked = decode, []

    def __call__(self, heatmaps, attention, image, content):
        self.asked.append((heatmaps, attention, image, content))
        return self.decode(heatmaps, attention, image, content)


@pytest.fixture
def head_and_asked(monkeypatch):
    head = head_of().eval()
    seen = Seen(head.decoder.decode)
    monkeypatch.setattr(head.decoder, 'decode', seen)
    return head, seen.asked


@torch.no_grad()
def test_each_image_is_decoded_from_its_outputs(head_and_asked):
    head, asked = head_and_asked
    feats = features(2)
    preds, fields = head.predict(feats, [sample(), sample()],
                                 dict(output_heatmaps=True))
    heatmaps = head.forward(feats)
    for i in range(2):
        assert_close(asked[i][0], heatmaps[i])
        assert_close(fields[i].heatmaps, heatmaps[i])
        assert asked[i][1:3] == (feats[0], i)
    assert len(preds[0].keypoints) and len(preds[1].keypoints)


@torch.no_grad()
@pytest.mark.parametrize('shift', [True, False])
def test_the_mirror_image_is_turned_back_and_averaged(head_and_asked, shift):
    head, asked = head_and_asked
    plain, mirrored = features(1), features(1)
    head.predict([plain, mirrored], [sample()],
                 dict(flip_test=True, shift_heatmap=shift))
    back = head.forward(mirrored)[0].flip(-1)[FLIP]
    if shift:
        back = torch.cat([back[..., :1], back[..., :-1]], dim=-1)
    heatmaps, attention, image, _ = asked[0]
    assert_close(heatmaps, (head.forward(plain)[0] + back) / 2)

    everything = torch.arange(64)
    turned = mirrored[0].rows(0, everything).reshape(8, 8, 8, 8)
    turned = turned.flip(1, 3).reshape(64, 64)
    assert_close(attention.rows(0, everything),
                 (plain[0].rows(0, everything) + turned) / 2)


def test_flip_test_shifts_unless_told_otherwise(head_and_asked):
    head, asked = head_and_asked
    feats = [features(1), features(1)]
    for options in ({}, dict(shift_heatmap=True), dict(shift_heatmap=False)):
        head.predict(feats, [sample()], dict(flip_test=True, **options))
    default, shifted, unshifted = (heatmaps for heatmaps, *_ in asked)
    assert torch.equal(default, shifted)
    assert not torch.equal(default, unshifted)


# A 100 x 50 image fitted into 64 x 64: .64 of its size, 16 rows above it.
FITTED = dict(input_size=(64, 64), input_scale=np.float32([100, 100]),
              input_center=np.float32([50, 25]), ori_shape=(50, 100))


def test_where_the_image_lies_in_the_input():
    scale, offset = input_from_image(FITTED)
    assert scale == pytest.approx([.64, .64])
    assert offset == pytest.approx([0, 16])
    # pixels are centred on their index: the edges lie half a pixel outside
    assert content_box(FITTED) == pytest.approx((-.32, 15.68, 63.68, 47.68))


@torch.no_grad()
def test_the_padding_holds_no_person(head_and_asked):
    head, asked = head_and_asked
    fitted = PoseDataSample(metainfo=dict(META, **FITTED))
    found = head.predict(features(1), [fitted])[0]
    assert asked[0][3] == content_box(FITTED)
    y = found.keypoints[..., 1][found.keypoint_scores > 0]
    assert len(y) > 20
    assert y.min() >= 16 - 1 and y.max() <= 44 + 1  # rows 4..11, +- a quarter


def test_predictions_in_mmposes_terms():
    """A box is the extent of the keypoints found, not of the zeros."""
    rows = np.random.rand(3, *GRID).astype(np.float32)
    persons = DecodedPersons(
        keypoints=np.array([[[4., 8], [20, 2], [0, 0]],
                            [[0, 0], [9, 7], [0, 0]]]),
        keypoint_scores=np.array([[.5, .4, 0], [0, .3, 0]]),
        scores=np.array([.3, .1]), maps=rows[:2],
        candidates=np.array([[2, 0, -1], [-1, 1, -1]]), rows=rows,
        filled=np.zeros((2, 3), bool))
    found = as_instances(persons, DecodeOptions(), output_attention=True)
    assert found.bboxes.tolist() == [[4, 2, 20, 8], [9, 7, 9, 7]]
    assert found.bbox_scores is persons.scores
    assert found.keypoints is persons.keypoints
    assert found.keypoint_scores is persons.keypoint_scores
    assert found.attention_maps is persons.maps
    assert found.keypoints_hidden_by.shape == (2, 3)
    assert (found.keypoints_hidden_by[[0, 1, 1], [2, 0, 2]] == -1).all()
    nothing = np.zeros(GRID, np.float32)
    np.testing.assert_array_equal(
        found.keypoint_attention,
        [[rows[2], rows[0], nothing], [nothing, rows[1], nothing]])
    assert 'keypoint_attention' not in as_instances(
        persons, DecodeOptions(), False)


def test_boxes_hold_filled_keypoints_and_they_are_marked():
    filled = np.array([[False, False, True]])
    persons = DecodedPersons(
        keypoints=np.array([[[4., 8], [0, 0], [30, 3]]]),
        keypoint_scores=np.array([[.5, 0, .1]]), scores=np.array([.2]),
        maps=np.ones((1, *GRID)), candidates=np.array([[0, -1, -1]]),
        rows=np.ones((1, *GRID)), filled=filled)
    found = as_instances(persons, DecodeOptions(), output_attention=True)
    assert found.bboxes.tolist() == [[4, 3, 30, 8]]
    assert found.keypoints_filled is filled
    assert found.keypoint_attention.any(axis=(2, 3)).tolist() == [
        [True, False, False]]

"""Losses and predictions of the head with tags."""
import math

import mmpose_ssa.register  # noqa: F401  before mmpose.models  # isort: split
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from mmpose.models.losses import AssociativeEmbeddingLoss
from mmpose.registry import MODELS
from mmpose.structures import MultilevelPixelData, PoseDataSample
from numpy.testing import assert_allclose

from mmpose_ssa.comparisons.codec import TagGrouping
from mmpose_ssa.comparisons.head import HigherResolutionHead
from mmpose_ssa.comparisons.losses import TagLoss

pytestmark = pytest.mark.usefixtures('mmpose')

FLIP = [0, 2, 1]  # a nose and two eyes
CODEC = dict(type='TagGrouping', input_size=(64, 64), num_keypoints=3,
             order=[0, 1, 2])
RESOLUTIONS = pytest.mark.parametrize('resolutions', [1, 2])


def head(resolutions=2, **options):
    size = (16 * resolutions, 16 * resolutions)
    return HigherResolutionHead(**{**dict(
        in_channels=4,
        num_keypoints=3,
        deconv_out_channels=(4, ) * (resolutions - 1),
        deconv_kernel_sizes=(4, ) * (resolutions - 1),
        num_blocks=1,
        decoder=dict(CODEC, heatmap_size=size, num_resolutions=resolutions)),
        **options})


def sample(codec, keypoints, mask=None):
    """A training sample, as PackPoseInputs packs it."""
    w, h = codec.heatmap_size
    mask = np.ones((1, h, w), np.uint8) if mask is None else mask
    targets = codec.encode(np.asarray(keypoints, np.float32), None, mask)
    fields = MultilevelPixelData()
    for name in ('heatmaps', 'heatmap_mask'):
        fields.set_field(targets[name], name)
    return PoseDataSample(
        gt_fields=fields.to_tensor(),
        gt_instance_labels=InstanceData(
            keypoint_indices=targets['keypoint_indices']).to_tensor(),
        metainfo=dict(flip_indices=FLIP))


# --- the tag loss -----------------------------------------------------------


def tag_maps(*values):
    """(1, 2, 2, 2) tags: a row for each type."""
    maps = torch.tensor(values, dtype=torch.float32).view(1, 2, 2, 2)
    return maps.requires_grad_()


def test_pull_and_push_by_hand():
    """Tags 1 and 3 of the first person, 5 of the second."""
    tags = tag_maps(1., 5., 0., 0., 0., 0., 3., 9.)
    indices = torch.tensor([[[0, 1], [2, 1]], [[1, 1], [3, 0]]])
    pull, push = TagLoss(1, 1)(tags, [indices])
    assert pull.item() == pytest.approx((1 + 0) / 2)
    assert push.item() == pytest.approx(.5 * math.exp(-(5 - 2)**2))
    weighted = TagLoss(.1, .01)(tags, [indices])
    assert_allclose([part.item() for part in weighted],
                    [.1 * pull.item(), .01 * push.item()], rtol=1e-6)
    pull.backward()
    assert_allclose(tags.grad.flatten(), [-.5, 0, 0, 0, 0, 0, .5, 0])


def test_nobody_and_one_alone():
    tags = tag_maps(*range(8))
    nobody = torch.zeros(0, 2, 2, dtype=torch.int64)
    pull, push = TagLoss(1, 1)(tags, [nobody])
    assert pull.item() == push.item() == 0
    (pull + push).backward()  # the tags are in the graph
    alone = torch.tensor([[[0, 1], [3, 1]]])
    pull, push = TagLoss(1, 1)(tags, [alone])
    assert pull.item() == pytest.approx(3.5**2) and push.item() == 0


def test_the_mean_over_images():
    tags = torch.randn(2, 3, 4, 4)
    indices = [torch.tensor([[[0, 1], [5, 1], [9, 1]], [[3, 1], [4, 0],
                                                        [1, 1]]]),
               torch.zeros(0, 3, 2, dtype=torch.int64)]
    both = TagLoss()(tags, indices)
    first = TagLoss()(tags[:1], indices[:1])
    assert_allclose([2 * part.item() for part in both],
                    [part.item() for part in first], rtol=1e-5)


def test_gradients_are_those_of_mmpose_for_one_image(rng):
    """MMPose's values differ by constants and by the sum over images."""
    tags = torch.randn(1, 5, 8, 8, dtype=torch.float64, requires_grad=True)
    indices = torch.from_numpy(np.stack(
        [rng.integers(0, 64, (4, 5)), rng.uniform(size=(4, 5)) < .7], -1))
    indices[:, 0, 1] = 1
    theirs = AssociativeEmbeddingLoss(loss_weight=.001, push_loss_factor=.5)
    for part in range(2):
        own, = torch.autograd.grad(TagLoss()(tags, [indices])[part], tags)
        other, = torch.autograd.grad(theirs(tags, [indices])[part], tags)
        assert own.abs().max() > 1e-6
        assert_allclose(own, other, atol=1e-9)


# --- the losses of the head -------------------------------------------------


@RESOLUTIONS
def test_the_heatmap_loss_by_hand(resolutions):
    model = head(resolutions).eval()
    samples = [sample(model.decoder, [[[9, 9], [20, 30], [50, 40]]]),
               sample(model.decoder, np.zeros((0, 3, 2)))]
    feats = (torch.randn(2, 4, 16, 16), )
    heatmaps, _ = model.forward(feats)
    expected = sum(
        (maps - torch.stack([s.gt_fields.heatmaps[level] for s in samples])
         ).square().mean().item() for level, maps in enumerate(heatmaps))
    losses = model.loss(feats, samples)
    assert set(losses) == {'loss_kpt', 'loss_pull', 'loss_push'}
    assert losses['loss_kpt'].item() == pytest.approx(expected)
    assert losses['loss_push'].item() == 0  # there is one alone


@RESOLUTIONS
def test_a_target_inside_a_crowd_does_not_count(resolutions):
    model = head(resolutions).eval()
    feats = (torch.randn(1, 4, 16, 16), )
    crowd = np.ones((1, 16 * resolutions, 16 * resolutions), np.uint8)
    crowd[:, :8 * resolutions] = 0

    def loss(y, row, mask):
        target = sample(model.decoder, [[[20, 50]] * 3], mask)
        for maps in target.gt_fields.heatmaps:
            maps[:, row, 3] += y
        return model.loss(feats, [target])['loss_kpt'].item()

    assert loss(0, 3, crowd) == loss(5, 3, crowd)
    assert loss(0, 12, crowd) != loss(5, 12, crowd)
    assert loss(0, 3, None) != loss(5, 3, None)


@RESOLUTIONS
def test_every_parameter_learns(resolutions):
    model = head(resolutions)
    model.init_weights()
    persons = [[[9, 9], [20, 30], [50, 40]], [[30, 9], [40, 30], [60, 40]]]
    feats = (torch.randn(2, 4, 16, 16), )
    losses = model.loss(feats, [sample(model.decoder, persons)] * 2)
    sum(losses.values()).backward()
    none = [name for name, parameter in model.named_parameters()
            if not parameter.grad.abs().max() > 0]
    assert not none


@RESOLUTIONS
def test_losses_of_half_precision_are_computed_in_float32(resolutions):
    model = head(resolutions).eval()
    samples = [sample(model.decoder, [[[9, 9], [20, 30], [50, 40]],
                                      [[30, 9], [40, 30], [60, 40]]]),
               sample(model.decoder, np.zeros((0, 3, 2)))]
    feats = (torch.randn(2, 4, 16, 16), )
    with torch.autocast('cpu', torch.bfloat16):
        heatmaps, tags = model.forward(feats)
        losses = model.loss(feats, samples)
    assert tags.dtype == torch.bfloat16
    model.forward = lambda feats: ([maps.float() for maps in heatmaps],
                                   tags.float())
    for name, expected in model.loss(feats, samples).items():
        assert losses[name].dtype == torch.float32
        assert expected > 0
        assert losses[name].item() == pytest.approx(expected.item(), 1e-6)


def test_targets_of_another_size_are_refused():
    model = head(1)
    with pytest.raises(ValueError, match=r'\(1, 3, 8, 8\) .*heatmap_size'):
        model.loss((torch.randn(1, 4, 8, 8), ),
                   [sample(model.decoder, [[[9, 9]] * 3])])


@pytest.mark.parametrize('options, message', [
    (dict(num_keypoints=4), 'num_keypoints 4, .* 3'),
    (dict(deconv_out_channels=(), deconv_kernel_sizes=()),
     'num_resolutions 1, .* 2'),
    (dict(deconv_out_channels=(4, 4)),
     r'\(4, 4\) .* deconv_kernel_sizes \(4,\)'),
    (dict(tag_loss=dict(type='AssociativeEmbeddingLoss')),
     'TagLoss, not AssociativeEmbeddingLoss'),
])
def test_head_and_decoder_must_agree(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


# --- predictions ------------------------------------------------------------


class Painted(HigherResolutionHead):
    """The features are the outputs: heatmaps and tags of each resolution."""

    def forward(self, feats):
        return [maps[:, :3] for maps in feats], feats[0][:, 3:]


def painted(resolutions, rng, w=64, h=64):
    """Two persons of three keypoints, painted; and where they are."""
    size = (16 * resolutions, 16 * resolutions)
    model = Painted(
        in_channels=4, num_keypoints=3, num_blocks=0,
        deconv_out_channels=(4, ) * (resolutions - 1),
        deconv_kernel_sizes=(4, ) * (resolutions - 1),
        decoder=dict(CODEC, heatmap_size=size, num_resolutions=resolutions))
    codec = TagGrouping((w, h), (w // 4 * resolutions, h // 4 * resolutions),
                        resolutions, num_keypoints=3, order=[0, 1, 2])
    points = np.array([[[10, 10], [25, 13], [12, 40]],
                       [[44, 33], [50, 50], [40, 8]]], np.float32)
    points += rng.uniform(-3, 3, points.shape)
    targets = codec.encode(points, None,
                           np.ones((1, *codec.heatmap_size[::-1]), np.uint8))
    feats = [torch.from_numpy(maps)[None] for maps in targets['heatmaps']]
    tags = torch.zeros_like(feats[0])
    tags[..., w // 8:] = 3.  # right of the middle it is the second
    for person, tag in enumerate((0., 3.)):
        for kind, (cell, _) in enumerate(targets['keypoint_indices'][person]):
            y, x = divmod(int(cell), w // 4)
            tags[0, kind, y - 1:y + 2, x - 1:x + 2] = tag
    return model, [torch.cat([feats[0], tags], dim=1), *feats[1:]], points


def mirrored(feats):
    """What a perfectly equivariant network gives of the mirror image."""
    return [torch.cat([maps.flip(-1)[:, k:k + 3][:, FLIP]
                       for k in range(0, maps.shape[1], 3)], dim=1)
            for maps in feats]


def predict(model, feats, flip_test=False):
    samples = [PoseDataSample(metainfo=dict(flip_indices=FLIP))]
    return model.predict(feats, samples, dict(flip_test=flip_test))[0]


@RESOLUTIONS
@pytest.mark.parametrize('kind', [list, tuple])
def test_what_is_painted_is_found(rng, resolutions, kind):
    """Also without flip test, and whatever holds the features."""
    model, feats, points = painted(resolutions, rng)
    found = predict(model, kind(feats))
    order = np.argsort(found.keypoints[:, 0, 0])
    errors = found.keypoints[order] - points
    assert np.abs(errors).max() <= 2 / resolutions + .3
    assert found.bbox_scores.shape == (2, )


@RESOLUTIONS
@pytest.mark.parametrize('flip_test', [False, True])
def test_what_is_painted_in_half_precision_is_found(rng, resolutions,
                                                    flip_test):
    model, feats, points = painted(resolutions, rng)
    feats = [maps.bfloat16() for maps in feats]
    found = predict(model, [feats, mirrored(feats)] if flip_test else feats,
                    flip_test)
    order = np.argsort(found.keypoints[:, 0, 0])
    assert np.abs(found.keypoints[order] - points).max() <= (
        2 / resolutions + 1)


@RESOLUTIONS
def test_the_flip_test_of_a_perfect_network_changes_nothing(rng, resolutions):
    model, feats, _ = painted(resolutions, rng)
    plain = predict(model, feats)
    flipped = predict(model, [feats, mirrored(feats)], flip_test=True)
    assert_allclose(flipped.keypoints, plain.keypoints, atol=1e-5)
    assert_allclose(flipped.keypoint_scores, plain.keypoint_scores, atol=1e-6)


@RESOLUTIONS
def test_the_flip_test_sees_mirror_images_alike(rng, resolutions):
    """Of any network: the mirror image's persons are the mirrored ones."""
    model, feats, _ = painted(resolutions, rng)
    noisy = [maps + .02 * torch.randn_like(maps) for maps in mirrored(feats)]
    one = predict(model, [feats, noisy], flip_test=True)
    other = predict(model, [noisy, feats], flip_test=True)
    back = other.keypoints[:, FLIP] * [-1, 1] + [64, 0]
    assert_allclose(back, one.keypoints, atol=1e-4)
    assert_allclose(other.keypoint_scores[:, FLIP], one.keypoint_scores,
                    atol=1e-6)


def test_the_resolutions_are_averaged(rng):
    """At the finest, and then brought to the size of the input."""
    model, feats, _ = painted(2, rng)
    feats = [torch.randn_like(maps) for maps in feats]
    _, (maps, ) = model.predict(feats, [PoseDataSample()],
                                dict(output_heatmaps=True))
    coarse = F.interpolate(feats[0], (32, 32), mode='bilinear')
    mean = torch.cat([(coarse[:, :3] + feats[1]) / 2, coarse[:, 3:]], dim=1)
    full = F.interpolate(mean, (64, 64), mode='bilinear')[0]
    assert_allclose(maps.heatmaps, full[:3], atol=1e-6)
    assert_allclose(maps.tags, full[3:], atol=1e-6)


def test_an_input_that_is_not_square(rng):
    model, feats, points = painted(2, rng, w=128, h=64)
    found = predict(model, feats)
    assert len(found.keypoints)
    best = np.abs(found.keypoints[:, None] - points[None]).max((2, 3)).min(0)
    assert best.max() <= 1.3


def test_a_batch_is_predicted_image_by_image(rng):
    model, feats, _ = painted(2, rng)
    empty = [torch.zeros_like(maps) for maps in feats]
    batch = [torch.cat(pair) for pair in zip(feats, empty)]
    both = model.predict(batch, [PoseDataSample()] * 2)
    assert len(both[0].keypoints) == 2
    assert both[1].keypoints.shape == (0, 3, 2)
    assert_allclose(both[0].keypoints, predict(model, feats).keypoints)


def test_the_estimator_predicts_in_the_image(rng):
    """The whole path of testing, with nobody found too."""
    model = MODELS.build(dict(
        type='FastEstimator',
        backbone=dict(
            type='ResNet', depth=18, num_stages=1, strides=(1, ),
            dilations=(1, ), out_indices=(0, ), stem_channels=4,
            base_channels=4),
        head=dict(
            type='HigherResolutionHead', in_channels=4, num_keypoints=3,
            deconv_out_channels=(4, ), num_blocks=0,
            decoder=dict(CODEC, heatmap_size=(32, 32), num_resolutions=2)),
        test_cfg=dict(flip_test=False))).eval()
    meta = dict(input_size=(64, 64), input_scale=np.array([128., 128.]),
                input_center=np.array([64., 64.]), flip_indices=FLIP)
    data = torch.randn(1, 3, 64, 64)
    for bias in (-1, 1):  # nobody; somebody
        torch.nn.init.constant_(model.head.final_layers[0].bias, bias)
        torch.nn.init.constant_(model.head.final_layers[1].bias, bias)
        result, = model.predict(data, [PoseDataSample(metainfo=meta)])
        persons = result.pred_instances
        assert len(persons.keypoints) == len(persons.bbox_scores)
        assert bool(len(persons.keypoints)) == (bias == 1)
    inside = model.head.predict(model.extract_feat(data),
                                [PoseDataSample(metainfo=meta)])[0]
    assert_allclose(persons.keypoints, 2 * inside.keypoints, atol=1e-4)

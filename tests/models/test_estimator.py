"""From an image of any shape to keypoints and masks in its own pixels."""
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmpose.registry import MODELS, TRANSFORMS
from numpy.testing import assert_allclose, assert_array_equal
from torch.testing import assert_close

from mmpose_ssa.datasets import transforms
from mmpose_ssa.decoding.coordinates import input_from_image
from mmpose_ssa.decoding.masks import image_masks
from mmpose_ssa.models.encoder import TokenAttention

pytestmark = pytest.mark.usefixtures('mmpose')

TINY = Config.fromfile(Path(__file__).parents[1] / 'data/ssa_tiny_64.py')
STRIDE, K = 8, 17


def build(**options):
    """A tiny model whose heatmaps have peaks, its attention some contrast."""
    torch.manual_seed(0)
    model = MODELS.build(dict(TINY.copy().model, **options))
    torch.nn.init.normal_(model.head.final_layer.weight, std=.05)
    torch.nn.init.normal_(model.neck.layers[1].self_attn.in_proj_weight)
    return model.eval()


def prepared(image, mode='expand'):
    """An image through the test pipeline, without the step that reads it."""
    _, resize, pack = TINY.copy().val_pipeline
    shape = image.shape[:2]
    return Compose([dict(resize, resize_mode=mode), pack])(
        dict(img=image, img_shape=shape, ori_shape=shape, img_id=1, id=[1],
             flip_indices=list(range(K))))


def predict(model, *items):
    results = model.test_step(pseudo_collate(list(items)))
    return [result.pred_instances for result in results]


def noise(rng, h, w):
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


# --- frames -----------------------------------------------------------------


def near(grid):
    """Attention exp(-d^2 / 4) between tokens at a distance of d."""
    y, x = torch.meshgrid(*map(torch.arange, grid), indexing='ij')
    y, x = y.flatten().double(), x.flatten().double()
    ones, sums = torch.ones_like(x), x**2 + y**2
    q = torch.stack([2 * y, 2 * x, -ones, -sums], -1) / 4 * 2  # sqrt(d) = 2
    k = torch.stack([y, x, sums, ones], -1)
    return TokenAttention(q[None, None], k[None, None], grid)


@pytest.mark.parametrize('mode', ['expand', 'fit'])
@pytest.mark.parametrize('h, w', [(64, 64), (50, 91), (200, 61), (333, 500)])
def test_light_keypoint_and_mask_land_together(monkeypatch, mode, h, w):
    """Light a spot of the image; a keypoint put where the light has come to
    in the input comes back to the spot, and so does its mask."""
    spot = np.array([w * .4, h * .6])
    ys, xs = np.mgrid[:h, :w]
    light = np.exp(-((xs - spot[0])**2 + (ys - spot[1])**2) / (2 * 4**2))
    image = np.repeat((255 * light)[..., None], 3, axis=2).astype(np.uint8)
    item = prepared(image, mode)

    seen = item['inputs'][0].double().numpy()  # brightness of the input
    ys, xs = np.mgrid[:seen.shape[0], :seen.shape[1]]
    spot_inp = np.array([(xs * seen).sum(), (ys * seen).sum()]) / seen.sum()
    ys, xs = np.mgrid[:seen.shape[0] // 4, :seen.shape[1] // 4]
    heatmaps = torch.zeros(1, K, *xs.shape, dtype=torch.float64)
    heatmaps[0, 3] = torch.from_numpy(
        np.exp(-((xs - spot_inp[0] / 4)**2 + (ys - spot_inp[1] / 4)**2) / 8))
    model = build()
    model.head.decoder.options = replace(
        model.head.decoder.options, unbiased=True, score_threshold=.5)
    grid = tuple(side // STRIDE for side in seen.shape)
    monkeypatch.setattr(model, 'extract_feat', lambda x: (near(grid), None))
    monkeypatch.setattr(model.head, 'forward', lambda feats: heatmaps)
    found = predict(model, item)[0]

    assert found.keypoints.shape == (1, K, 2)
    scale = input_from_image(item['data_samples'].metainfo)[0][0]
    assert_allclose(found.keypoints[0, 3], spot, atol=.1 / scale)
    others = np.arange(K) != 3
    assert not found.keypoints[0, others].any()
    assert not found.keypoint_scores[0, others].any()
    assert_allclose(found.bboxes[0].reshape(2, 2), [found.keypoints[0, 3]] * 2)
    mask = coco_mask.decode(found.masks[0])
    assert mask.shape == (h, w)
    assert mask[tuple(spot[::-1].astype(int))] == 1
    # exp(-d^2 / 4) falls to .4 at 1.9 tokens, and the spot may lie anywhere
    # in its token
    ys, xs = np.nonzero(mask)
    reach = np.hypot(xs - spot[0], ys - spot[1]).max() * scale / STRIDE
    assert 1.2 < reach < 3


@pytest.mark.parametrize('mode', ['expand', 'fit'])
def test_masks_are_those_of_the_attention_maps(rng, mode):
    model = build()
    item = prepared(noise(rng, 50, 91), mode)
    found = predict(model, item)[0]
    assert len(found.masks) > 1
    expected = image_masks(
        found.attention_maps, (50, 91),
        *input_from_image(item['data_samples'].metainfo), STRIDE, .4)
    assert expected.any() and not expected.all()
    assert_array_equal(coco_mask.decode(found.masks), expected)


# --- the estimator ----------------------------------------------------------


def test_flip_test_sees_an_image_and_its_mirror_image_alike(rng):
    """Averaged over both, any model is symmetric: mirror the image and
    keypoints and masks are mirrored. (Types are not swapped here, so that
    they are grouped in the same order.)"""
    model = build(test_cfg=dict(flip_test=True, shift_heatmap=False))
    image = noise(rng, 64, 96)
    plain, mirrored = (
        predict(model, prepared(view))[0]
        for view in (image, np.ascontiguousarray(image[:, ::-1])))
    assert len(plain.masks) > 1
    here = plain.keypoint_scores > 0
    turned = plain.keypoints.copy()
    turned[here, 0] = 96 - 4 - turned[here, 0]  # cell i becomes 23 - i
    assert_allclose(mirrored.keypoints, turned, atol=1e-4)
    assert_allclose(mirrored.keypoint_scores, plain.keypoint_scores,
                    rtol=1e-4)
    assert_array_equal(coco_mask.decode(mirrored.masks),
                       coco_mask.decode(plain.masks)[:, ::-1])


def test_images_of_a_batch_do_not_meet(rng):
    model = build()
    items = [prepared(noise(rng, 64, 64)), prepared(noise(rng, 40, 64), 'fit')]
    together = predict(model, *items)
    for item, found in zip(items, together):
        alone = predict(model, item)[0]
        assert len(found.masks)
        assert_allclose(found.keypoints, alone.keypoints, atol=1e-4)
        assert_allclose(found.bbox_scores, alone.bbox_scores, rtol=1e-4)
        assert_array_equal(coco_mask.decode(found.masks),
                           coco_mask.decode(alone.masks))


def test_nobody_is_found_where_nothing_is_hot(rng):
    model = build()
    for parameter in model.head.final_layer.parameters():
        torch.nn.init.zeros_(parameter)
    found = predict(model, prepared(noise(rng, 50, 91)))[0]
    assert found.keypoints.shape == (0, K, 2)
    assert found.keypoint_scores.shape == (0, K)
    assert found.bboxes.shape == (0, 4)
    assert found.bbox_scores.shape == (0, )
    assert found.masks == []


@torch.no_grad()
def test_memory_layout_changes_no_value(rng):
    fast, plain = build(), build(channels_last=False)
    plain.load_state_dict(fast.state_dict())
    weight = fast.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 64, 64)
    for model in (fast, plain):
        assert model.extract_feat(x)[1].shape == (2, 16, 8, 8)
    assert_close(fast.extract_feat(x)[1], plain.extract_feat(x)[1],
                 rtol=1e-4, atol=1e-5)


# --- the limit on long sides ------------------------------------------------


@pytest.mark.parametrize('shape, actual, padded', [
    ((20, 80), (64, 256), (64, 256)),  # four times the input size: allowed
    ((20, 160), (32, 256), (32, 256)),
    ((300, 30), (256, 25.6), (256, 32)),
])
def test_a_long_side_is_at_most_four_times_the_input_size(
        monkeypatch, shape, actual, padded):
    said = []
    monkeypatch.setattr(transforms, 'print_log',
                        lambda message, **kwargs: said.append(message))
    item = prepared(np.zeros((*shape, 3), np.uint8))
    meta = item['data_samples'].metainfo
    assert item['inputs'].shape[1:] == padded
    assert meta['input_size'] == padded[::-1]
    scale, offset = input_from_image(meta)
    assert_allclose(scale, np.divide(actual, shape)[::-1], rtol=1e-6)
    # the content stays in the middle: its centre is the input's
    centre = np.divide(shape[::-1], 2) * scale + offset
    assert_allclose(centre, np.divide(padded[::-1], 2))
    if min(actual) < 64:
        words, = said
        assert f'{shape[::-1]} pixels' in words
        assert f'scaled to {min(actual):.0f} instead of 64' in words
    else:
        assert not said


def test_the_limit_can_be_set():
    step = TRANSFORMS.build(
        dict(type='SSAResize', input_size=(64, 64), size_factor=8,
             resize_mode='expand', max_ratio=2.))
    image = np.zeros((20, 80, 3), np.uint8)
    results = step(dict(img=image, img_shape=(20, 80), ori_shape=(20, 80)))
    assert results['input_size'] == (128, 32)

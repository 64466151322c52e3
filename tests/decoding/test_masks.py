"""From person maps to masks of the image: hand arithmetic, and torch."""
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.masks import encode_rle, image_masks, maps_on_image

# --- masks of the image -----------------------------------------------------


@pytest.mark.parametrize('img_shape', [(61, 47), (96, 160), (300, 211)])
@pytest.mark.parametrize('mode, level', [('soft', .4), ('binary', .5)])
def test_plain_resizing_is_that_of_torch(rng, img_shape, mode, level):
    """The image fills the input: x_inp + .5 = scale * (x_img + .5)."""
    h, w, stride = 6, 10, 16
    maps = rng.random((3, h, w), np.float32)
    scale = np.array([w * stride / img_shape[1], h * stride / img_shape[0]])
    masks = image_masks(maps, img_shape, scale, (scale - 1) / 2, stride, .4,
                        mode)
    source = maps > .4 if mode == 'binary' else maps
    expected = F.interpolate(
        torch.tensor(source[None], dtype=torch.float64), img_shape,
        mode='bilinear', align_corners=False)[0].numpy()
    clear = np.abs(expected - level) > 1e-5  # all but float32's rounding
    assert clear.mean() > .99
    assert_array_equal(masks.transpose(2, 0, 1)[clear],
                       (expected > level)[clear])


def test_maps_keep_their_values_on_the_image(rng):
    maps = rng.random((2, 6, 9)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(maps)[None], (48, 72),
                             mode='bilinear', align_corners=False)[0]
    found = np.stack(list(maps_on_image(maps, (48, 72), (1, 1), (0, 0), 8)))
    assert_allclose(found, expected, atol=1e-6)


def test_padding_and_scale_are_undone():
    """A lit token's mask is centred on the image pixels it looks at."""
    stride, scale, offset = 16, np.array([.5, .8]), np.array([40., -9.])
    maps = np.zeros((1, 20, 24), np.float32)
    maps[0, 7, 11] = 1
    mask = image_masks(maps, (300, 400), scale, offset, stride, .4)[..., 0]
    centre_inp = (np.array([11, 7]) + .5) * stride - .5
    y, x = np.nonzero(mask)
    assert_allclose([x.mean(), y.mean()], (centre_inp - offset) / scale,
                    atol=.5)
    # along an axis the bilinear tent exceeds .4 within .6 tokens
    extent = 2 * .6 * stride / scale
    assert_allclose([np.ptp(x) + 1, np.ptp(y) + 1], extent, atol=2)


def test_soft_and_binary_by_hand():
    """A row 1, .5, 0 of tokens of 4 pixels, centres at 1.5, 5.5 and 9.5.

    Soft: 1 - (x - 1.5) / 8 > .4 until x = 6.3. Binary: the token mask 1, 1, 0
    falls below .5 halfway between the last two centres, at x = 7.5.
    """
    maps = np.array([[[1, .5, 0]]], np.float32)
    args = maps, (4, 12), (1, 1), (0, 0), 4, .4
    assert_array_equal(image_masks(*args)[..., 0],
                       [[1] * 7 + [0] * 5] * 4)
    assert_array_equal(image_masks(*args, mode='binary')[..., 0],
                       [[1] * 8 + [0] * 4] * 4)


def test_one_token_covers_everything():
    masks = image_masks(np.ones((1, 1, 1), np.float32), (5, 7), (1, 1),
                        (0, 0), 16, .4)
    assert_array_equal(masks, np.ones((5, 7, 1)))


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'soft' or 'binary', got 'hard'"):
        image_masks(np.ones((1, 1, 1)), (5, 7), (1, 1), (0, 0), 16, .4,
                    'hard')


def test_masks_survive_rle_and_json(rng):
    maps = rng.random((4, 6, 10), np.float32)
    masks = image_masks(maps, (33, 50), (3, 3), (1, 1), 16, .4)
    rles = json.loads(json.dumps(encode_rle(masks)))
    assert [rle['size'] for rle in rles] == [[33, 50]] * 4
    assert_array_equal(coco_mask.decode(rles), masks)


def test_nobody_has_no_masks():
    masks = image_masks(np.zeros((0, 6, 10), np.float32), (33, 50), (3, 3),
                        (1, 1), 16, .4)
    assert masks.shape == (33, 50, 0)
    assert encode_rle(masks) == []

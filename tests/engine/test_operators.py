"""The stand-in for mmcv's operators."""
import os
import sys
from types import ModuleType

import mmpose_ssa.register  # noqa: F401  before mmcv.ops  # isort: split

import mmcv
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d, nms
from mmcv.ops.deform_conv import deform_conv2d
from mmcv.ops.modulated_deform_conv import modulated_deform_conv2d
from mmpose.models.heads import DEKRHead

from mmpose_ssa.engine import operators

stands_in = pytest.mark.skipif(
    not isinstance(sys.modules['mmcv._ext'], operators.OperatorStandIn),
    reason='a full mmcv is installed: no stand-in is in use')
# stride, padding, dilation, groups, deform_groups; (y, x) where they differ
GEOMETRIES = [(1, 1, 1, 1, 1), (2, 0, 1, 1, 1), ((1, 2), (2, 1), (2, 1), 1, 1),
              (1, 1, 1, 2, 1), (1, 1, 1, 1, 2), ((2, 1), (1, 2), 1, 2, 2)]


# --- the stand-in -----------------------------------------------------------


def test_a_compiled_extension_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / '_ext.py').write_text('nms = "compiled"')
    monkeypatch.setattr(mmcv, '__path__', [str(tmp_path), *mmcv.__path__])
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    assert operators.ensure_mmcv_ext() is False
    assert 'mmcv._ext' not in sys.modules


def test_an_extension_already_imported_is_left_alone(monkeypatch):
    real = ModuleType('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', real)
    assert operators.ensure_mmcv_ext() is False
    assert sys.modules['mmcv._ext'] is real


@stands_in
def test_the_stand_in_is_registered_once():
    module = sys.modules['mmcv._ext']
    assert operators.ensure_mmcv_ext() is True
    assert sys.modules['mmcv._ext'] is module


def test_the_stand_in_answers_as_a_module():
    module = operators.OperatorStandIn('mmcv._ext')
    assert os.path.samefile(module.__file__, operators.__file__)
    assert module.__spec__.name == 'mmcv._ext'
    for question in ('__path__', '__wrapped__', '__all__'):
        with pytest.raises(AttributeError, match=question):
            getattr(module, question)


@stands_in
def test_other_operators_name_themselves_and_the_cure():
    with pytest.raises(NotImplementedError, match="'nms'.*mim install mmcv"):
        nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1), 0.5)


# --- deformable convolution -------------------------------------------------


def make_inputs(geometry, size=(4, 5), kernel=(3, 2)):
    """Float64 inputs of a convolution of 4 -> 2 channels, two images."""
    stride, padding, dilation, groups, deform_groups = geometry
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    image = rand(2, 4, *size) - 0.5
    weight = rand(2, 4 // groups, *kernel) - 0.5
    out = F.conv2d(image, weight, None, stride, padding, dilation, groups)
    cells = kernel[0] * kernel[1] * deform_groups
    offset = 3 * rand(2, 2 * cells, *out.shape[2:]) - 1.5
    mask = rand(2, cells, *out.shape[2:])
    return [
        tensor.requires_grad_()
        for tensor in (image, offset, mask, weight, rand(2))
    ]


def shift(image, dy, dx):
    """out[y, x] = image[y + dy, x + dx], zero outside."""
    padded = F.pad(image, (4, 4, 4, 4))
    height, width = image.shape[2:]
    return padded[..., 4 + dy:4 + dy + height, 4 + dx:4 + dx + width]


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_without_offsets_it_is_a_convolution(geometry):
    image, offset, mask, weight, bias = make_inputs(geometry)
    stride, padding, dilation, groups, _ = geometry
    plain = F.conv2d(image, weight, None, stride, padding, dilation, groups)
    still = torch.zeros_like(offset)
    torch.testing.assert_close(
        deform_conv2d(image, still, weight, *geometry), plain)
    torch.testing.assert_close(
        modulated_deform_conv2d(image, still, torch.full_like(mask, 0.5),
                                weight, bias, *geometry),
        0.5 * plain + bias[:, None, None])


@pytest.mark.parametrize('dy, dx', [(1, 0), (0, 1), (-2, 1)])
def test_offsets_are_y_then_x(dy, dx):
    image, _, _, weight, _ = make_inputs((1, 1, 1, 1, 1))
    image = F.pad(image, (3, 3, 3, 3))  # so that a shift loses nothing
    expected = F.conv2d(shift(image, dy, dx), weight, padding=1)
    mask = torch.ones_like(expected[:, :1]).repeat(1, 6, 1, 1)
    offset = torch.stack([dy * mask, dx * mask], dim=2).flatten(1, 2)
    torch.testing.assert_close(
        deform_conv2d(image, offset, weight, 1, 1), expected)
    torch.testing.assert_close(
        modulated_deform_conv2d(image, offset, mask, weight, None, 1, 1),
        expected)


def test_each_kernel_cell_has_its_own_offset_and_mask():
    image, offset, mask, weight, _ = make_inputs((1, 0, 1, 1, 1),
                                                 kernel=(1, 2))
    offset = torch.zeros_like(offset)
    offset[:, 2] = 1  # the y of the second cell
    mask = torch.ones_like(mask)
    mask[:, 0] = 3
    left = F.conv2d(image, weight[..., :1])[..., :-1]
    right = F.conv2d(shift(image, 1, 1), weight[..., 1:])[..., :-1]
    torch.testing.assert_close(
        deform_conv2d(image, offset, weight), left + right)
    torch.testing.assert_close(
        modulated_deform_conv2d(image, offset, mask, weight),
        3 * left + right)


# In one random direction, or each element by itself
DIRECTIONS = pytest.mark.parametrize('one', [
    True, pytest.param(False, marks=pytest.mark.slow)])


@DIRECTIONS
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_gradients_of_deform_conv_are_the_numeric_ones(geometry, one):
    image, offset, _, weight, _ = make_inputs(geometry)
    assert torch.autograd.gradcheck(
        lambda *inputs: deform_conv2d(*inputs, *geometry),
        (image, offset, weight), fast_mode=one)


@DIRECTIONS
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('with_bias', [True, False])
def test_gradients_of_modulated_conv_are_the_numeric_ones(geometry, with_bias,
                                                          one):
    *inputs, bias = make_inputs(geometry)
    assert torch.autograd.gradcheck(
        lambda *inputs: modulated_deform_conv2d(
            *inputs, *([] if with_bias else [None]), *geometry),
        (*inputs, bias) if with_bias else tuple(inputs), fast_mode=one)


def test_autocast_does_not_blur_where_the_samples_are():
    """bfloat16 holds no fractions above 128; maps are wider."""
    torch.manual_seed(0)
    image, weight = torch.randn(1, 2, 6, 200), torch.randn(3, 2, 3, 3)
    offset = torch.rand(1, 18, 6, 200).bfloat16()
    exact = deform_conv2d(image.bfloat16().float(), offset.float(),
                          weight.bfloat16().float(), 1, 1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = deform_conv2d(image.bfloat16(), offset, weight.bfloat16(),
                              1, 1)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=2**-8, atol=1e-3)


def test_the_layers_of_mmcv_learn_with_it():
    """A batch larger than `im2col_step`, float32, modules instead of ops."""
    torch.manual_seed(0)
    image = torch.rand(4, 2, 6, 6)
    plain = DeformConv2d(2, 3, 3, padding=1, im2col_step=2)
    modulated = ModulatedDeformConv2d(2, 3, 3, padding=1)
    modulated.weight.data = plain.weight.data.clone()
    offset, mask = torch.rand(4, 18, 6, 6), torch.ones(4, 9, 6, 6)
    first, second = plain(image, offset), modulated(image, offset, mask)
    torch.testing.assert_close(first, second)
    first.square().sum().backward(), second.square().sum().backward()
    torch.testing.assert_close(plain.weight.grad, modulated.weight.grad)
    torch.testing.assert_close(modulated.bias.grad,
                               2 * second.sum(dim=(0, 2, 3)))


def test_dekr_runs_forward_and_backward():
    head = DEKRHead(
        in_channels=8,
        num_keypoints=2,
        num_heatmap_filters=4,
        num_displacement_filters_per_keypoint=3,
        heatmap_loss=dict(type='KeypointMSELoss'),
        displacement_loss=dict(type='SoftWeightSmoothL1Loss'))
    heatmaps, displacements = head((torch.rand(2, 8, 12, 16), ))
    (heatmaps.mean() + displacements.square().mean()).backward()
    assert displacements.shape == (2, 4, 12, 16)
    convolutions = [m for m in head.modules() if isinstance(m, DeformConv2d)]
    assert convolutions
    assert all(m.weight.grad.abs().sum() > 0 for m in convolutions)

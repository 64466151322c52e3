"""The encoder beside torch's own attention, and the rows that it hands on."""
import math

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from attentions import CHANNELS, DIMS, GRID, HIDDEN, LAYERS, LENGTH, dense
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mmpose_ssa.models.encoder import (SSATransformer, TokenAttention,
                                       sine_position)
from mmpose_ssa.models.losses import AttentionMaskLoss

pytestmark = pytest.mark.usefixtures('mmpose')


def build(train=False, **options) -> SSATransformer:
    """A neck in float64 whose every parameter is drawn at random."""
    options = dict(in_channels=CHANNELS, embed_dims=DIMS, num_layers=LAYERS,
                   feedforward_channels=HIDDEN, dropout=0., attn_drop=0.,
                   supervised_layer=2) | options
    neck = SSATransformer(**options).double().train(train)
    for parameter in neck.parameters():
        nn.init.normal_(parameter, std=.4)
    return neck


def features(batch=2, grid=GRID):
    x = torch.randn(batch, CHANNELS, *grid, dtype=torch.float64)
    return x.requires_grad_()


# --- the encoder ------------------------------------------------------------


@pytest.mark.parametrize('association', ['supervised', 'independent', 'naive'])
@pytest.mark.parametrize('factor', [0., .25])
def test_the_gradient_of_the_association_into_features(association, factor):
    """Scaled in the features; not in its projections, nor of the output."""
    options = dict(association=association)
    if association == 'naive':
        options.update(num_layers=1, supervised_layer=0)
    plain = build(train=True, **options)
    scaled = build(train=True, feature_gradient=factor, **options)
    scaled.load_state_dict(plain.state_dict())
    x = features()
    weights = torch.randn(LENGTH, LENGTH, dtype=torch.float64)
    everything = torch.arange(LENGTH)
    gradients, values = [], []
    for neck in (plain, scaled):
        attention, out = neck([x])
        rows = attention.rows(0, everything)
        values += [rows, out]
        own = neck.independent.in_proj if association == 'independent' else \
            neck.layers[neck.supervised_layer].self_attn
        own = [weight for weight in own.parameters()][0]
        gradients.append(
            torch.autograd.grad((rows * weights).sum(), [x, own],
                                retain_graph=True) +
            torch.autograd.grad(out.square().sum(), [x]))
    (into_x, into_own, of_out), (scaled_x, scaled_own, scaled_out) = gradients
    assert torch.equal(values[0], values[2])
    assert torch.equal(values[1], values[3])
    assert into_x.abs().max() > 0
    assert_close(scaled_x, factor * into_x)
    assert_close(scaled_own, into_own)
    assert_close(scaled_out, of_out)


def test_a_negative_factor_is_named():
    with pytest.raises(ValueError, match='feature_gradient -1'):
        build(feature_gradient=-1)


class TorchLayer(nn.Module):
    """A post-norm layer as DETR builds it from ``nn.MultiheadAttention``."""

    def __init__(self, num_heads):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(
            DIMS, num_heads, batch_first=True)
        self.linear1 = nn.Linear(DIMS, HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, DIMS)
        self.norm1, self.norm2 = nn.LayerNorm(DIMS), nn.LayerNorm(DIMS)
        self.dropout = nn.Identity()

    def forward(self, x, pos):
        attended, matrix = self.self_attn(
            x + pos, x + pos, x, need_weights=True)
        x = self.norm1(x + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(hidden))), matrix


class TorchEncoder(nn.Module):
    """The same parameters, names included, in torch's own modules."""

    def __init__(self, neck, num_heads):
        super().__init__()
        self.projection = nn.Conv2d(CHANNELS, DIMS, 1, bias=False)
        self.layers = nn.ModuleList(
            TorchLayer(num_heads) for _ in range(LAYERS))
        self.double().load_state_dict(neck.state_dict())

    def forward(self, feats):
        x = self.projection(feats)
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        pos = detr_position(grid, DIMS)
        matrices = []
        for layer in self.layers:
            x, matrix = layer(x, pos)
            matrices.append(matrix)
        return matrices, x.transpose(1, 2).reshape(len(x), DIMS, *grid)


def detr_position(grid, dims):
    """DETR's ``PositionEmbeddingSine``, normalised, on an unmasked image."""
    ones = torch.ones(1, *grid, dtype=torch.float64)
    embed = [ones.cumsum(1), ones.cumsum(2)]
    embed = [embed[0] / (embed[0][:, -1:, :] + 1e-6) * 2 * math.pi,
             embed[1] / (embed[1][:, :, -1:] + 1e-6) * 2 * math.pi]
    i = torch.arange(dims // 2, dtype=torch.float64)
    period = 10000**(2 * torch.div(i, 2, rounding_mode='floor') / (dims // 2))
    halves = []
    for axis in embed:
        angle = axis[..., None] / period
        halves.append(torch.stack(
            (angle[..., 0::2].sin(), angle[..., 1::2].cos()), 4).flatten(3))
    return torch.cat(halves, dim=3)[0].reshape(-1, dims)


@pytest.mark.parametrize('grid', [(1, 1), (5, 7), (40, 23)])
@pytest.mark.parametrize('dims', [4, 12, 192])
def test_position_is_that_of_detr(grid, dims):
    pos = sine_position(grid, dims, dtype=torch.float64)
    assert_close(pos, detr_position(grid, dims), rtol=0, atol=1e-12)


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('num_heads', [1, 4])
@pytest.mark.parametrize('layer', [0, 2, 3])
def test_equals_torchs_multihead_attention(num_heads, layer, train):
    """Outputs, the supervised matrix, and the gradients of both."""
    neck = build(train, num_heads=num_heads, supervised_layer=layer)
    theirs = TorchEncoder(neck, num_heads)
    x, y = features(), torch.randn(2, DIMS, *GRID, dtype=torch.float64)
    everything = torch.arange(LENGTH)
    given, out = neck([None, x])
    rows = torch.stack([given.rows(i, everything) for i in range(2)])
    matrices, expected = theirs(x)
    assert_close(out, expected)
    assert_close(rows, matrices[layer])

    weights = torch.randn(2, LENGTH, LENGTH, dtype=torch.float64)
    ours = torch.autograd.grad(
        (out * y).sum() + (rows * weights).sum(), [x, *neck.parameters()])
    reference = torch.autograd.grad(
        (expected * y).sum() + (matrices[layer] * weights).sum(),
        [x, *theirs.parameters()])
    for a, b in zip(ours, reference):
        assert_close(a, b, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('grid', [(1, 1), (1, 9), (8, 3)])
def test_any_grid_size(grid):
    neck = build()
    given, out = neck([features(1, grid)])
    assert given.grid == grid
    assert out.shape == (1, DIMS, *grid)
    rows = given.rows(0, torch.arange(grid[0] * grid[1]))
    assert_close(rows.sum(1), torch.ones(len(rows), dtype=torch.float64))


def test_dropout_never_touches_the_attention_handed_on():
    """Of the first layer, whose input nothing has dropped yet."""
    neck = build(True, supervised_layer=0, dropout=.5, attn_drop=.5)
    x, tokens = features(), torch.arange(LENGTH)
    given, dropped = neck([x])
    again, other = neck([x])
    assert not torch.equal(dropped, other)
    assert torch.equal(given.rows(1, tokens), again.rows(1, tokens))
    still, out = neck.eval()([x])
    assert torch.equal(given.rows(1, tokens), still.rows(1, tokens))
    assert torch.equal(out, neck([x])[1])


class Thinned(nn.Module):
    """What dropout does, the same each time."""

    def forward(self, x):
        return x * torch.linspace(0, 2, x.shape[-1], dtype=x.dtype)


def test_dropout_is_on_both_sublayers_and_inside_the_second():
    neck = build()
    theirs = TorchEncoder(neck, 1)
    for layer in (*neck.layers, *theirs.layers):
        layer.dropout = Thinned()
    x = features()
    assert_close(neck([x])[1], theirs(x)[1])


def test_weights_start_as_torchs_do():
    """Xavier on all matrices, in_proj as one, and the biases at 0."""
    layer = SSATransformer(CHANNELS, 64, 1, supervised_layer=0).layers[0]
    bound = math.sqrt(6 / (64 + 3 * 64))
    weight = layer.self_attn.in_proj_weight.detach()
    assert weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=.05)
    assert not layer.self_attn.in_proj_bias.any()


# --- which attention associates ---------------------------------------------


def test_naive_is_the_mean_over_all_layers():
    neck = build(association='naive', num_heads=2)
    x, tokens = features(), torch.tensor([3, 30, 3])
    matrices, _ = TorchEncoder(neck, 2)(x)
    given, _ = neck([x])
    for image in range(2):
        expected = torch.stack([m[image] for m in matrices]).mean(0)
        assert_close(given.rows(image, tokens), expected[tokens])


def test_independent_is_fed_by_the_input_of_its_layer():
    neck = build(association='independent', num_heads=2)
    names = [n for n, _ in neck.named_parameters() if 'independent' in n]
    assert names == ['independent.in_proj.weight', 'independent.in_proj.bias']
    assert neck.independent.in_proj.weight.shape == (2 * DIMS, DIMS)

    x, tokens = features(), torch.arange(LENGTH)
    entering = []
    neck.layers[2].register_forward_pre_hook(
        lambda module, inputs: entering.append(inputs[0]))
    given, _ = neck([x])
    alone = nn.MultiheadAttention(DIMS, 2, batch_first=True).double()
    with torch.no_grad():  # values do not change the weights
        alone.in_proj_weight[:2 * DIMS] = neck.independent.in_proj.weight
        alone.in_proj_bias[:2 * DIMS] = neck.independent.in_proj.bias
    source = entering[0] + detr_position(GRID, DIMS)
    _, matrix = alone(source, source, entering[0])
    assert_close(given.rows(1, tokens), matrix[1])


@pytest.mark.parametrize('association, reached', [
    ('supervised', {0, 1, 2}),
    ('independent', {0, 1}),
    ('naive', {0, 1, 2, 3}),
])
def test_what_the_rows_train(association, reached):
    """The layers up to the one asked, nothing after it."""
    neck = build(association=association)
    given, _ = neck([features()])
    given.rows(0, torch.tensor([4, 9])).square().sum().backward()
    assert {
        i for i, layer in enumerate(neck.layers)
        if layer.self_attn.in_proj_weight.grad is not None
    } == reached
    assert neck.projection.weight.grad.abs().sum() > 0
    if association == 'independent':
        q, k = neck.independent.in_proj.weight.grad.chunk(2)
        assert q.abs().sum() > 0 and k.abs().sum() > 0


@pytest.mark.parametrize('options, words', [
    (dict(association='none'), "or 'naive', got 'none'"),
    (dict(supervised_layer=LAYERS), r'supervised_layer 4 .* from 0 to 3'),
    (dict(supervised_layer=-1), r'supervised_layer -1 .* from 0 to 3'),
    (dict(embed_dims=18), 'embed_dims 18 must be a multiple of 4'),
    (dict(num_heads=3), 'embed_dims 16 .* of num_heads 3'),
])
def test_the_neck_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)


# --- memory and precision ---------------------------------------------------


class Largest(TorchDispatchMode):
    """Notes the most elements of any tensor that is made."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for made in tree_flatten(result)[0]:
            if isinstance(made, torch.Tensor):
                self.elements = max(self.elements, made.numel())
        return result


def test_no_matrix_is_built():
    """L x L = 1,048,576; two persons' rows and what surrounds them are not.

    The forward is fused (no dropout inside), forward and backward.
    """
    grid, length = (32, 32), 32 * 32
    neck = build(True).float()
    tokens = torch.randint(length, (2, 17))
    masks = torch.randint(2, (2, 128, 128))
    with Largest() as largest:
        given, out = neck([torch.randn(1, CHANNELS, *grid)])
        loss = AttentionMaskLoss()(given, [tokens], [torch.ones(2, 17)],
                                   [masks])
        (loss + out.square().mean()).backward()
    assert 2 * 17 * length <= largest.elements < length**2 / 8
    with Largest() as largest:  # such a matrix would have been noticed
        dense(given, 0)
    assert largest.elements == length**2


def test_the_position_is_float32_before_bfloat16(monkeypatch):
    """Computed in bfloat16 it would differ from the one in testing."""
    seen = []

    def watched(*args, **options):
        seen.append(options['dtype'])
        return sine_position(*args, **options)

    monkeypatch.setattr('mmpose_ssa.models.encoder.sine_position', watched)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        build().float()([features().float()])
    build().double()([features().double()])
    assert seen == [torch.float32, torch.float64]


def test_rows_are_float32_in_bfloat16():
    neck = build(num_heads=2).float()
    tokens = torch.arange(LENGTH)
    with torch.autocast('cpu', torch.bfloat16):
        given, _ = neck([features().float()])
        rows = given.rows(0, tokens)
        assert given.q.dtype == torch.bfloat16
    assert rows.dtype == torch.float32
    exact = TokenAttention(given.q.double(), given.k.double(), GRID)
    assert_close(rows, dense(exact, 0)[tokens].float(), rtol=1e-5, atol=1e-8)


def test_gradients_in_bfloat16_are_those_in_float32():
    """Of the norms above all, which sum over the tokens of a batch."""
    neck = SSATransformer(CHANNELS, 32, 2, feedforward_channels=32,
                          supervised_layer=1, dropout=0., attn_drop=0.)
    x, weights = torch.randn(8, CHANNELS, 24, 24), torch.rand(8, 32, 24, 24)
    gradients = []
    for enabled in (False, True):
        neck.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            encoded = neck([x])[1]
        assert encoded.dtype == torch.float32
        (encoded * weights).sum().backward()
        gradients.append({
            name: parameter.grad.clone()
            for name, parameter in neck.named_parameters()
        })
    for name, exact in gradients[0].items():
        error = (gradients[1][name] - exact).norm() / exact.norm()
        assert error < .2, f'{name}: {error:.3f}'

"""The mask loss beside a dense literal implementation, values and gradients.
"""
import math

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from mmpose_ssa.models import losses
from mmpose_ssa.models.encoder import MeanAttention, TokenAttention
from mmpose_ssa.models.losses import (AttentionMaskLoss, AttentionPairLoss,
                                      person_attention)

pytestmark = pytest.mark.usefixtures('mmpose')

GRID, HEADS, DIMS, K = (5, 6), 2, 8, 4
LENGTH = GRID[0] * GRID[1]
MASK = (20, 24)  # h, w of the masks: H/4, W/4


def attention(batch=1, grid=GRID):
    q, k = torch.randn(2, batch, HEADS, grid[0] * grid[1], DIMS,
                       dtype=torch.float64)
    return TokenAttention(q.requires_grad_(), k.requires_grad_(), grid)


def persons(*counts):
    """For each image tokens, weights and masks of so many persons."""
    tokens = [torch.randint(LENGTH, (n, K)) for n in counts]
    weights = [torch.randint(2, (n, K)).float() for n in counts]
    for w in weights:
        w[:, 0] = 1  # the codec hands on no person without any
    masks = [torch.randint(2, (n, *MASK), dtype=torch.uint8) for n in counts]
    return tokens, weights, masks


# --- Eq. (2) ----------------------------------------------------------------


def test_a_map_is_the_mean_of_the_rows_of_visible_keypoints():
    """Of persons with different numbers of them."""
    given, (tokens, weights, _) = attention(), persons(3)
    weights[0][1] = torch.tensor([1, 0, 0, 0])
    weights[0][2] = 1
    maps = person_attention(given, 0, tokens[0], weights[0])
    assert maps.shape == (3, *GRID)
    for person, visible in zip(range(3), weights[0] > 0):
        rows = given.rows(0, tokens[0][person, visible])
        assert_close(maps[person].flatten(), rows.mean(0))


# --- a literal reading of Eqs. (2) and (3) ----------------------------------


def along(values, size):
    """Linear interpolation of the last axis, half-pixel centres."""
    old = values.shape[-1]
    centres = (torch.arange(size, dtype=torch.float64) + .5) * old / size - .5
    centres = centres.clamp(0, old - 1)
    left = centres.floor().long().clamp(max=old - 2)
    share = centres - left
    return values[..., left] * (1 - share) + values[..., left + 1] * share


def literal_loss(attention, tokens, weights, masks):
    errors = []
    for image in range(len(masks)):
        q, k = attention.q[image], attention.k[image]
        matrix = torch.softmax(
            q @ k.transpose(1, 2) / math.sqrt(DIMS), dim=2).mean(dim=0)
        for person in range(len(masks[image])):
            rows = [matrix[tokens[image][person, j]] for j in range(K)
                    if weights[image][person, j]]
            a = sum(rows) / len(rows)
            a = (a / a.max()).reshape(GRID)
            a = along(along(a, MASK[1]).T, MASK[0]).T
            errors.append((a - masks[image][person]).square().mean())
    return sum(errors) / len(errors)


@pytest.mark.parametrize('counts', [(1, ), (2, 0, 3)])
def test_equals_the_dense_loss_and_its_gradient(counts):
    given, args = attention(len(counts)), persons(*counts)
    loss, expected = AttentionMaskLoss()(given, *args), literal_loss(
        given, *args)
    assert_close(loss, expected)
    sources = [given.q, given.k]
    for ours, theirs in zip(torch.autograd.grad(loss, sources),
                            torch.autograd.grad(expected, sources)):
        assert theirs.abs().max() > 1e-6
        assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


def test_the_gradient_flows_through_the_maximum():
    """Finite differences would disagree with a maximum held fixed."""
    given, args = attention(), persons(2)

    def loss(q, k):
        return AttentionMaskLoss()(TokenAttention(q, k, GRID), *args)

    assert torch.autograd.gradcheck(loss, (given.q, given.k))


def test_a_person_map_is_the_mean_at_its_visible_keypoints():
    given = attention()
    tokens, weights = torch.tensor([[3, 9, 3, 7]]), torch.tensor([[1., 0, 1,
                                                                   1]])
    rows = given.rows(0, torch.tensor([3, 7]))
    expected = ((2 * rows[0] + rows[1]) / 3).reshape(1, *GRID)
    assert_close(person_attention(given, 0, tokens, weights), expected)


def test_uniform_attention_costs_the_share_of_background():
    """Over its maximum it is 1 everywhere: the error is 1 off the mask."""
    flat = torch.zeros(1, 1, LENGTH, DIMS)
    mask = torch.zeros(1, *MASK)
    mask[0, :5] = 1
    loss = AttentionMaskLoss()(
        TokenAttention(flat, flat, GRID), [torch.tensor([[3]])],
        [torch.ones(1, 1)], [mask])
    assert loss == pytest.approx(15 / 20)


def test_the_mean_is_over_persons_not_over_images():
    given, (tokens, weights, masks) = attention(2), persons(1, 3)
    loss = AttentionMaskLoss()
    parts = []
    for image in range(2):
        alone = TokenAttention(given.q[image:image + 1],
                               given.k[image:image + 1], GRID)
        parts.append(loss(alone, tokens[image:image + 1],
                          weights[image:image + 1], masks[image:image + 1]))
    assert_close(loss(given, tokens, weights, masks),
                 (1 * parts[0] + 3 * parts[1]) / 4)


def test_the_mean_attention_of_all_layers_can_be_measured_too():
    given, args = MeanAttention([attention(), attention()]), persons(2)
    same = MeanAttention([given.parts[0]] * 2)
    loss = AttentionMaskLoss()
    assert_close(loss(same, *args), loss(given.parts[0], *args))
    assert not torch.isclose(loss(given, *args), loss(same, *args))


def test_nobody_costs_0_and_every_parameter_keeps_a_gradient():
    given = attention(2)
    loss = AttentionMaskLoss()(given, *persons(0, 0))
    assert loss == 0
    loss.backward()
    for tensor in (given.q, given.k):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_with_weight_0_the_error_is_measured_without_gradient():
    given, args = attention(), persons(2)
    error = AttentionMaskLoss(loss_weight=0.)(given, *args)
    assert_close(error, AttentionMaskLoss()(given, *args))
    assert not error.requires_grad
    assert torch.is_grad_enabled()


def test_float32_in_bfloat16():
    given, args = attention(), persons(2)
    half = TokenAttention(given.q.bfloat16(), given.k.bfloat16(), GRID)
    exact = TokenAttention(half.q.double(), half.k.double(), GRID)
    with torch.autocast('cpu', torch.bfloat16):
        loss = AttentionMaskLoss()(half, *args)
    assert loss.dtype == torch.float32
    assert_close(loss.double(), literal_loss(exact, *args), rtol=1e-5,
                 atol=0)


class Precisions(TorchDispatchMode):
    """Notes the operators that compute in each precision."""

    def __init__(self):
        super().__init__()
        self.operators = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_floating_point():
            name = func.overloadpacket.__name__
            self.operators.setdefault(made.dtype, set()).add(name)
        return made


def test_every_step_is_float32_in_bfloat16():
    """Softmax, A_p, its maximum and the error; bfloat16 is only picked."""
    given, args = attention(), persons(2)
    half = TokenAttention(given.q.bfloat16(), given.k.bfloat16(), GRID)
    seen = Precisions()
    with seen, torch.autocast('cpu', torch.bfloat16):
        loss = AttentionMaskLoss()(half, *args)
    with seen:
        loss.backward()
    assert {'bmm', '_softmax', 'mean', 'mm', 'amax', 'upsample_bilinear2d',
            'sum', '_softmax_backward_data'} <= seen.operators[torch.float32]
    assert not {'bmm', 'mm', 'div', 'mul', 'mean', 'sum', 'amax', '_softmax',
                '_softmax_backward_data'} & seen.operators[torch.bfloat16]


# --- pairs instead of masks -------------------------------------------------


def pairs(*counts):
    """As ``persons``, with token targets of -1, 0 and 1."""
    tokens, weights, _ = persons(*counts)
    return tokens, weights, [
        torch.randint(-1, 2, (n, *GRID), dtype=torch.int8) for n in counts]


def test_positives_and_negatives_are_averaged_apart():
    """Over its maximum the uniform attention is 1 everywhere: each token to
    be avoided costs 1, the mean of them 1, however few they are."""
    flat = torch.zeros(1, 1, LENGTH, DIMS)
    uniform = TokenAttention(flat, flat, GRID)

    def loss(target):
        return AttentionPairLoss()(uniform, [torch.tensor([[3]])],
                                   [torch.ones(1, 1)], [target])

    target = torch.full((1, *GRID), -1, dtype=torch.int8)
    assert loss(target) == 0
    target[0, 0, 0] = 0
    assert loss(target) == 1
    target[0, 2:] = 1
    assert loss(target) == 1


def test_the_pair_loss_by_hand():
    given, (tokens, weights, targets) = attention(), pairs(2)
    maps = person_attention(given, 0, tokens[0], weights[0])
    expected = []
    for a, target in zip(maps, targets[0]):
        a = a / a.max()
        expected.append((a[target == 0]**2).mean()
                        + ((1 - a[target == 1])**2).mean())
    assert_close(AttentionPairLoss()(given, tokens, weights, targets),
                 sum(expected) / 2)


def test_numeric_gradient_of_the_pair_loss():
    given, args = attention(), pairs(2)

    def loss(q, k):
        return AttentionPairLoss()(TokenAttention(q, k, GRID), *args)

    assert torch.autograd.gradcheck(loss, (given.q, given.k))


def test_nobody_without_a_mask_costs_0_and_keeps_gradients():
    given = attention(2)
    loss = AttentionPairLoss()(given, *pairs(0, 0))
    assert loss == 0
    loss.backward()
    assert torch.equal(given.q.grad, torch.zeros_like(given.q))


# --- several processes ------------------------------------------------------


@pytest.mark.parametrize('kind, made', [(AttentionMaskLoss, persons),
                                        (AttentionPairLoss, pairs)])
@pytest.mark.parametrize('counts', [(1, 3), (4, 0), (0, 0)])
def test_two_processes_equal_one(monkeypatch, counts, kind, made):
    """Gradients are averaged over processes, so the losses must be too."""
    given, (tokens, weights, masks) = attention(2), made(*counts)
    loss = kind()
    together = loss(given, tokens, weights, masks)

    seen = []

    def all_reduce(count):
        seen.append(count.item())
        count.fill_(sum(counts))

    monkeypatch.setattr(losses, 'all_reduce', all_reduce)
    monkeypatch.setattr(losses, 'get_world_size', lambda: 2)
    apart = [
        loss(TokenAttention(given.q[i:i + 1], given.k[i:i + 1], GRID),
             tokens[i:i + 1], weights[i:i + 1], masks[i:i + 1])
        for i in range(2)
    ]
    assert tuple(seen) == counts
    average = sum(apart) / 2
    assert_close(average.double(), together.double())
    for a, b in zip(torch.autograd.grad(average, [given.q, given.k]),
                    torch.autograd.grad(together, [given.q, given.k])):
        assert_close(a, b)


def test_a_lone_person_on_many_processes_is_not_blown_up(monkeypatch):
    """1 person on 8 processes: less than one each, divided by 1."""
    given, args = attention(), persons(1)
    alone = AttentionMaskLoss()(given, *args)
    monkeypatch.setattr(losses, 'all_reduce', lambda count: None)
    monkeypatch.setattr(losses, 'get_world_size', lambda: 8)
    assert_close(AttentionMaskLoss()(given, *args), alone)

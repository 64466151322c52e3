"""The benchmark of memory: what it counts, and that like is beside like."""
import pytest
import torch
from benchmarks import memory
from benchmarks.memory import (MIB, Input, dense_from, keep_matrices, network,
                               peak_memory, supervision, training_step)
from torch.testing import assert_close

from mmpose_ssa.models.encoder import TokenAttention

pytestmark = pytest.mark.usefixtures('mmpose')

SMALL = Input(96, 16)  # 36 tokens


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(memory, 'DEVICE', 'cpu')


def mib(count):
    return torch.zeros(count * MIB // 4)


def test_the_highest_level_counts_and_not_the_sum():
    """3, then 3 + 2, back to 2, then 2 + 1."""

    def work():
        first = mib(3)
        second = mib(2)
        del first
        return second, mib(1)

    assert peak_memory(work)[0] == 5
    assert peak_memory(work)[0] == 5  # not from where the last one ended
    assert peak_memory(lambda: None)[0] == 0


def test_what_was_there_before_does_not_count():
    there = mib(7)
    assert peak_memory(there.clone)[0] == 7
    assert peak_memory(lambda: there.zero_())[0] == 0


def test_what_a_kernel_takes_for_itself_counts():
    """Fused attention is one operator to a counter of tensors. Its dense
    substitute needs a matrix; without dropout it needs none."""
    length = 1024
    matrix = 4 * length**2 / MIB
    q = torch.randn(1, 1, length, 64)

    def attend(dropout):
        return lambda: torch.nn.functional.scaled_dot_product_attention(
            q, q, q, dropout_p=dropout)

    assert peak_memory(attend(.1))[0] > 2 * matrix
    assert peak_memory(attend(0.))[0] < matrix / 2


@pytest.mark.parametrize('layout', ['contiguous_format', 'channels_last'])
@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
def test_the_encoder_is_linear_in_the_tokens(layout, precision):
    """Whatever its input's layout: 4 times the tokens, 4 times the memory."""
    neck, _ = network(SMALL)
    neck.projection = torch.nn.Conv2d(8, 192, 1, bias=False)
    neck.to(memory_format=getattr(torch, layout))

    def step(side):
        x = torch.randn(1, 8, side, side).contiguous(
            memory_format=getattr(torch, layout)).requires_grad_()

        def run():
            with torch.autocast('cpu', torch.bfloat16,
                                enabled=precision == torch.bfloat16):
                encoded = neck([x])[1]
            encoded.square().mean().backward()
        return run

    step(4)()  # makes the gradients of the weights
    small, large = (peak_memory(step(side))[0] for side in (16, 32))
    assert large < 4.1 * small


def test_the_dense_step_is_the_same_step():
    neck, head = network(SMALL)
    dense, _ = network(SMALL)
    dense.load_state_dict(neck.state_dict())
    keep_matrices(dense)
    for encoder in (neck, dense):
        for layer in encoder.layers:
            layer.dropout.p = 0.
    results = []
    for encoder in (neck, dense):
        torch.manual_seed(1)
        losses = training_step(encoder, head, SMALL)()
        results.append((losses, {name: parameter.grad for name, parameter
                                 in encoder.named_parameters()}))
    (ours, gradients), (theirs, expected) = results
    assert ours['loss_mask'] > 0
    assert_close(ours, theirs)
    assert_close(gradients, expected, rtol=1e-3, atol=1e-6)


def test_the_dense_supervision_is_the_same_supervision():
    gradients = []
    for attention in (TokenAttention, dense_from):
        torch.manual_seed(1)
        gradients.append(supervision(SMALL, 3, attention)())
    assert gradients[0][0].abs().max() > 0
    assert_close(*gradients)


def test_the_supervision_takes_less_than_a_tenth_of_the_dense_one():
    size = Input(640, 8)
    ours, dense = (peak_memory(supervision(size, 4, attention))[0]
                   for attention in (TokenAttention, dense_from))
    assert dense >= 2 * 4 * size.tokens**2 / MIB
    assert ours < dense / 10


def test_a_quick_run():
    steps, alone, whole = memory.measure(quick=True)
    assert [row[0] for row in steps.rows] == ['16', '64']
    assert [row[:3] for row in alone.rows] == [
        ['16', '4', '48'], ['16', '30', '360'],
        ['64', '4', '48'], ['64', '30', '360']]
    assert [row[0] for row in whole.rows] == ['`demo/ssa_demo`']
    for table in (steps, alone, whole):
        for row in table.rows:
            assert len(row) == len(table.columns)
            numbers = [cell for cell in row if not isinstance(cell, str)]
            assert len(numbers) >= 2 and min(numbers) > 0

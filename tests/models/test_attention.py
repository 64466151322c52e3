"""Rows of attention, without the matrix."""

import pytest
import torch
from attentions import GRID, LENGTH, attention, dense
from torch.testing import assert_close

from mmpose_ssa.models.encoder import MeanAttention, TokenAttention

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.mark.parametrize('heads', [1, 4])
def test_rows_are_those_of_the_dense_matrix(heads):
    given = attention(heads=heads)
    tokens = torch.tensor([34, 0, 7, 7])  # any order, repeated
    weights = torch.randn(4, LENGTH, dtype=torch.float64)
    for image in range(2):
        rows = given.rows(image, tokens)
        matrix = dense(given, image)
        assert_close(rows, matrix[tokens])
        assert_close(rows.sum(1), torch.ones(4, dtype=torch.float64))
        sources = [given.q, given.k]
        for a, b in zip(
                torch.autograd.grad((rows * weights).sum(), sources),
                torch.autograd.grad((matrix[tokens] * weights).sum(),
                                    sources)):
            assert_close(a, b)


def test_no_rows_for_no_tokens():
    tokens = torch.zeros(0, dtype=torch.int64)
    assert attention().rows(0, tokens).shape == (0, LENGTH)


def test_flipped_is_the_attention_of_the_mirrored_grid():
    """Queries and keys change places: both axes of the matrix turn."""
    given = attention(grid=(3, 4))
    turned = dense(given, 1).reshape(3, 4, 3, 4).flip(1, 3).reshape(12, 12)
    everything = torch.arange(12)
    assert_close(given.flipped().rows(1, everything), turned)
    assert_close(given.flipped().flipped().rows(1, everything),
                 dense(given, 1))
    assert_close(MeanAttention([given]).flipped().rows(1, everything), turned)


def test_the_mean_of_attentions():
    parts = [attention(), attention()]
    mean, tokens = MeanAttention(parts), torch.tensor([3, 1])
    assert mean.grid == GRID
    assert_close(mean.rows(1, tokens),
                 (dense(parts[0], 1) + dense(parts[1], 1))[tokens] / 2)
    with pytest.raises(ValueError, match=r'one grid is needed, got \[\(5, 7'):
        MeanAttention([attention(), attention(grid=(7, 5))])


def test_zero_is_0_and_reaches_every_query_and_key():
    given = MeanAttention([attention(), attention()])
    zero = given.zero()
    assert zero == 0
    zero.backward()
    for part in given.parts:
        for tensor in (part.q, part.k):
            assert torch.equal(tensor.grad, torch.zeros_like(tensor))


@pytest.mark.parametrize('q, k, grid', [
    ((1, 1, 12, 8), (1, 1, 12, 4), (3, 4)),
    ((1, 1, 12, 8), (1, 1, 12, 8), (3, 5)),
])
def test_queries_keys_and_grid_must_fit(q, k, grid):
    with pytest.raises(ValueError, match='do not fit'):
        TokenAttention(torch.zeros(q), torch.zeros(k), grid)

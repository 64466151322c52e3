"""Attention rows without PyTorch."""
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmpose_ssa.decoding.attention import attention_rows


def test_rows_by_hand():
    """One head, d = 4: scores are halved products."""
    q = np.array([[[2., 0, 0, 0], [0, 0, 0, 0]]])
    k = np.array([[[np.log(3), 0, 0, 0], [0, 5, 0, 0]]])
    assert_allclose(attention_rows(q, k, np.array([0, 1, 0])),
                    [[.75, .25], [.5, .5], [.75, .25]], rtol=1e-6)


@pytest.mark.usefixtures('mmpose')
def test_they_are_the_models(rng):
    import torch

    from mmpose_ssa.models.attention import TokenAttention
    q, k = rng.normal(size=(2, 2, 12, 8)).astype(np.float32)
    tokens = np.array([3, 0, 11])
    theirs = TokenAttention(torch.tensor(q)[None], torch.tensor(k)[None],
                            (3, 4)).rows(0, torch.tensor(tokens))
    assert_allclose(attention_rows(q, k, tokens), theirs.numpy(), rtol=1e-5)


def test_large_products_do_not_overflow():
    q = np.full((1, 2, 1), 1e4, np.float32)
    k = np.array([[[1.], [0.]]], np.float32)
    assert_allclose(attention_rows(q, k, np.array([0])), [[1, 0]])

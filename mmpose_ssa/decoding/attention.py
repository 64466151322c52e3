"""Attention rows from queries and keys, without PyTorch.

For exported models and tracking; :class:`mmpose_ssa.models.attention` has the
same for the model. Pure: arrays in, arrays out; no argument is changed.
"""
import numpy as np


def attention_rows(q: np.ndarray, k: np.ndarray,
                   tokens: np.ndarray) -> np.ndarray:
    """Rows of softmax(q k^T / sqrt(d)), averaged over the heads.

    Args:
        q: (heads, L, d) queries.
        k: (heads, L, d) keys.
        tokens: (M,) whose rows.

    Returns:
        (M, L), each row with sum 1.
    """
    scores = q[:, tokens] * np.float32(q.shape[-1]**-0.5) \
        @ k.transpose(0, 2, 1)  # (heads, M, L)
    rows = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (rows / rows.sum(axis=-1, keepdims=True)).mean(axis=0)

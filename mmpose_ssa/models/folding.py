"""Batch norms folded into the convolutions before them, while testing.

A batch norm in evaluation is a multiplication and an addition per channel,
which a convolution's own weights can do. That saves the passes through memory
that a norm is: about a twentieth of the forward on CPUs.
"""
from contextlib import contextmanager
from threading import Lock
from typing import Iterator, List, NamedTuple

import torch.nn as nn
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import wrappers
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

NOTHING = nn.Identity()
# What others derive from them may compute something else.
PLAIN = nn.Conv2d, wrappers.Conv2d
TRANSPOSED = nn.ConvTranspose2d, wrappers.ConvTranspose2d


class Pair(NamedTuple):
    """A convolution, the norm that follows, and whose children they are."""
    parent: nn.Module
    conv_name: str
    conv: nn.Module
    norm_name: str
    norm: nn.Module

    def put(self, conv: nn.Module, norm: nn.Module) -> None:
        """Let the parent call these in their places."""
        self.parent._modules[self.conv_name] = conv
        self.parent._modules[self.norm_name] = norm

    def state(self) -> tuple:
        """What changes when the weights do."""
        tensors = (*self.conv._parameters.values(),
                   *self.norm._parameters.values(),
                   *self.norm._buffers.values())
        return (self.conv.training, self.norm.training,
                *((t.data_ptr(), 0 if t.is_inference() else t._version)
                  for t in tensors if t is not None))


class FoldedNorms:
    """Lends a model convolutions that do the work of its batch norms.

    Not a module: the folded weights are in no state dict, no optimizer and no
    moving average. They are made when they are first lent and anew when those
    of the model have changed. Only what is written through ``.data`` is not
    seen, as MMEngine's moving average does before testing; therefore
    :meth:`discard` when a model is set to training or to evaluation. A copy,
    pickled or not, starts with none.
    """

    def __init__(self) -> None:
        self._lock, self._users = Lock(), 0
        self._lent: List[Pair] = []
        self.discard()

    def __reduce__(self) -> tuple:
        return FoldedNorms, ()

    def discard(self) -> None:
        """Make them anew when they are next lent."""
        self._pairs: List[Pair] = []
        self._states: List[tuple] = []
        self._folded: List[nn.Module] = []

    @contextmanager
    def lent_to(self, model: nn.Module) -> Iterator[None]:
        """Within this context the model runs without the norms.

        Several threads may be in it at a time: the first puts the norms away
        and the last puts them back.

        Args:
            model: In evaluation mode; always the same.
        """
        with self._lock:
            if not self._users:
                self._lend(model)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._take_back()

    def _lend(self, model: nn.Module) -> None:
        if not self._pairs or self._states != [
                pair.state() for pair in self._pairs]:
            self._renew(model)
        self._lent = self._pairs
        for pair, conv in zip(self._lent, self._folded):
            pair.put(conv, NOTHING)

    def _take_back(self) -> None:
        for pair in self._lent:
            pair.put(pair.conv, pair.norm)

    def _renew(self, model: nn.Module) -> None:
        self._pairs = list(pairs_of(model))
        self._states = [pair.state() for pair in self._pairs]
        self._folded = [_fold(pair.conv, pair.norm) for pair in self._pairs]


def pairs_of(model: nn.Module) -> Iterator[Pair]:
    """Find the convolutions and batch norms that can be folded.

    As in mmcv, a norm is taken to follow the convolution that was registered
    before it; here it must be the one directly before, because a norm after a
    deformable convolution does not belong to the plain one farther up.

    Args:
        model: Any. Norms that still gather statistics, layers with hooks or
            with weights that are computed anew, and mmcv's modules in which
            the norm comes first are left alone.
    """
    for parent in model.modules():
        if isinstance(parent, ConvModule) and (
                parent.order.index('norm') < parent.order.index('conv')):
            continue
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in zip(
                children, children[1:]):
            if _fit(conv, norm):
                yield Pair(parent, conv_name, conv, norm_name, norm)


def _fit(conv: nn.Module, norm: nn.Module) -> bool:
    plain = type(conv) in PLAIN
    transposed = type(conv) in TRANSPOSED and conv.groups == 1
    return ((plain or transposed) and isinstance(norm, _BatchNorm)
            and norm.running_mean is not None
            and norm.num_features == conv.out_channels
            and not (conv.training or norm.training)
            and not any(map(_is_altered, (conv, norm))))


def _is_altered(layer: nn.Module) -> bool:
    """Whether hooks or parametrizations take part in what it computes."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks
                or is_parametrized(layer))


def _fold(conv: nn.Module, norm: nn.Module) -> nn.Module:
    transposed = isinstance(conv, nn.ConvTranspose2d)
    return fuse_conv_bn_eval(conv, norm, transposed).requires_grad_(False)

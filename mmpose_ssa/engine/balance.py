"""Hooks that balance the losses of SSA, and show how far they are apart.

At random weights the mask loss sends far larger gradients into the features
than the heatmap loss, and the heatmaps learn late. Beside the initialisation
of the head and ``feature_gradient`` of the neck, a ramp of the mask loss'
weight helps. Beyond the paper.
"""
from typing import Dict, List

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from torch import nn


def unwrapped(runner: Runner) -> nn.Module:
    """The model, without the wrapper of distributed training."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


@HOOKS.register_module()
class RampMaskLoss(Hook):
    """Raises the weight of the mask loss linearly from 0 to its own.

    That of the pair loss too, if there is one. The weight depends on the
    iteration alone, so that a resumed training goes on with the right one. At
    weight 0 the loss still has a gradient, of zeros: distributed training
    wants one for every parameter.

    Args:
        begin: Share of the training's iterations after which it rises.
        end: Share of them after which it is beta.

    Raises:
        ValueError: Unless 0 <= begin < end <= 1.
    """

    def __init__(self, begin: float = 0., end: float = 0.3) -> None:
        if not 0 <= begin < end <= 1:
            raise ValueError(f'begin={begin} and end={end} must be shares of '
                             'the training, 0 <= begin < end <= 1')
        self.begin, self.end = begin, end

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch=None) -> None:
        """Set the weight of this iteration."""
        done = runner.iter / runner.max_iters
        share = (done - self.begin) / (self.end - self.begin)
        self._set(runner, min(max(share, 0.), 1.))

    def after_train(self, runner: Runner) -> None:
        """Give the losses their own weights back."""
        self._set(runner, 1.)

    @staticmethod
    def _set(runner: Runner, share: float) -> None:
        head = unwrapped(runner).head
        for loss in (head.mask_loss_module, head.pair_loss_module):
            if loss is not None:
                loss.share = share


@HOOKS.register_module()
class LogGradientNorms(Hook):
    """Logs the gradient norm of each loss in a part of the model.

    Logged as ``grad/loss_kpt``, ``grad/loss_mask`` and so on, the Euclidean
    norm over all trained weights of the part. The batch goes through the
    model once more, and each loss backwards alone, so that an iteration in
    which it is logged takes about three times as long. The training itself is
    not changed: statistics of norms and random numbers are put back.

    Args:
        interval: Iterations from one to the next.
        part: Name of a submodule of the model.

    Raises:
        ValueError: If the model has no trained weights of that name.
    """

    def __init__(self, interval: int = 100, part: str = 'backbone') -> None:
        self.interval, self.part = interval, part

    def before_train(self, runner: Runner) -> None:
        """Check the name."""
        model = unwrapped(runner)
        if self.part not in dict(model.named_modules()) or not self._weights(
                model):
            raise ValueError(
                f'the model has no trained weights in part={self.part!r}: '
                f'give a name such as {[n for n, _ in model.named_children()]}'
            )

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch=None, outputs=None) -> None:
        """Log them with the losses of this iteration."""
        if self.every_n_train_iters(runner, self.interval):
            for name, norm in self.norms(runner, data_batch).items():
                runner.message_hub.update_scalar(f'train/grad/{name}', norm)

    def norms(self, runner: Runner, data_batch: dict) -> Dict[str, float]:
        """The norm for each loss that trains the part.

        Args:
            runner: With the model, in training mode.
            data_batch: As the data loader gives it.
        """
        model = unwrapped(runner)
        weights = self._weights(model)
        buffers = [buffer.clone() for buffer in model.buffers()]
        devices = [weights[0].device] if weights[0].is_cuda else []
        with torch.random.fork_rng(devices):
            data = model.data_preprocessor(data_batch, True)
            with runner.optim_wrapper.optim_context(runner.model):
                losses = model(**data, mode='loss')
        found = {
            name: self._norm(loss, weights)
            for name, loss in losses.items()
            if 'loss' in name and loss.requires_grad
        }
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers):
                buffer.copy_(before)
        return found

    def _weights(self, model: nn.Module) -> List[nn.Parameter]:
        return [weight for weight in model.get_submodule(
            self.part).parameters() if weight.requires_grad]

    @staticmethod
    def _norm(loss: torch.Tensor, weights: List[nn.Parameter]) -> float:
        gradients = torch.autograd.grad(loss, weights, retain_graph=True,
                                        allow_unused=True)
        squares = [gradient.float().square().sum()
                   for gradient in gradients if gradient is not None]
        return float(torch.stack(squares).sum().sqrt()) if squares else 0.

"""The ramp of the mask loss, and the gradient norms that are logged."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from small_training import small_runner

from mmpose_ssa.engine.balance import LogGradientNorms, RampMaskLoss


@pytest.mark.parametrize('iteration, weight', [
    (0, 0.), (20, 0.), (30, .5), (35, .75), (40, 1.), (99, 1.)])
def test_the_weight_rises_linearly(iteration, weight):
    """From a fifth to two fifths of 100 iterations, to a beta of 0.2."""
    loss = SimpleNamespace(loss_weight=.2)
    runner = SimpleNamespace(
        iter=iteration, max_iters=100,
        model=SimpleNamespace(head=SimpleNamespace(mask_loss_module=loss)))
    ramp = RampMaskLoss(.2, .4)
    ramp.before_train(runner)
    for _ in range(2):  # not compounded
        ramp.before_train_iter(runner, 0)
    assert loss.loss_weight == pytest.approx(.2 * weight)


@pytest.mark.parametrize('begin, end', [(-.1, .5), (.5, .5), (.5, 1.1)])
def test_shares_that_are_none_are_named(begin, end):
    with pytest.raises(ValueError, match=f'begin={begin} and end={end}'):
        RampMaskLoss(begin, end)


class TwoLosses(torch.nn.Module):
    """loss_a is 3 w0 + 4 w1; loss_b is (w0)^2 times the batch; w = (2, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.Linear(2, 1, bias=False)
        self.backbone.weight.data = torch.tensor([[2., 5.]])
        self.register_buffer('seen', torch.zeros(1))

    def data_preprocessor(self, batch, training):
        return batch

    def forward(self, inputs, mode):
        self.seen += 1
        torch.rand(1)  # as dropout draws
        w = self.backbone.weight[0]
        return dict(loss_a=3 * w[0] + 4 * w[1], loss_b=w[0]**2 * inputs,
                    loss_c=torch.ones(()), error=w[1] * 7)


def test_norms_by_hand():
    model = TwoLosses()
    runner = SimpleNamespace(model=model, optim_wrapper=SimpleNamespace(
        optim_context=lambda model: torch.enable_grad()))
    random = torch.get_rng_state()
    norms = LogGradientNorms(part='backbone').norms(
        runner, dict(inputs=torch.tensor(10.)))
    assert norms == dict(loss_a=5., loss_b=pytest.approx(40.))
    assert model.backbone.weight.grad is None
    assert model.seen == 0
    assert torch.equal(torch.get_rng_state(), random)


def losses(folder, hooks):
    runner = small_runner(folder, 2, hooks=hooks)
    runner.train()
    hub = MessageHub.get_instance(runner.experiment_name)
    return {key: value.data[0].tolist()
            for key, value in hub.log_scalars.items()}


def test_logging_does_not_change_the_training(tmp_path):
    """Of a model with dropout and batch norm."""
    plain = losses(tmp_path / 'a', [])
    logged = losses(tmp_path / 'b', [
        dict(type='LogGradientNorms', interval=2, part='layers')])
    norms = logged.pop('train/grad/loss')
    assert logged['train/loss'] == plain['train/loss']
    assert len(norms) == 3 and min(norms) > 0


def test_a_part_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="part='backbone'.*layers"):
        losses(tmp_path, [dict(type='LogGradientNorms')])

"""The ramp of the mask loss, and the gradient norms that are logged."""
from types import SimpleNamespace

import pytest
import small_training
import torch
from factories import TINY, random_model, write_scenes
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmpose.registry import DATASETS
from small_training import TinyModel, small_runner

from mmpose_ssa.engine.balance import LogGradientNorms, RampMaskLoss
from mmpose_ssa.models.losses import AttentionMaskLoss


def model_of(pair_loss=None):
    """The tiny model, whose mask loss has a beta of 0.2."""
    cfg = Config.fromfile(TINY)
    cfg.model.neck.association = 'independent'
    cfg.model.head.mask_loss.loss_weight = .2
    cfg.model.head.pair_loss = pair_loss
    return random_model(cfg)


@pytest.mark.parametrize('iteration, share', [
    (0, 0.), (20, 0.), (30, .5), (35, .75), (40, 1.), (99, 1.)])
def test_the_weights_rise_linearly(mmpose, iteration, share):
    """From a fifth to two fifths of 100 iterations, to 0.2 and 0.3."""
    model = model_of(dict(type='AttentionPairLoss', loss_weight=.3))
    runner = SimpleNamespace(iter=iteration, max_iters=100, model=model)
    ramp = RampMaskLoss(.2, .4)
    weights = []
    for _ in range(2):  # not compounded
        ramp.before_train_iter(runner, 0)
        weights.append([loss.weighted(1.) for loss in (
            model.head.mask_loss_module, model.head.pair_loss_module)])
    ramp.after_train(runner)
    assert weights == [pytest.approx([.2 * share, .3 * share])] * 2
    assert model.head.mask_loss_module.weighted(1.) == .2


def test_at_weight_0_every_parameter_has_a_gradient(mmpose, tmp_path):
    """Distributed training waits for all, those of the extra attention too.
    """
    model = model_of()
    dataset = dict(Config.fromfile(TINY).train_dataloader.dataset)
    people = DATASETS.build(dict(dataset, data_root=str(
        write_scenes(tmp_path))))
    gradients = []
    for iteration in (0, 99):
        runner = SimpleNamespace(iter=iteration, max_iters=100, model=model)
        RampMaskLoss().before_train_iter(runner, 0)
        model.zero_grad()
        losses = model(**model.data_preprocessor(
            pseudo_collate([people[0], people[1]]), True), mode='loss')
        model.parse_losses(losses)[0].backward()
        assert losses['mask_error'] > 0
        gradients.append(model.neck.independent.in_proj.weight.grad)
    assert not gradients[0].any() and gradients[1].any()


class Ramped(TinyModel):
    """Whose loss is weighted as the mask loss; keeps the weights."""

    def __init__(self, width):
        super().__init__(width)
        self.weights = []
        self.head = SimpleNamespace(mask_loss_module=AttentionMaskLoss(.5),
                                    pair_loss_module=None)

    def forward(self, inputs, data_samples, mode='tensor'):
        found = super().forward(inputs, data_samples, mode)
        if mode == 'loss':
            weigh = self.head.mask_loss_module.weighted
            self.weights.append(weigh(1.))
            return {name: weigh(loss) for name, loss in found.items()}
        return found


class StopAt(Hook):
    """Ends the training before an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


def test_a_resumed_training_goes_on_with_the_ramp(tmp_path, monkeypatch):
    """Of 9 iterations, 3 an epoch, it rises during 6; stopped in the fifth."""
    monkeypatch.setattr(small_training, 'TinyModel', Ramped)
    ramp = dict(type='RampMaskLoss', end=6 / 9)
    whole = small_runner(tmp_path / 'whole', 3, hooks=[ramp])
    whole.train()
    stopped = small_runner(tmp_path / 'stopped', 3,
                           hooks=[ramp, StopAt(4)])
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    resumed = small_runner(tmp_path / 'stopped', 3, hooks=[ramp],
                           resume=True)
    resumed.train()
    assert whole.model.weights == pytest.approx(
        [0, .5 / 6, 1 / 6, .25, 2 / 6, 2.5 / 6, .5, .5, .5])
    assert resumed.model.weights == whole.model.weights[3:]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


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

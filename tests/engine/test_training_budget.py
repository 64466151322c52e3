"""The same budget for all: recipes stretched to a number of steps."""
import pytest
import torch.nn as nn
from factories import DEMO
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmpose_ssa.engine.training_budget import stretch, with_budget

pytestmark = pytest.mark.usefixtures('mmpose')


def rates(schedulers, steps, epoch_length):
    """The learning rate of each step, as MMEngine's hook changes it."""
    optimizer = build_optim_wrapper(
        nn.Linear(1, 1), dict(optimizer=dict(type='SGD', lr=1.)))
    built = [PARAM_SCHEDULERS.build(scheduler, default_args=dict(
        optimizer=optimizer, epoch_length=epoch_length))
        for scheduler in schedulers]
    found = []
    for step in range(1, steps + 1):
        found.append(optimizer.get_lr()['lr'][0])
        optimizer.optimizer.step()
        for scheduler in built:
            if not scheduler.by_epoch or step % epoch_length == 0:
                scheduler.step()
    return found


WARM = dict(type='LinearLR', start_factor=.01, begin=0, end=20, by_epoch=False)
STEPS = dict(type='MultiStepLR', begin=0, end=12, milestones=[5, 10],
             gamma=.1, by_epoch=True)
COSINE = dict(type='CosineAnnealingLR', T_max=12, end=12, eta_min=1e-3,
              by_epoch=True, convert_to_iter_based=True)


@pytest.mark.parametrize('recipe', [
    [STEPS], [WARM, STEPS], [WARM, COSINE],
    [dict(type='StepLR', step_size=4, gamma=.5)],
    [dict(type='ConstantLR', factor=.1, begin=0, end=6,
          convert_to_iter_based=True)],
    [WARM, dict(type='PolyLR', begin=3, end=12, power=.9, eta_min=0,
                convert_to_iter_based=True)],
])
def test_a_budget_as_long_as_the_recipe_is_the_recipe(recipe):
    stretched = [stretch(scheduler, 12, 12 * 7) for scheduler in recipe]
    assert rates(stretched, 84, 999) == rates(recipe, 84, 7)


def test_a_schedule_is_stretched_to_the_budget():
    assert stretch(STEPS, 12, 100) == dict(
        type='MultiStepLR', begin=0, end=100, milestones=[42, 84], gamma=.1,
        by_epoch=False)
    assert stretch(COSINE, 12, 6) == dict(
        type='CosineAnnealingLR', T_max=6, end=6, eta_min=1e-3,
        by_epoch=False)
    # 41.7 and 83.3 steps: the first whole one after that share
    found = rates([stretch(STEPS, 12, 100)], 100, 999)
    assert found == pytest.approx([1.] * 42 + [.1] * 42 + [.01] * 16)
    # where the recipe has no end, it is the last of the epochs
    assert stretch(dict(type='StepLR', step_size=9), 3, 100)['end'] == 100


def test_rounding_makes_no_step_more():
    for epochs in range(1, 300):
        for steps in (1, 7, 100, 4001):
            found = stretch(dict(COSINE, T_max=epochs, end=epochs), epochs,
                            steps)
            assert found['T_max'] == found['end'] == steps


def test_a_warm_up_stays_as_long_as_it_is():
    assert stretch(WARM, 5, 20) == WARM
    with pytest.raises(ValueError, match='LinearLR takes 20 .* budget of 19'):
        stretch(WARM, 5, 19)


def test_what_cannot_be_stretched_is_refused():
    with pytest.raises(ValueError, match='ExponentialLR .* CosineAnnealingLR'):
        stretch(dict(type='ExponentialLR', gamma=.9), 5, 100)
    cfg = Config(dict(train_cfg=dict(by_epoch=False, max_iters=9)))
    with pytest.raises(ValueError, match='does not train by epochs'):
        with_budget(cfg, 100)


def test_the_config_given_is_not_changed():
    cfg = Config.fromfile(DEMO)
    before = cfg.to_dict()
    changed = with_budget(cfg, 3000)
    assert cfg.to_dict() == before
    assert changed.param_scheduler[0] == cfg.param_scheduler[0]
    assert changed.param_scheduler[1].T_max == 3000
    assert changed.val_cfg is None
    assert changed.default_hooks.logger == cfg.default_hooks.logger

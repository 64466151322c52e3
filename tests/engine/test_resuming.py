"""Only the training that was saved is resumed."""
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from small_training import small_runner

from mmpose_ssa.engine.resuming import is_like, optimizer_misfit
from mmpose_ssa.errors import RunError


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    small_runner(folder, 2, scores=[.1, .2],
                 checkpoint=dict(save_best='a')).train()
    return folder


@pytest.fixture
def changed(trained, tmp_path):
    """Makes a checkpoint with some change, and a run that resumes it."""
    def resume(change=lambda content: None, **options):
        content = torch.load(trained / 'epoch_2.pth', weights_only=False)
        change(content)
        torch.save(content, tmp_path / 'a.pth')
        return small_runner(tmp_path / 'run', 3, resume=True,
                            load_from=str(tmp_path / 'a.pth'), **options)
    return resume


def test_what_was_saved_is_resumed(changed):
    runner = changed()
    runner.train()
    assert runner.epoch == 3


def test_the_best_holds_no_optimizer(trained, tmp_path):
    best, = trained.glob('best*')
    runner = small_runner(tmp_path, 3, resume=True, load_from=str(best))
    with pytest.raises(RunError, match='best_a_epoch_2.pth.* no optimizer, '
                       'param_schedulers.*load_from'):
        runner.train()


def test_weights_that_would_not_even_begin_a_training_are_named(changed):
    def change(content):
        content['state_dict'][WEIGHT] = torch.zeros(3)
        del content['optimizer']
    with pytest.raises(RunError, match='(?s)a.pth holds no optimizer:.*'
                       rf'not all of them fit.*{WEIGHT}.*\[3\]'):
        changed(change).train()


@pytest.mark.parametrize('part', ['optimizer', 'param_schedulers', 'meta',
                                  'message_hub'])
def test_a_missing_part_is_named(changed, part):
    with pytest.raises(RunError, match=f'a.pth holds no .*{part}.*load_from'):
        changed(lambda content: content.pop(part)).train()


def warnings_of(runner):
    said = []
    runner.logger.warning = said.append
    runner.train()
    return [line for line in said if 'a.pth' in line]


@pytest.mark.parametrize('epoch, iteration, words', [
    (2, 6, None),
    (2, 10**6, 'of iteration 1000000, but 2 epochs of the config have 6'),
    (1, 7, 'of iteration 7, but 1 epochs of the config have 3'),
    (1, 6, 'was saved within epoch 2'), (0, 1, 'was saved within epoch 1'),
    (1, 2, 'of iteration 2, but 1 epochs of the config have 3'),
    (3, 9, 'of epoch 3, and train_cfg.max_epochs is 3: nothing is left'),
    (2**31, 6, 'of epoch 2147483648, and train_cfg.max_epochs is 3')])
def test_progress_that_does_not_fit_is_said(changed, epoch, iteration, words):
    said = warnings_of(changed(at('meta', epoch=epoch, iter=iteration)))
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


@pytest.mark.parametrize('iteration, refused', [
    (9, False), (10, True), (2**31, True)])
def test_a_training_by_iterations_is_not_resumed_behind_its_end(
        changed, iteration, refused):
    """MMEngine would draw a batch for each of them."""
    runner = changed(
        at('meta', iter=iteration),
        train_cfg=dict(by_epoch=False, max_iters=9, val_interval=3),
        checkpoint=dict(interval=3, by_epoch=False),
        custom_hooks=[dict(type='StrictResuming')])
    if refused:
        with pytest.raises(RunError, match=(
                f'a.pth is of iteration {iteration}, and train_cfg.max_iters '
                'is 9: nothing is left')):
            runner.train()
    else:
        said, = warnings_of(runner)
        assert 'is 9: nothing is left' in said


@pytest.mark.parametrize('key', ['epoch', 'iter'])
def test_a_missing_count_is_named(changed, key):
    with pytest.raises(RunError, match=f'a.pth holds no {key}'):
        changed(lambda content: content['meta'].pop(key)).train()
    with pytest.raises(RunError, match=f'a.pth holds no {key}'):
        changed(at('meta', **{key: None})).train()


def test_weights_alone_are_named(trained, tmp_path):
    content = torch.load(trained / 'epoch_2.pth', weights_only=False)
    torch.save(content['state_dict'], tmp_path / 'a.pth')
    with pytest.raises(RunError, match='a.pth holds no state_dict, meta'):
        small_runner(tmp_path / 'run', 3, resume=True,
                     load_from=str(tmp_path / 'a.pth')).train()


def at(*keys, **values):
    """A change of what stands at some keys."""
    def change(content):
        for key in keys:
            content = content[key]
        content.update(values)
    return change


def without(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]
    return change


WEIGHT = 'layers.0.weight'
GROUP = ('optimizer', 'param_groups', 0)
STATE = ('optimizer', 'state', 0)
SCHEDULE = ('param_schedulers', 0)


@pytest.mark.parametrize('change, named', [
    (at('state_dict', **{WEIGHT: torch.zeros(3)}), f'{WEIGHT}'),
    (without('state_dict', WEIGHT), f'missing.*{WEIGHT}'),
    (at('state_dict', other=torch.zeros(1)), 'unexpected.*other'),
    (at('state_dict', **{WEIGHT: torch.full((8, 4), math.nan)}),
     f'not finite: {WEIGHT}'),
    (at('optimizer', state=3), 'optimizer'),
    (at('optimizer', param_groups=[]), r'groups of \[\] .* \[6\]'),
    (without('optimizer', 'state'), 'optimizer has no state'),
    (at(optimizer=[1]), 'optimizer has no'),
    (at(*GROUP, params=[0, 1]), r'\[2\] .* \[6\]'),
    (at(*GROUP, params=[0] * 6), 'weight twice'),
    (at(*GROUP, lr='high'), "lr='high'"),
    (at(*GROUP, lr=math.nan), 'lr=nan'),
    (at(*GROUP, betas=(.9, )), 'betas'),
    (at(*GROUP, betas=.9), 'betas'),
    (at(*STATE, exp_avg=torch.zeros(9)), 'exp_avg.*weight 0'),
    (at(*STATE, exp_avg=torch.full((8, 4), math.inf)), 'exp_avg'),
    (at(*STATE, exp_avg='a'), 'exp_avg'),
    (at(*STATE, exp_avg=torch.zeros(())), 'exp_avg'),
    (at(*STATE, exp_avg=torch.zeros(1)), 'exp_avg'),
    (at(*STATE, exp_avg=torch.zeros(8, 4).long()), 'exp_avg'),
    (at(*STATE, step=torch.zeros(8, 4)), 'step'),
    (at(*STATE, step=torch.tensor(1j)), 'step'),
    (at(*STATE, more=torch.zeros(8, 4)), "no 'more'"),
    (without(*STATE, 'exp_avg_sq'), "no 'exp_avg_sq'"),
    (at('optimizer', 'state', **{'a': {}}), 'averages of no weight'),
    (at('optimizer', state={0: 3}), 'optimizer'),
    (at(param_schedulers=[]), '1 param_scheduler'),
    (at(param_schedulers='a'), '1 param_scheduler'),
    (at(*SCHEDULE, optimizer=3), r'param_scheduler\[0\] is no MultiStepLR'),
    (at(*SCHEDULE, gamma=math.inf), r'param_scheduler\[0\]'),
    (at(*SCHEDULE, milestones={'a': 1}), r'param_scheduler\[0\]'),
    (at(*SCHEDULE, base_values=[.1, .1]), r'param_scheduler\[0\]'),
    (without(*SCHEDULE, 'last_step'), r'param_scheduler\[0\]'),
    (at(*SCHEDULE, last_step=None), r'param_scheduler\[0\]'),
])
def test_what_does_not_fit_is_named(changed, change, named):
    """fault_11"""
    with pytest.raises(RunError, match=f'(?s)a.pth does not fit.*{named}'):
        changed(change).train()


def test_switches_of_the_optimizer_are_those_of_the_run(changed):
    runner = changed(at(*GROUP, fused=True, foreach=True, amsgrad=1, more=3,
                        capturable=True, differentiable=True))
    runner.train()
    group, = runner.optim_wrapper.optimizer.param_groups
    assert not any(group.get(key) for key in (
        'fused', 'foreach', 'amsgrad', 'capturable', 'differentiable'))
    assert 'more' not in group


@pytest.mark.parametrize('build', [
    torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam,
    lambda w: torch.optim.Adam(w, amsgrad=True),
    lambda w: torch.optim.SGD(w, lr=.1),
    lambda w: torch.optim.SGD(w, lr=.1, momentum=.9),
    lambda w: torch.optim.RMSprop(w, momentum=.9, centered=True)])
def test_every_optimizer_fits_itself(build):
    layer = torch.nn.Linear(2, 3)
    layer(torch.rand(4, 2)).sum().backward()
    used, fresh = (OptimWrapper(build(layer.parameters())) for _ in '12')
    used.step()
    before = used.state_dict()
    assert optimizer_misfit(fresh, before) is None
    assert fresh.state_dict()['state'] == {}
    fresh.load_state_dict(before)
    fresh.step()


def test_a_model_of_another_width_is_named(changed):
    with pytest.raises(RunError, match=f'(?s)a.pth does not fit.*{WEIGHT}'):
        changed(width=9).train()


def test_other_schedules_are_named(changed):
    for options, named in (
            (dict(type='CosineAnnealingLR', T_max=9), 'CosineAnnealingLR'),
            ([dict(type='MultiStepLR', milestones=[1], end=4)] * 2, 'the 2')):
        with pytest.raises(RunError, match=f'does not fit.*{named}'):
            changed(param_scheduler=options).train()


def test_milestones_that_moved_are_resumed(changed):
    """As MMEngine does it, with the checkpoint's."""
    changed(param_scheduler=dict(type='MultiStepLR', milestones=[2], gamma=.5,
                                 end=4)).train()


def test_weights_of_another_model_may_begin_a_training(trained, tmp_path):
    small_runner(tmp_path, 1, width=9,
                 load_from=str(trained / 'epoch_2.pth')).train()


@pytest.mark.parametrize('value, own, alike', [
    (1, 2., True), (None, 2., False), (2., None, True), (None, None, True),
    ('a', 2., False),
    (math.nan, 2., False), ([1], 2., False), ((1, 2), [3, 4], True),
    ([1], [1, 2], False), (True, False, True), ('a', 'b', True),
    (torch.zeros(1), torch.ones(1), True), (0., torch.ones(1), False),
    (torch.zeros(2), torch.ones(1), False), ({1: 1}, {3: 2}, True),
    ({1.5: 1}, {3: 2}, False), (dict(a=1), dict(a=2), True),
    (dict(b=1), dict(a=2), False),
])
def test_values_are_alike(value, own, alike):
    assert is_like(value, own) is alike


def test_the_scaler_of_mixed_precision_is_needed(monkeypatch, changed):
    real = OptimWrapper.state_dict
    monkeypatch.setattr(OptimWrapper, 'state_dict', lambda self: dict(
        real(self), loss_scaler={}))
    with pytest.raises(RunError, match='optimizer has no loss_scaler'):
        changed().train()


SCALER = dict(scale=65536., growth_factor=2., backoff_factor=.5,
              growth_interval=2000, _growth_tracker=0)
EMA = dict(type='EMAHook', ema_type='ExpMomentumEMA')


@pytest.fixture
def averaged(tmp_path):
    """Resumes a training that keeps an average of its weights, changed."""
    small_runner(tmp_path, 2, hooks=[EMA]).train()

    def resume(change=lambda content: None):
        content = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
        change(content)
        torch.save(content, tmp_path / 'epoch_2.pth')
        return small_runner(tmp_path, 3, hooks=[EMA], resume=True).train()
    return resume


def test_averaged_weights_are_resumed(averaged):
    averaged()


@pytest.mark.parametrize('change, named', [
    (without('ema_state_dict'), 'holds no ema_state_dict'),
    (without('ema_state_dict', f'module.{WEIGHT}'), f'module.{WEIGHT}'),
    (at('ema_state_dict', more=torch.ones(1)), 'more'),
    (at('ema_state_dict', **{f'module.{WEIGHT}': torch.ones(2)}),
     f'module.{WEIGHT}'),
    (at('ema_state_dict', **{f'module.{WEIGHT}': torch.full((8, 4),
                                                            math.nan)}),
     f'module.{WEIGHT}'),
    (at('ema_state_dict', steps=torch.ones(2)), 'steps'),
    (at(ema_state_dict=[1]), 'ema_state_dict is a list'),
])
def test_averages_that_do_not_fit_are_named(averaged, change, named):
    with pytest.raises(RunError, match=named):
        averaged(change)


@pytest.mark.parametrize('scaler, named', [
    (dict(SCALER), None), (dict(SCALER, scale=math.nan), 'nan'),
    (dict(SCALER, scale=0.), 'scale'), (dict(SCALER, scale=None), 'None'),
    ({}, '{}'), (3, '3')])
def test_the_scaler_of_mixed_precision_fits(scaler, named):
    layer = torch.nn.Linear(2, 3)
    wrapper = OptimWrapper(torch.optim.SGD(layer.parameters(), lr=.1))
    own = wrapper.state_dict()
    wrapper.state_dict = lambda: dict(own, loss_scaler=dict(SCALER))
    fault = optimizer_misfit(wrapper, dict(wrapper.state_dict(),
                                           loss_scaler=scaler))
    assert fault is None if named is None else named in fault


def test_weights_given_again_with_resume_name_the_runs_own(trained, tmp_path):
    """`--resume` in a command that begins with weights resumes those."""
    best, = trained.glob('best*')
    small_runner(tmp_path, 1).train()
    runner = small_runner(tmp_path, 2, resume=True, load_from=str(best))
    with pytest.raises(RunError, match='epoch_1.pth, give no load_from'):
        runner.train()


MONITORED = dict(type='ReduceOnPlateauLR', monitor='a', rule='less', end=9)


@pytest.mark.parametrize('schedule, optimizer', [
    (dict(type='OneCycleLR', eta_max=.1, total_steps=9, by_epoch=False,
          end=9), {}),
    (dict(type='CosineAnnealingLR', T_max=3, end=9), dict(type='Adagrad')),
    (dict(type='PolyLR', power=.9, end=9), dict(type='RMSprop', momentum=.5)),
    (MONITORED, dict(type='SGD', momentum=.9)),
    pytest.param(dict(type='OneCycleLR', eta_max=.1, total_steps=9,
                      by_epoch=False, end=9, anneal_strategy='linear'),
                 dict(type='NAdam'), marks=pytest.mark.slow),
    pytest.param(dict(type='ExponentialLR', gamma=.9, end=9),
                 dict(type='Rprop'), marks=pytest.mark.slow),
    pytest.param(dict(type='CosineRestartLR', periods=[1, 2], eta_min=0.,
                      restart_weights=[1, .5], end=9),
                 dict(type='Adamax'), marks=pytest.mark.slow),
    pytest.param(dict(type='StepMomentum', step_size=1, end=9),
                 dict(type='SGD', momentum=.9), marks=pytest.mark.slow),
])
def test_any_schedule_and_optimizer_is_resumed_as_if_never_ended(
        tmp_path, schedule, optimizer):
    def weights(folder, epochs, **resumed):
        runner = small_runner(
            tmp_path / folder, epochs, param_scheduler=[dict(schedule)],
            optim_wrapper=dict(optimizer={'type': 'Adam', 'lr': .05,
                                          **optimizer}),
            scores=[.5] * 3 if schedule is MONITORED else (), **resumed)
        runner.train()
        return runner.model.state_dict()[WEIGHT]

    whole = weights('whole', 3)
    half = weights('half', 2)
    assert not torch.equal(whole, half)
    assert torch.equal(whole, weights('half', 3, resume=True))


def test_what_is_kept_of_another_schedule_is_said(tmp_path):
    """`end` is MMEngine's own: that of max_epochs."""
    schedule = dict(type='ExponentialLR', gamma=.9)
    small_runner(tmp_path, 2, param_scheduler=[dict(schedule)]).train()
    runner = small_runner(tmp_path, 3, param_scheduler=[dict(schedule)],
                          resume=True)
    said = []
    runner.logger.warning = said.append
    runner.train()
    assert [line.split(': ')[1] for line in said
            if 'param_scheduler' in line] == [
                'end is 2 in the checkpoint, 3 in the config']
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(.05 * .9)]


def test_an_equal_schedule_is_resumed_in_silence(changed):
    runner = changed()
    said = []
    runner.logger.warning = said.append
    runner.train()
    assert not [line for line in said if 'param_scheduler' in line]

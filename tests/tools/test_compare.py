"""The same budget for all: schedules, steps, results and their table."""
import json
import re
import runpy
import sys
from pathlib import Path

import comparison_run
import numpy as np
import pytest
import torch
import torch.nn as nn
from comparison_table import markdown
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmpose.registry import MODELS

from mmpose_ssa.engine.training_budget import (BudgetTrainLoop, stretch,
                                               with_budget)
from mmpose_ssa.synthetic.dataset import write_dataset

pytestmark = pytest.mark.usefixtures('mmpose')

ROOT = Path(__file__).parents[2]
TINY = ROOT / 'tests/data/ssa_tiny_64.py'
TRAIN, VAL, BATCH = 12, 4, 4  # images; 3 steps an epoch

# --- the schedule -----------------------------------------------------------


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
    with pytest.raises(ValueError, match='LinearLR takes 20 steps of a budget '
                       'of 19: give more, or shorten it'):
        stretch(WARM, 5, 19)


def test_what_cannot_be_stretched_is_refused():
    with pytest.raises(ValueError, match=r'ExponentialLR cannot .*: take one '
                       'of ConstantLR, CosineAnnealingLR'):
        stretch(dict(type='ExponentialLR', gamma=.9), 5, 100)
    cfg = Config(dict(train_cfg=dict(by_epoch=False, max_iters=9)))
    with pytest.raises(ValueError, match='does not train by epochs'):
        with_budget(cfg, 100)


def test_the_config_given_is_not_changed():
    cfg = Config.fromfile(ROOT / 'configs/demo/ssa_demo.py')
    before = cfg.to_dict()
    changed = with_budget(cfg, 3000)
    assert cfg.to_dict() == before
    assert changed.param_scheduler[0] == cfg.param_scheduler[0]
    assert changed.param_scheduler[1].T_max == 3000
    assert changed.val_cfg is None
    assert changed.default_hooks.logger == cfg.default_hooks.logger


# --- the table --------------------------------------------------------------


def result(name, seed=0, ap=.5, **changes):
    return dict(
        name=name, seed=seed, checkpoint=None,
        figures={'coco/AP': ap, 'coco/AP .5': .75, 'coco/AP .75': .25,
                 'coco/AP (M)': -1., 'coco/AP (L)': 1 / 3, 'coco/AR': .0625},
        params=12_345_678, macs=9_876_000_000, input_size=[160, 128],
        seconds_per_image=.08, machine='a machine', starts_from=[],
        flip_test=False, own_augmentation=False) | changes


def comparison(*results):
    return dict(command='python tools/compare.py a.py b.py', steps=100,
                batch_size=16, train_data='train.json', test_data='val.json',
                test_images=30, results=list(results))


def test_the_table_by_hand():
    one = result('one')
    two = result('two', figures=dict(one['figures'], **{'mask/AP': .1236}),
                 seconds_per_image=.0125)
    assert markdown(comparison(one, two)) == (
        '    python tools/compare.py a.py b.py\n'
        '\n'
        'Trained for 100 steps of 16 images of train.json, seed 0, by the '
        'schedules of the configs stretched to them.\n'
        'Tested on the 30 images of val.json.\n'
        'Multiply-adds are of one image at the input size, each counted once '
        '(published figures may count transposed convolutions by their '
        'outputs); images/s of testing one image after the other, from pixels '
        'to persons (median), the models in turn.\n'
        'Measured with a machine.\n'
        '\n'
        '| config | AP | AP .5 | AP .75 | AP M | AP L | AR | mask AP | input '
        '| parameters | multiply-adds | images/s |\n'
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: '
        '| ---: | ---: |\n'
        '| `one` | 0.500 | 0.750 | 0.250 | – | 0.333 | 0.062 | – | 160x128 '
        '| 12.35 M | 9.88 G | 12.5 |\n'
        '| `two` | 0.500 | 0.750 | 0.250 | – | 0.333 | 0.062 | 0.124 '
        '| 160x128 | 12.35 M | 9.88 G | 80 |\n')


def test_the_columns_of_crowdpose():
    figures = {f'crowdpose/{name}': value for name, value in {
        'AP': .5, 'AP .5': .75, 'AP .75': .25, 'AR': .0625, 'AR .5': .3,
        'AP(E)': .6, 'AP(M)': .4, 'AP(H)': .2}.items()}
    text = markdown(comparison(result('one', figures=figures)))
    assert ('| config | AP | AP .5 | AP .75 | AP easy | AP medium | AP hard '
            '| AR | input ') in text
    assert ('| `one` | 0.500 | 0.750 | 0.250 | 0.600 | 0.400 | 0.200 | 0.062 '
            '| 160x128 ') in text


def test_seeds_are_averaged():
    text = markdown(comparison(
        result('one', 3, .2, seconds_per_image=.1), result('other', 3),
        result('one', 5, .4, seconds_per_image=.3), result('other', 5)))
    assert 'of train.json, seeds 3, 5, by' in text
    assert 'mean ± standard deviation over the seeds' in text
    # (0.2 - 0.4) / sqrt(2) and 1 / 0.2 s; no masks, no column
    assert '\n| `one` | 0.300 ± 0.141 | 0.750 ± 0.000 |' in text
    assert '\n| `other` | 0.500 ± 0.000 |' in text
    assert text.count('\n| `one`') == 1 and '| 5 |' in text
    assert 'mask AP' not in text


def test_what_is_peculiar_is_said():
    text = markdown(comparison(
        result('one', starts_from=['a.pth', 'b.pth'], flip_test=True),
        result('two', None, checkpoint='c.pth', machine='another'),
        result('three', own_augmentation=True)))
    assert text.endswith(
        '\n\n- `one`: training started from a.pth, b.pth\n'
        '- `two`: not trained here, weights of c.pth\n'
        '- `three`: trained with an augmentation of its own\n'
        '- with the flip test: `one`\n')
    assert 'seed 0, by' in text and 'with a machine; another.' in text


def test_nothing_is_said_of_a_training_that_was_none():
    text = markdown(comparison(result('two', None, checkpoint='c.pth')))
    assert 'Trained' not in text and 'None' not in text


# --- the command ------------------------------------------------------------


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp('drawn')
    write_dataset(root, train=TRAIN, val=VAL, size=64, seed=0, workers=1,
                  min_height=0.6)
    return root


def write_config(path, *lines):
    """The tiny model that repeats, with a warm-up; and what is added."""
    path.write_text('\n'.join((
        f'_base_ = [{str(TINY)!r}]',
        "train_pipeline = [dict(type='SeedAugmentation'),"
        ' *_base_.train_pipeline]',
        f'train_dataloader = dict(batch_size={BATCH},'
        ' dataset=dict(pipeline=train_pipeline))',
        'auto_scale_lr = dict(enable=False)',
        'model = dict(neck=dict(dropout=.1))', *lines)))
    return str(path)


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    return [
        write_config(folder / 'both.py'),
        write_config(
            folder / 'keypoints.py', 'train_cfg = dict(max_epochs=7)',
            "param_scheduler = [dict(type='CosineAnnealingLR', T_max=7)]",
            "model = dict(neck=dict(association='naive'), head=dict("
            'mask_loss=dict(loss_weight=0.)))',
            # as MMPose's configs write it
            'test_evaluator = dict(_base_.test_evaluator[0], _delete_=True)')]


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['compare.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/compare.py'), run_name='__main__')


@pytest.fixture
def trained(monkeypatch):
    """The number of steps of each training, as it begins and ends."""
    counts, run_iter, run = [], BudgetTrainLoop.run_iter, BudgetTrainLoop.run

    def counting(self, *args):
        counts[-1] += 1
        return run_iter(self, *args)

    def beginning(self):
        counts.append(0)
        return run(self)

    # MMEngine formats each config five times, the longest part of such a run
    monkeypatch.setattr(Config, 'pretty_text', '')
    monkeypatch.setattr(BudgetTrainLoop, 'run_iter', counting)
    monkeypatch.setattr(BudgetTrainLoop, 'run', beginning)
    return counts


def last_weights(folder):
    return torch.load((folder / 'last_checkpoint').read_text(),
                      weights_only=False)


def test_configs_are_compared(monkeypatch, tmp_path, drawn, configs, trained,
                              capsys):
    out, tested = tmp_path / 'out', []
    monkeypatch.setattr(
        comparison_run, '_seconds', lambda tester, index: tested.append(
            tester.model.state_dict()) or .5)
    arguments = [*configs, '--steps', 5, '--data-root', drawn, '--work-dir',
                 out]
    command(monkeypatch, *arguments)
    # two epochs of three steps, the second without its last
    assert trained == [5, 5]
    folders = [next((out / name).glob('steps_5-seed_0-*'))
               for name in ('both', 'keypoints')]
    for folder in folders:
        weights = last_weights(folder)
        assert weights['meta']['iter'] == 5 and weights['meta']['epoch'] == 2
        assert {state['step'].item() for state in
                weights['optimizer']['state'].values()} == {5}
    written = json.loads((out / 'comparison.json').read_text())
    assert written['steps'] == 5 and written['batch_size'] == BATCH
    assert written['test_images'] == VAL
    both, keypoints = written['results']
    assert not both['own_augmentation'] and not keypoints['own_augmentation']
    assert 'mask/AP' in both['figures']
    assert 'mask/AP' not in keypoints['figures']
    assert 'coco/AP (M)' in keypoints['figures']
    text = (out / 'comparison.md').read_text()
    assert text == markdown(written)
    assert text in capsys.readouterr().out
    assert (f'Trained for 5 steps of {BATCH} images of {drawn}/annotations/'
            'person_keypoints_train2017.json, seed 0, by') in text

    # what was tested is what was trained last, and what is counted
    for folder, state in zip(folders, tested):
        last = last_weights(folder)['state_dict']
        assert all(torch.equal(last[name], state[name]) for name in state)
    sizes = [sum(p.numel() for p in MODELS.build(
        Config.fromfile(config).model).parameters()) for config in configs]
    assert [both['params'], keypoints['params']] == sizes

    # nothing is made twice; another order is another table
    command(monkeypatch, *arguments[1::-1], *arguments[2:])
    assert trained == [5, 5]
    again = json.loads((out / 'comparison.json').read_text())
    assert again['results'] == [keypoints, both]
    # other settings are other runs, beside the first
    command(monkeypatch, configs[0], *arguments[2:], '--cfg-options',
            'optim_wrapper.optimizer.lr=1e-3')
    assert trained == [5, 5, 5]
    assert len(list((out / 'both').iterdir())) == 2


def test_an_interrupted_training_goes_on(monkeypatch, tmp_path, drawn,
                                         configs, trained):
    arguments = [configs[0], '--steps', 8, '--data-root', drawn]
    command(monkeypatch, *arguments, '--work-dir', tmp_path / 'whole')
    with monkeypatch.context() as patch:
        run_epoch = BudgetTrainLoop.run_epoch

        def interrupted(self):
            if self.epoch == 2:
                raise KeyboardInterrupt
            run_epoch(self)

        patch.setattr(BudgetTrainLoop, 'run_epoch', interrupted)
        with pytest.raises(KeyboardInterrupt):
            command(patch, *arguments, '--work-dir', tmp_path / 'halves')
    command(monkeypatch, *arguments, '--work-dir', tmp_path / 'halves')
    assert trained == [8, 6, 2]
    whole, halves = (last_weights(next((tmp_path / name).glob('both/*')))
                     for name in ('whole', 'halves'))
    assert halves['meta']['iter'] == 8
    for name, tensor in whole['state_dict'].items():
        assert torch.equal(tensor, halves['state_dict'][name]), name
    # interrupted in testing: what is trained is tested
    next((tmp_path / 'halves').glob('both/*/result.json')).unlink()
    command(monkeypatch, *arguments, '--work-dir', tmp_path / 'halves')
    assert trained == [8, 6, 2, 0]
    assert next((tmp_path / 'halves').glob('both/*/result.json')).is_file()


def test_seeds_and_carried_weights(monkeypatch, tmp_path, drawn, configs,
                                   trained):
    model = MODELS.build(Config.fromfile(configs[1]).model)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), weights)
    command(monkeypatch, *configs, '--steps', 1, '--seed', 0, 4,
            '--data-root', drawn, '--work-dir', tmp_path, '--checkpoint',
            f'{configs[1]}={weights}')
    assert trained == [1, 1]
    first, second, tested = json.loads(
        (tmp_path / 'comparison.json').read_text())['results']
    assert (first['seed'], second['seed'], tested['seed']) == (0, 4, None)
    states = [last_weights(next((tmp_path / 'both').glob(
        f'steps_1-seed_{seed}-*')))['state_dict'] for seed in (0, 4)]
    name = 'head.final_layer.weight'
    assert not torch.equal(states[0][name], states[1][name])
    assert tested['checkpoint'] == str(weights)
    text = (tmp_path / 'comparison.md').read_text()
    assert f'- `keypoints`: not trained here, weights of {weights}' in text
    # weights alone need no budget; those that changed are tested anew
    again = [configs[1], '--data-root', drawn, '--work-dir', tmp_path,
             '--checkpoint', f'keypoints={weights}']
    command(monkeypatch, *again)
    assert len(list((tmp_path / 'keypoints').iterdir())) == 1
    torch.nn.init.normal_(model.head.final_layer.weight, std=.05)
    torch.save(dict(state_dict=model.state_dict(), meta={}), weights)
    command(monkeypatch, *again)
    assert len(list((tmp_path / 'keypoints').iterdir())) == 2


class Tester:
    """Stands in for a runner: image ``index`` takes ``index`` seconds.

    The first five take 99.
    """

    collate_fn = staticmethod(lambda batch: batch)

    def __init__(self, name, images, asked):
        self.name, self.dataset, self.asked = name, range(images), asked
        self.model = self.test_dataloader = self
        self.ready, self.steps = set(), 0

    def load_or_resume(self):
        self.ready.add('weights')

    def eval(self):
        self.ready.add('eval')

    def test_step(self, batch):
        assert self.ready == {'weights', 'eval'}
        self.asked.append((self.name, *batch))
        self.steps += 1
        return 99. if self.steps <= 5 else batch[0]


def test_the_speed_is_the_median_of_steps_in_turn(monkeypatch):
    """Of 300 images 100, from the first to the last, after five others."""
    asked, images = [], 300
    monkeypatch.setattr(comparison_run, 'seconds', lambda step: step())
    monkeypatch.setattr(comparison_run, 'make_tester',
                        lambda run: Tester(run, images, asked))
    spent = comparison_run.seconds_per_image(['one', 'other'])
    assert [name for name, _ in asked] == ['one', 'other'] * 105
    steps = [index for name, index in asked if name == 'one']
    assert steps == [index for name, index in asked if name == 'other']
    assert steps[5] == 0 and steps[-1] == 299 and len(set(steps[5:])) == 100
    assert spent == [pytest.approx(np.median(steps[5:]))] * 2
    images, asked[:] = 2, []
    assert comparison_run.seconds_per_image(['one']) == [.5]
    assert [index for _, index in asked] == [0, 1, 0, 1, 0, 0, 1]


def test_lost_weights_are_told(monkeypatch, tmp_path, drawn, configs, trained,
                               capsys):
    arguments = [configs[0], '--steps', 1, '--data-root', drawn, '--work-dir',
                 tmp_path]
    command(monkeypatch, *arguments)
    folder = next((tmp_path / 'both').iterdir())
    (folder / 'last_checkpoint').unlink()
    with pytest.raises(SystemExit):
        command(monkeypatch, *arguments)
    assert f'{folder} has a result but its' in capsys.readouterr().err


def test_augmentations_are_compared_without_sizes_and_targets():
    augmentation = runpy.run_path(str(ROOT / 'tools/compare.py'))[
        'augmentation']
    ssa, ae, still = (
        augmentation(Config.fromfile(ROOT / f'configs/{name}.py'))
        for name in ('demo/ssa_demo', 'comparisons/ae_demo',
                     'demo/ssa_overfit'))
    assert ssa == ae != still


def test_weights_to_begin_with_are_found():
    cfg = Config.fromfile(ROOT / 'configs/ssa/ssa_r101_640.py')
    assert list(comparison_run.pretrained(cfg.model)) == [
        'torchvision://resnet101']
    cfg = Config.fromfile(ROOT / 'configs/demo/ssa_demo.py')
    assert list(comparison_run.pretrained(cfg.model)) == []


# --- what it refuses --------------------------------------------------------


RIGHT = {'--data-root': 'drawn', '--work-dir': 'out', '--steps': '2'}


@pytest.fixture
def files(tmp_path, drawn):
    """A folder of the data, a config, and others with a fault each."""
    (tmp_path / 'drawn').symlink_to(drawn)
    write_config(tmp_path / 'both.py')
    write_config(tmp_path / 'batch.py',
                 'train_dataloader = dict(batch_size=9)')
    write_config(tmp_path / 'few.py',
                 'train_dataloader = dict(batch_size=4, '
                 'dataset=dict(every_nth_image=2))')
    write_config(tmp_path / 'broken.py', "model = dict(type='Unheard')")
    write_config(tmp_path / 'warm.py', "param_scheduler = [dict("
                 "type='LinearLR', end=500, by_epoch=False)]")
    write_config(tmp_path / 'unmeasured.py', 'test_evaluator = []')
    (tmp_path / 'nothing.py').write_text('a = 1')
    (tmp_path / 'sub').mkdir()
    write_config(tmp_path / 'sub/both.py')
    torch.save(dict(state_dict=dict(other=torch.zeros(1))),
               tmp_path / 'other.pth')
    return tmp_path


def test_a_training_needs_a_budget(monkeypatch, capsys, files):
    with pytest.raises(SystemExit):
        command(monkeypatch, files / 'both.py', '--checkpoint',
                'both=x.pth', files / 'few.py')
    assert 'error: argument --checkpoint: ' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(monkeypatch, files / 'both.py', files / 'few.py',
                '--checkpoint', 'both=x.pth')
    assert ('error: give --steps, the number of batches to train on, or a '
            '--checkpoint for each config') in capsys.readouterr().err


@pytest.mark.parametrize('words, arguments', [
    ('the following arguments are required: CONFIG', []),
    (r'config no\.py does not exist: give the file', ['no.py']),
    ('two configs are named both: copy', ['both.py', 'sub/both.py']),
    ('--steps must be 1 or more, got 0', ['both.py', '--steps', '0']),
    ('--batch-size must be 1 or more, got -1',
     ['both.py', '--batch-size', '-1']),
    (r'--seed takes different numbers from 0 on, got \[1, 1\]',
     ['both.py', '--seed', '1', '1']),
    (r'--work-dir both\.py/out: both\.py is not a folder',
     ['both.py', '--work-dir', 'both.py/out']),
    (r'both and batch differ in train_dataloader\.batch_size, 4 and 9: give '
     '--batch-size', ['both.py', 'batch.py']),
    (r'both and few differ in the data of train_dataloader.*, {.*} and '
     r"{.*'every_nth_image': 2}: give --data-root", ['both.py', 'few.py']),
    (r'nothing\.py has no train_dataloader\.dataset', ['nothing.py']),
    (r'unmeasured\.py has no test_evaluator: name', ['unmeasured.py']),
    (r'broken\.py cannot be built.*Unheard', ['broken.py']),
    (r'warm\.py: LinearLR takes 500 steps of a budget of 2: give',
     ['warm.py']),
    (r'the data of train_dataloader, gone/annotations/.*: give --data-root',
     ['both.py', '--data-root', 'gone']),
    ("argument --cfg-options: 'lr' is not NAME=VALUE",
     ['both.py', '--cfg-options', 'lr']),
    ("argument --checkpoint: 'x' is not", ['both.py', '--checkpoint', 'x']),
    (r'--checkpoint far=x\.pth: far is none of the configs both',
     ['both.py', '--checkpoint', 'far=x.pth']),
    (r'checkpoint x\.pth does not exist',
     ['both.py', '--checkpoint', 'both=x.pth']),
    (r'other\.pth does not fit the model of .*both\.py',
     ['both.py', '--checkpoint', 'both.py=other.pth']),
])
def test_mistakes_are_told_with_their_cure(monkeypatch, capsys, files, words,
                                           arguments, trained):
    monkeypatch.chdir(files)
    given = arguments + [text for name, value in RIGHT.items()
                         if name not in arguments for text in (name, value)]
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, *given)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    said = message.rpartition('compare.py: error: ')[2]
    assert re.match(words, said), message
    assert 'Traceback' not in message
    assert trained == [] and not Path('out').exists()

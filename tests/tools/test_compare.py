"""Several configs, the same budget: runs, resuming, and what is refused."""
import json
import re
from pathlib import Path

import compare
import pytest
import torch
from comparison import run
from comparison.table import markdown
from factories import TINY, refusal, save_weights, write_scenes
from mmengine.config import Config
from mmpose.registry import MODELS

from mmpose_ssa.engine.training_budget import BudgetTrainLoop

pytestmark = pytest.mark.usefixtures('mmpose')

TRAIN, VAL, BATCH = 12, 4, 4  # images; 3 steps an epoch


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'), TRAIN, VAL)


def command(*arguments):
    compare.main([str(argument) for argument in arguments])


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


@pytest.fixture
def untimed(monkeypatch):
    """Every image takes half a second, and is not predicted for it."""
    monkeypatch.setattr(run, '_seconds', lambda tester, index: .5)


def last_weights(folder):
    return torch.load((folder / 'last_checkpoint').read_text(),
                      weights_only=False)


def test_configs_are_compared(monkeypatch, tmp_path, scenes, configs, trained,
                              capsys):
    out, tested = tmp_path / 'out', []
    monkeypatch.setattr(
        run, '_seconds', lambda tester, index: tested.append(
            tester.model.state_dict()) or .5)
    arguments = [*configs, '--steps', 5, '--data-root', scenes, '--work-dir',
                 out]
    command(*arguments)
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
    assert 'mask/AP' in both['metrics']
    assert 'mask/AP' not in keypoints['metrics']
    assert 'coco/AP (M)' in keypoints['metrics']
    text = (out / 'comparison.md').read_text()
    assert text == markdown(written)
    assert text in capsys.readouterr().out
    assert (f'Trained for 5 steps of {BATCH} images of {scenes}/annotations/'
            'person_keypoints_train2017.json, seed 0, by') in text

    # what was tested is what was trained last, and what is counted
    for folder, state in zip(folders, tested):
        last = last_weights(folder)['state_dict']
        assert all(torch.equal(last[name], state[name]) for name in state)
    sizes = [sum(p.numel() for p in MODELS.build(
        Config.fromfile(config).model).parameters()) for config in configs]
    assert [both['params'], keypoints['params']] == sizes

    # nothing is made twice; another order is another table
    command(*arguments[1::-1], *arguments[2:])
    assert trained == [5, 5]
    again = json.loads((out / 'comparison.json').read_text())
    assert again['results'] == [keypoints, both]
    # other settings are other runs, beside the first
    command(configs[0], *arguments[2:], '--cfg-options',
            'optim_wrapper.optimizer.lr=1e-3')
    assert trained == [5, 5, 5]
    assert len(list((out / 'both').iterdir())) == 2


def test_an_interrupted_training_resumes(monkeypatch, tmp_path, scenes,
                                         configs, trained, untimed):
    arguments = [configs[0], '--steps', 8, '--data-root', scenes]
    command(*arguments, '--work-dir', tmp_path / 'whole')
    with monkeypatch.context() as patch:
        run_epoch = BudgetTrainLoop.run_epoch

        def interrupted(self):
            if self.epoch == 2:
                raise KeyboardInterrupt
            run_epoch(self)

        patch.setattr(BudgetTrainLoop, 'run_epoch', interrupted)
        with pytest.raises(KeyboardInterrupt):
            command(*arguments, '--work-dir', tmp_path / 'halves')
    command(*arguments, '--work-dir', tmp_path / 'halves')
    assert trained == [8, 6, 2]
    whole, halves = (last_weights(next((tmp_path / name).glob('both/*')))
                     for name in ('whole', 'halves'))
    assert halves['meta']['iter'] == 8
    for name, tensor in whole['state_dict'].items():
        assert torch.equal(tensor, halves['state_dict'][name]), name
    # interrupted in testing: what is trained is tested
    next((tmp_path / 'halves').glob('both/*/result.json')).unlink()
    command(*arguments, '--work-dir', tmp_path / 'halves')
    assert trained == [8, 6, 2, 0]
    assert next((tmp_path / 'halves').glob('both/*/result.json')).is_file()


def test_seeds_and_given_weights(tmp_path, scenes, configs, trained, untimed):
    model = MODELS.build(Config.fromfile(configs[1]).model)
    weights = save_weights(model, tmp_path / 'weights.pth')
    command(*configs, '--steps', 1, '--seed', 0, 4,
            '--data-root', scenes, '--work-dir', tmp_path, '--checkpoint',
            f'{configs[1]}={weights}')
    assert trained == [1, 1]
    first, second, tested = json.loads(
        (tmp_path / 'comparison.json').read_text())['results']
    assert (first['seed'], second['seed'], tested['seed']) == (0, 4, None)
    states = [last_weights(next((tmp_path / 'both').glob(
        f'steps_1-seed_{seed}-*')))['state_dict'] for seed in (0, 4)]
    name = 'head.final_layer.weight'
    assert not torch.equal(states[0][name], states[1][name])
    assert tested['checkpoint'] == weights
    text = (tmp_path / 'comparison.md').read_text()
    assert f'- `keypoints`: not trained here, weights of {weights}' in text
    # weights alone need no budget; those that changed are tested anew
    again = [configs[1], '--data-root', scenes, '--work-dir', tmp_path,
             '--checkpoint', f'keypoints={weights}']
    command(*again)
    assert len(list((tmp_path / 'keypoints').iterdir())) == 1
    torch.nn.init.normal_(model.head.final_layer.weight, std=.05)
    save_weights(model, weights)
    command(*again)
    assert len(list((tmp_path / 'keypoints').iterdir())) == 2


def test_lost_weights_are_named(tmp_path, scenes, configs, trained, capsys):
    arguments = [configs[0], '--steps', 1, '--data-root', scenes, '--work-dir',
                 tmp_path]
    command(*arguments)
    folder = next((tmp_path / 'both').iterdir())
    for weights in [*folder.glob('*.pth'), folder / 'last_checkpoint']:
        weights.unlink()
    said = refusal(capsys, compare.main, *arguments)
    assert re.match(f'{folder} has a result .* weights are missing', said)


# --- what it refuses --------------------------------------------------------


RIGHT = {'--data-root': 'scenes', '--work-dir': 'out', '--steps': '2'}


@pytest.fixture
def files(tmp_path, scenes):
    """A folder of the data, a config, and others with a fault each."""
    (tmp_path / 'scenes').symlink_to(scenes)
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


def test_a_training_needs_a_budget(capsys, files):
    config, other = files / 'both.py', files / 'few.py'
    assert refusal(capsys, compare.main, config, '--checkpoint', 'both=x.pth',
                   other).startswith('argument --checkpoint: ')
    said = refusal(capsys, compare.main, config, other, '--checkpoint',
                   'both=x.pth')
    assert '--steps' in said and '--checkpoint' in said


@pytest.mark.parametrize('words, arguments', [
    ('CONFIG', []),
    (r'no\.py', ['no.py']),
    ('two configs .* both', ['both.py', 'sub/both.py']),
    ('--steps .* 0', ['both.py', '--steps', '0']),
    ('--batch-size .* -1', ['both.py', '--batch-size', '-1']),
    (r'--seed .* \[1, 1\]', ['both.py', '--seed', '1', '1']),
    (r'--work-dir both\.py/out', ['both.py', '--work-dir', 'both.py/out']),
    (r'batch .*batch_size, 4 and 9.*--batch-size', ['both.py', 'batch.py']),
    (r"few .*train_dataloader.*, {.*} and {.*'every_nth_image': 2}.*"
     '--data-root', ['both.py', 'few.py']),
    (r'nothing\.py .* train_dataloader\.dataset', ['nothing.py']),
    (r'unmeasured\.py .* test_evaluator', ['unmeasured.py']),
    (r'broken\.py .*Unheard', ['broken.py']),
    (r'warm\.py: LinearLR .* 500 .* 2\b', ['warm.py']),
    (r'train_dataloader, gone/annotations/.*--data-root',
     ['both.py', '--data-root', 'gone']),
    ("--cfg-options: 'lr' .* NAME=VALUE", ['both.py', '--cfg-options', 'lr']),
    ("--checkpoint: 'x' .* NAME=VALUE", ['both.py', '--checkpoint', 'x']),
    (r'--checkpoint far=x\.pth.* both',
     ['both.py', '--checkpoint', 'far=x.pth']),
    (r'x\.pth does not exist', ['both.py', '--checkpoint', 'both=x.pth']),
    (r'other\.pth does not fit .*both\.py',
     ['both.py', '--checkpoint', 'both.py=other.pth']),
])
def test_mistakes_are_named_with_their_remedy(monkeypatch, capsys, files,
                                              words, arguments, trained):
    monkeypatch.chdir(files)
    given = arguments + [text for name, value in RIGHT.items()
                         if name not in arguments for text in (name, value)]
    assert re.search(words, refusal(capsys, compare.main, *given))
    assert trained == [] and not Path('out').exists()

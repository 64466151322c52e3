"""The claims' command: what it trains, what it measures, what it keeps."""
import json
import re
from pathlib import Path

import claims
import oracle
import pytest
from comparison import run
from comparison.questions import DECODERS, QUESTIONS, Entry, Question
from factories import TINY, refusal, write_scenes
from mmengine.config import Config
from mmpose.registry import MODELS

from mmpose_ssa.engine.loading import read_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'), 8, 4)


@pytest.fixture
def command(tmp_path, scenes, monkeypatch):
    """The command with two tiny models, one of them in two questions."""
    for name, line in (('', ''), (
            '_naive', "model = dict(neck=dict(association='naive'), "
            'head=dict(mask_loss=dict(loss_weight=0.)))')):
        Path(tmp_path, f'tiny{name}.py').write_text('\n'.join((
            f'_base_ = [{str(TINY)!r}]',
            "train_pipeline = [dict(type='SeedAugmentation'),"
            ' *_base_.train_pipeline]',
            'train_dataloader = dict(batch_size=4,'
            ' dataset=dict(pipeline=train_pipeline))',
            'auto_scale_lr = dict(enable=False)', line)))
    monkeypatch.setattr(claims, 'CONFIG', f'{tmp_path}/tiny{{}}.py')
    monkeypatch.setattr(claims, 'QUESTIONS', {
        'a': Question('Better?', (Entry('naive', '_naive'),
                                  Entry('supervised', ''))),
        'd': Question('Which?', (Entry('scores', '', 'scores'),
                                 Entry('filled', '')))})
    monkeypatch.setattr(Config, 'pretty_text', '')
    trained, train = [], run.train
    monkeypatch.setattr(run, 'train',
                        lambda it: (trained.append(claims.key_of(it)),
                                    train(it)))

    def call(*arguments, out='claims.json'):
        trained.clear()
        claims.main([
            '--steps', '2', '--data-root', str(scenes), '--work-dir',
            str(tmp_path / 'work'), '--out', str(tmp_path / out), *arguments])
        file = tmp_path / out
        return trained, json.loads(file.read_text()) if file.is_file() else {}

    return call


@pytest.mark.usefixtures('mmpose')
def test_each_training_is_measured_once(command, tmp_path, capsys):
    trained, results = command('--seed', '3', '1', out='work/claims.json')
    names = [key.split('-seed_')[0] + key.split('seed_')[1][:1]
             for key in trained]
    assert names == ['tiny_naive/steps_23', 'tiny/steps_23',
                     'tiny_naive/steps_21', 'tiny/steps_21']
    assert {key.partition('/')[0]: set(found) - {'minutes'}
            for key, found in results.items()} == {
        'tiny': {'ours', 'scores'}, 'tiny_naive': {'ours'}}
    for found in results.values():
        assert set(found['ours']) == {
            f'{a} + {b}' for a in ('own', 'perfect')
            for b in ('own', 'perfect')}
    text = (tmp_path / 'work/claims.md').read_text()
    assert '## a. Better?' in text and '| supervised |       2 |' in text
    assert text in capsys.readouterr().out

    again, same = command('--seed', '3', '1', '5', '--questions', 'a',
                          out='work/claims.json')
    assert [re.search('seed_.', key)[0] for key in again] == ['seed_5'] * 2
    assert {key: same[key] for key in results} == results
    assert command('--seed', '3', '7', '--report')[0] == []


@pytest.mark.usefixtures('mmpose')
def test_lost_results_are_measured_again_without_training(command, tmp_path):
    _, results = command('--seed', '0', '--questions', 'd')
    trained, again = command('--seed', '0', '--questions', 'd', out='b.json')
    assert trained == []
    (key, ) = results
    found = results[key]
    found.pop('minutes')
    assert again == {key: found}


@pytest.mark.parametrize('content', [
    [], None, dict(run=None), dict(run=dict(ours={})),
    dict(run=dict(ours={'own + own': {'coco/AP': 'x'}}))])
@pytest.mark.usefixtures('mmpose')
def test_another_file_is_named(command, tmp_path, capsys, monkeypatch,
                               content):
    monkeypatch.setattr(claims, 'key_of', lambda run: 'run')
    (tmp_path / 'claims.json').write_text(json.dumps(content))
    said = refusal(capsys, lambda arguments: command(*arguments),
                   '--seed', '0', '--report')
    assert re.search('--out .*claims.json is not what this command', said)


@pytest.mark.usefixtures('mmpose')
def test_decoder_options_reach_the_decoder(monkeypatch, command):
    seen = []

    def measuring(args):
        seen.append(args.cfg_options)
        return {'own + own': dict.fromkeys(claims.KEPT, 0.)}

    monkeypatch.setattr(oracle, 'measure', measuring)
    monkeypatch.setattr('comparison.verdict.COLUMNS',
                        {'AP': ('own + own', 'coco/AP')})
    monkeypatch.setattr('comparison.verdict.DIFFERENCES', ('AP', ))
    command('--seed', '0', '--questions', 'd')
    assert seen == [{'model.head.decoder.fill_missing': False}, {}]


@pytest.mark.usefixtures('mmpose')
def test_what_is_trained_is_measured(command):
    """The command's own options make the model that is measured, too."""
    trained, results = command(
        '--seed', '0', '--questions', 'd', '--cfg-options',
        'model.neck.embed_dims=48', 'model.head.in_channels=48')
    assert len(trained) == 1 and len(results) == 1


@pytest.mark.parametrize('arguments, expected', [
    (['--seed', '0', '0'], r'--seed takes different numbers.*\[0, 0\]'),
    (['--steps', '0'], '--steps must be 1 or more, got 0'),
    (['--out', '/nowhere/claims.json'], 'no such folder'),
])
@pytest.mark.usefixtures('mmpose')
def test_bad_arguments(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)  # without the folders of earlier runs
    assert re.search(expected, refusal(capsys, claims.main, *arguments))


@pytest.mark.usefixtures('mmpose')
def test_damaged_results(command, tmp_path, capsys):
    (tmp_path / 'claims.json').write_text('{"half')
    with pytest.raises(SystemExit):
        command('--seed', '0')
    assert 'claims.json is not JSON' in capsys.readouterr().err
    assert (tmp_path / 'claims.json').read_text() == '{"half'


# --- the questions themselves -----------------------------------------------


def test_every_config_is_asked_about():
    asked = {entry.config for question in QUESTIONS.values()
             for entry in question.entries}
    files = {path.stem.removeprefix('ssa_crowd')
             for path in (ROOT / 'configs/claims').glob('*.py')}
    assert asked == files
    assert {entry.decoder for question in QUESTIONS.values()
            for entry in question.entries} == set(DECODERS)


@pytest.mark.usefixtures('mmpose')
@pytest.mark.parametrize('name, option, value', [
    ('naive', 'neck.association', 'naive'),
    ('independent', 'neck.association', 'independent'),
    ('layer1', 'neck.supervised_layer', 1),
    ('layer3', 'neck.supervised_layer', 3),
    ('layer0', 'neck.supervised_layer', 0),
    ('stride16', 'head.decoder.token_stride', 16),
    ('sigma1', 'head.decoder.sigma', 1.),
    ('sigma2', 'head.decoder.sigma', 2.),
    ('beta-low', 'head.mask_loss.loss_weight', .01),
    ('beta-high', 'head.mask_loss.loss_weight', 1.),
    ('pairs', 'head.pair_loss.loss_weight', .1),
])
def test_variants_differ_from_the_model_in_what_they_say(name, option, value):
    """And train on the same images, for as many epochs, at the same rate."""
    first = read_config(str(ROOT / 'configs/claims/ssa_crowd.py'))
    other = read_config(str(ROOT / f'configs/claims/ssa_crowd_{name}.py'))
    found = other.model
    for part in option.split('.'):
        found = found[part]
    assert found == value
    for part in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert other[part] == first[part]
    assert other.model.backbone.init_cfg == first.model.backbone.init_cfg
    MODELS.build(dict(other.model, _scope_='mmpose'))
    mine, theirs = (
        [{key: step[key] for key in step if key != 'encoder'}
         for step in cfg.train_dataloader.dataset.pipeline]
        for cfg in (first, other))
    assert mine == theirs

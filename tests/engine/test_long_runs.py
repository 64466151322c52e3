"""A training that is killed, spoilt, crowded or short of disk loses little."""
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from factories import write_scenes
from mmengine.hooks import Hook
from small_training import small_runner

from mmpose_ssa.engine import long_runs
from mmpose_ssa.engine.unpickling import read
from mmpose_ssa.errors import RunError

TESTS = Path(__file__).parents[1]


def names(folder, pattern='*.pth'):
    return sorted(path.name for path in folder.glob(pattern))


class Spoil(Hook):
    """Makes a number infinite before an iteration or after an epoch."""

    priority = 'VERY_HIGH'

    def __init__(self, iteration=None, epoch=None,
                 name='layers.0.weight') -> None:
        self.iteration, self.epoch, self.name = iteration, epoch, name

    def _spoil(self, runner):
        state = runner.model.state_dict()
        state[self.name].view(-1)[0] = math.inf

    def before_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter == self.iteration:
            self._spoil(runner)

    def after_train_epoch(self, runner) -> None:
        if runner.epoch == self.epoch:
            self._spoil(runner)


# --- a loss that is not finite ----------------------------------------------


def test_a_nan_loss_stops_the_training_in_its_iteration(tmp_path):
    """fault_08: iteration 4, counted from 0, is the 2nd of the 2nd epoch."""
    runner = small_runner(tmp_path, 9, hooks=[Spoil(iteration=4)],
                          scores=[.1] * 9, checkpoint=dict(save_best='a'))
    with pytest.raises(RunError, match='loss is nan in epoch 2, iteration 2.*'
                       'last good checkpoint is .*epoch_1.pth.*clip_grad.*'
                       'optimizer.lr'):
        runner.train()
    assert names(tmp_path) == ['best_a_epoch_1.pth', 'epoch_1.pth']


def test_a_nan_loss_before_any_checkpoint_says_so(tmp_path):
    with pytest.raises(RunError, match='epoch 1, iteration 1.*No checkpoint'):
        small_runner(tmp_path, hooks=[Spoil(iteration=0)]).train()
    assert not names(tmp_path)


@pytest.mark.parametrize('name', ['layers.0.weight', 'layers.2.running_var'])
def test_spoilt_weights_are_not_saved(tmp_path, name):
    """The last step of an epoch may spoil them, after its loss was fine."""
    runner = small_runner(tmp_path, 9, hooks=[Spoil(epoch=1, name=name)])
    with pytest.raises(RunError, match=f'not finite after epoch 2 .{name}.*'
                       'epoch_1.pth'):
        runner.train()
    assert names(tmp_path) == ['epoch_1.pth']
    again = small_runner(tmp_path, 2, resume=True)
    again.train()
    assert names(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']


@pytest.mark.parametrize('name', ['layers.0.weight', 'layers.2.running_var'])
def test_spoilt_weights_are_not_validated_nor_the_best(tmp_path, name):
    """Where validations are more frequent than checkpoints."""
    runner = small_runner(tmp_path, 9, hooks=[Spoil(epoch=1, name=name)],
                          scores=[.1, .5, .6],
                          checkpoint=dict(save_best='a', interval=10))
    with pytest.raises(RunError, match=f'not finite after epoch 2 .{name}.*'
                       'best weights so far are .*best_a_epoch_1.pth'):
        runner.train()
    assert names(tmp_path) == ['best_a_epoch_1.pth']
    assert all(value.isfinite().all() for value in read(
        str(tmp_path / 'best_a_epoch_1.pth'))['state_dict'].values())


def test_losses_of_one_part_are_named():
    runner = namedtuple('Runner', 'epoch work_dir')(0, 'none')
    with pytest.raises(RunError, match='loss is inf, loss_b is nan in'):
        long_runs.StopAtNonFiniteLoss().after_train_iter(
            runner, 0, outputs=dict(
                loss=torch.tensor(math.inf), loss_a=torch.tensor(1.),
                loss_b=torch.tensor(math.nan), acc=torch.tensor(math.nan)))


# --- checkpoints ------------------------------------------------------------


def test_the_newest_are_kept_and_the_note_names_the_last(tmp_path):
    small_runner(tmp_path, 5, checkpoint=dict(max_keep_ckpts=2)).train()
    assert names(tmp_path) == ['epoch_4.pth', 'epoch_5.pth']
    note = (tmp_path / 'last_checkpoint').read_text()
    assert Path(note) == tmp_path / 'epoch_5.pth'
    assert not list(tmp_path.glob('*.tmp'))


def test_the_limit_holds_after_resuming(tmp_path):
    kept = dict(max_keep_ckpts=2)
    small_runner(tmp_path, 3, checkpoint=kept).train()
    small_runner(tmp_path, 6, checkpoint=kept, resume=True).train()
    assert names(tmp_path) == ['epoch_5.pth', 'epoch_6.pth']
    small_runner(tmp_path, 7, checkpoint=dict(max_keep_ckpts=1),
                 resume=True).train()
    assert names(tmp_path) == ['epoch_7.pth']


@pytest.mark.parametrize('keep', [1, 2])
def test_a_kill_while_writing_leaves_the_one_before(tmp_path, monkeypatch,
                                                    keep):
    """MMEngine removes first, and would leave nothing of one to keep."""
    kept = dict(max_keep_ckpts=keep, save_best='a')
    small_runner(tmp_path, 2, scores=[.1, .2], checkpoint=kept).train()
    before = names(tmp_path)

    def killed(*args):
        raise KeyboardInterrupt

    runner = small_runner(tmp_path, 3, scores=[.3], checkpoint=kept,
                          resume=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, 'replace', killed)
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    assert names(tmp_path) == before
    small_runner(tmp_path, 3, scores=[.3], checkpoint=kept,
                 resume=True).train()
    assert names(tmp_path) == ['best_a_epoch_3.pth', *(
        f'epoch_{epoch}.pth' for epoch in range(4 - keep, 4))]


def test_the_best_replaces_the_best(tmp_path):
    small_runner(tmp_path, 4, scores=[.1, .3, .2, .4],
                 checkpoint=dict(save_best=['a', 'b'])).train()
    assert names(tmp_path, 'best*') == ['best_a_epoch_4.pth',
                                        'best_b_epoch_1.pth']


def test_a_resumed_run_replaces_its_own_best(tmp_path):
    options = dict(checkpoint=dict(save_best='a'))
    small_runner(tmp_path, 2, scores=[.3, .2], **options).train()
    small_runner(tmp_path, 4, scores=[.25, .2], resume=True, **options).train()
    assert names(tmp_path, 'best*') == ['best_a_epoch_1.pth']
    small_runner(tmp_path, 5, scores=[.4], resume=True, **options).train()
    assert names(tmp_path, 'best*') == ['best_a_epoch_5.pth']


def test_a_best_that_was_cut_is_not_taken_over(tmp_path):
    options = dict(checkpoint=dict(save_best='a'))
    small_runner(tmp_path, 2, scores=[.3, .2], **options).train()
    whole = (tmp_path / 'best_a_epoch_1.pth').read_bytes()
    (tmp_path / 'best_a_epoch_2.pth').write_bytes(whole[:-9999])
    small_runner(tmp_path, 3, scores=[.25], resume=True, **options).train()
    assert (tmp_path / 'best_a_epoch_1.pth').read_bytes() == whole


@pytest.mark.parametrize('metrics', ['a', ['a', 'b']])
@pytest.mark.parametrize('score, best', [(.4, 2), (.6, 3)])
def test_a_kill_before_the_best_is_named(tmp_path, monkeypatch, metrics,
                                         score, best):
    """Its file is there; epoch_2.pth still names the one before."""
    options = dict(checkpoint=dict(save_best=metrics))
    small_runner(tmp_path, 1, scores=[.3], **options).train()

    def replace(old, new, real=os.replace):
        if (tmp_path / 'best_a_epoch_2.pth').is_file():
            raise KeyboardInterrupt
        real(old, new)

    with monkeypatch.context() as patched:
        patched.setattr(os, 'replace', replace)
        with pytest.raises(KeyboardInterrupt):
            small_runner(tmp_path, 2, scores=[.5], resume=True,
                         **options).train()
    assert names(tmp_path, 'best_a*') == ['best_a_epoch_1.pth',
                                          'best_a_epoch_2.pth']
    small_runner(tmp_path, 3, scores=[score], resume=True, **options).train()
    assert names(tmp_path, 'best_a*') == [f'best_a_epoch_{best}.pth']
    runtime = torch.load(tmp_path / 'epoch_3.pth', weights_only=False)[
        'message_hub']['runtime_info']
    key = 'best_score' if metrics == 'a' else 'best_score_a'
    assert runtime[key] == max(score, .5)


@pytest.mark.parametrize('hook', ['SafeCheckpointHook', 'CheckpointHook'])
def test_a_resumed_run_leaves_the_best_of_another_run(tmp_path, hook):
    """fault_10, with our configs and without."""
    first, second = tmp_path / 'A', tmp_path / 'B'
    options = dict(checkpoint=dict(type=hook, save_best='a'))
    small_runner(first, 2, scores=[.3, .2], **options).train()
    small_runner(second, 3, scores=[.4], resume=True,
                 load_from=str(first / 'epoch_2.pth'), **options).train()
    assert names(first, 'best*') == ['best_a_epoch_1.pth']
    assert names(second, 'best*') == ['best_a_epoch_3.pth']


def stranger(folder, path, **info):
    """A checkpoint of one epoch that names another best one."""
    small_runner(folder / 'source', 1, scores=[.1]).train()
    content = torch.load(folder / 'source/epoch_1.pth', weights_only=False)
    hub = content['message_hub']
    hub['runtime_info'].update(best_ckpt=str(path), best_score=-1., **info)
    hub['resumed_keys'].update(best_ckpt=True, best_score=True,
                               **dict.fromkeys(info, True))
    torch.save(content, folder / 'stranger.pth')
    return str(folder / 'stranger.pth')


@pytest.mark.parametrize('hook', ['SafeCheckpointHook', 'CheckpointHook'])
@pytest.mark.parametrize('kind', ['file', 'folder', 'link', 'own folder',
                                  'above', 'name'])
def test_nothing_outside_the_folder_is_removed(tmp_path, kind, hook):
    """fault_02: files, folders, links and paths with dots."""
    precious, run = tmp_path / 'precious', tmp_path / 'run'
    run.mkdir()
    (precious / 'sub').mkdir(parents=True)
    (precious / 'sub/best_a.pth').write_text('x')
    path = dict(file=precious / 'sub/best_a.pth', folder=precious,
                link=run / 'best_link.pth').get(kind)
    if kind == 'link':
        path.symlink_to(precious / 'sub')
    elif kind == 'own folder':
        path = run / 'best_folder.pth'
        path.mkdir()
        (path / 'file').write_text('x')
    elif kind == 'above':
        path = f'{run}/../precious/sub/best_a.pth'
    elif kind == 'name':
        path = run / 'notes.txt'
        path.write_text('x')
    small_runner(run, 2, scores=[.4], resume=True,
                 load_from=stranger(tmp_path, path,
                                    keep_ckpt_ids=['/../../precious', -1]),
                 checkpoint=dict(type=hook, save_best='a',
                                 max_keep_ckpts=1)).train()
    assert (precious / 'sub/best_a.pth').read_text() == 'x'
    assert os.path.lexists(path)
    assert (run / 'best_a_epoch_2.pth').is_file()


# --- the folder and the disk ------------------------------------------------


def test_a_second_training_in_a_folder_is_told_of_the_first(tmp_path):
    runner = namedtuple('Runner', 'work_dir')(str(tmp_path))
    hook = long_runs.OneRunPerFolder()
    hook.before_train(runner)
    script = ('import mmpose_ssa.register\n'
              'from mmpose_ssa.engine.long_runs import OneRunPerFolder as H\n'
              'from types import SimpleNamespace as N\n'
              f'H().before_train(N(work_dir={str(tmp_path)!r}))')

    refused = subprocess.run([sys.executable, '-c', script], text=True,
                             stderr=subprocess.PIPE)
    assert refused.returncode == 1
    paragraph = refused.stderr.strip().splitlines()[-1]
    assert paragraph.startswith('RunError: ')
    assert f'process {os.getpid()} on ' in paragraph
    assert str(tmp_path) in paragraph and 'Traceback' not in refused.stderr
    hook.after_train(runner)
    done = subprocess.run([sys.executable, '-c', 'import fcntl, sys\n'
                           'fcntl.lockf(open(sys.argv[1], "r+"),'
                           ' fcntl.LOCK_EX | fcntl.LOCK_NB)',
                           str(tmp_path / 'training.lock')])
    assert done.returncode == 0


@pytest.mark.parametrize('link', [os.symlink, os.link, None])
def test_a_lock_is_no_link(tmp_path, link):
    """What it names would be emptied."""
    victim, lock = tmp_path / 'victim', tmp_path / 'training.lock'
    victim.write_text('precious')
    if link:
        link(victim, lock)
    else:
        os.mkfifo(lock)
    fault = long_runs.OneRunPerFolder()._lock(str(tmp_path))
    assert 'training.lock' in fault and victim.read_text() == 'precious'


def test_a_lock_ends_with_its_process(tmp_path):
    """A file that a killed process left behind locks nothing."""
    (tmp_path / 'training.lock').write_text('process 1 on host since ever')
    small_runner(tmp_path, 1).train()
    assert (tmp_path / 'training.lock').read_text() == ''


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / 'training.lock').mkdir()  # root may write anywhere else
    with pytest.raises(RunError, match=f'{tmp_path} cannot be written'):
        small_runner(tmp_path, 1).train()


def test_the_hook_is_silent_about_mmengines_own_code(tmp_path):
    """'"FileClient" will be deprecated': nothing that a user could do."""
    seen = []
    runner = small_runner(tmp_path, 1)
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.train()
    runner.logger.warning('another')
    assert not [line for line in seen if 'FileClient' in line]
    assert 'another' in seen


def test_a_full_disk_is_foretold(tmp_path, monkeypatch):
    Usage = namedtuple('Usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(9, 9, 100))
    told = []
    runner = small_runner(tmp_path, 1)
    monkeypatch.setattr(runner.logger, 'warning', told.append)
    runner.train()
    assert any('has 0 MiB left' in line for line in told)


# --- kills ------------------------------------------------------------------


def losses(path) -> dict:
    """The losses noted for each iteration; a killed one is trained again."""
    found = {}
    for line in path.read_text().splitlines():
        iteration, loss = json.loads(line)
        found.setdefault(iteration, set()).add(loss)
    return found


def check_kills(folder, kills, *data, iterations):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', str(TESTS / 'killed_training.py'),
         str(folder), str(kills), *data],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(
            (str(TESTS.parent), os.environ.get('PYTHONPATH', '')))))
    print(done.stdout)
    assert done.returncode == 0
    statuses = re.findall(r'exit (-?[0-9]+)', done.stdout)
    assert statuses == ['-9'] * kills + ['0', '0']
    whole = losses(folder / 'whole.jsonl')
    assert len(whole) == iterations
    assert losses(folder / 'losses.jsonl') == whole
    for path in (folder / 'run').glob('*.pth'):
        read(str(path))
    assert names(folder / 'run') == names(folder / 'whole')


def test_a_kill_resumes_to_the_same_losses(tmp_path):
    check_kills(tmp_path, 1, iterations=36)


@pytest.mark.slow
def test_twenty_kills_resume_to_the_same_losses(tmp_path):
    write_scenes(tmp_path / 'data', train=12, val=4)
    check_kills(tmp_path, 20, str(tmp_path / 'data'), iterations=90)

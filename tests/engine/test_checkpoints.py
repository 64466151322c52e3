"""What MMEngine is given of a checkpoint, and how it writes one."""
import errno
import io
import os
import pickle
import sys
import warnings
from pathlib import Path

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import (CheckpointLoader, find_latest_checkpoint,
                             load_checkpoint, save_checkpoint)
from small_training import small_runner

from mmpose_ssa import files
from mmpose_ssa.engine import checkpoints, quiet
from mmpose_ssa.engine.unpickling import UNSAFE_LOAD, CheckpointError
from mmpose_ssa.errors import RunError, show_text_alone


def hub():
    made = MessageHub('test_checkpoints')
    made.update_scalar('train/loss', 0.5)
    for key, value in dict(
            epoch=3, best_score=np.float64(.5), best_ckpt='/a/best_x.pth',
            keep_ckpt_ids=[1, 2], last_ckpt='/a/epoch_2.pth',
            coco_ann_file='/etc/passwd', cfg='import os').items():
        made.update_info(key, value)
    return made.state_dict()


def training(**meta):
    return dict(state_dict=dict(weight=torch.arange(3.)), message_hub=hub(),
                meta=dict(epoch=2, iter=6, **meta))


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    lines = []
    monkeypatch.setattr(checkpoints, 'print_log',
                        lambda line, *args: lines.append(line))
    return lines


def load(path, device='cpu'):
    return CheckpointLoader.load_checkpoint(str(path), device, logger='silent')


def loaded(folder, content):
    torch.save(content, folder / 'a.pth')
    return load(folder / 'a.pth')


class Called:

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


# --- reading ----------------------------------------------------------------


def test_a_training_checkpoint_is_read(tmp_path):
    save_checkpoint(training(), str(tmp_path / 'epoch_1.pth'))
    found = load(tmp_path / 'epoch_1.pth')
    assert found['state_dict']['weight'].tolist() == [0, 1, 2]
    assert found['meta'] == dict(epoch=2, iter=6)
    again = MessageHub('test_checkpoints_read')
    again.load_state_dict(found['message_hub'])
    assert again.get_scalar('train/loss').data[0].tolist() == [.5]
    assert again.get_info('best_score') == .5


def test_an_empty_record_is_left_out(tmp_path):
    """Its mean, which MMEngine logs, would be that of nothing."""
    content = training()
    content['message_hub']['log_scalars']['train/none'] = HistoryBuffer()
    found = loaded(tmp_path, content)['message_hub']
    assert set(found['log_scalars']) == {'train/loss'}
    assert 'train/none' not in found['resumed_keys']


def test_texts_that_mmengine_would_run_are_left_out(tmp_path, said):
    """fault_01"""
    found = loaded(tmp_path, training(config='import os', cfg='import os'))
    assert found['meta'] == dict(epoch=2, iter=6)
    assert 'a.pth: meta.config is left out' in said[0]


def test_nothing_is_deleted_by_what_a_checkpoint_names(tmp_path):
    """fault_02 and fault_10: the paths are kept apart from MMEngine."""
    found = loaded(tmp_path, training())
    info = dict(best_score=.5, keep_ckpt_ids=[1, 2])
    assert found['message_hub']['runtime_info'] == info
    assert set(found['message_hub']['resumed_keys']) == {'train/loss', *info}
    assert found['best_paths'] == dict(best_ckpt='/a/best_x.pth')


@pytest.mark.parametrize('key, value', [
    ('keep_ckpt_ids', [1, '/../../x']), ('keep_ckpt_ids', [-1]),
    ('keep_ckpt_ids', [3, 3]), ('keep_ckpt_ids', list(range(5001))),
    ('keep_ckpt_ids', 'ab'), ('keep_ckpt_ids', [True]),
    ('best_score', float('nan')), ('best_score', float('inf')),
    ('best_score', 'high'), ('best_score_a/b', [1.]), (3, 4)])
def test_records_of_another_kind_are_left_out(tmp_path, key, value):
    content = training()
    content['message_hub']['runtime_info'] = {key: value}
    assert loaded(tmp_path, content)['message_hub']['runtime_info'] == {}


@pytest.mark.parametrize('path', [
    'best_\0.pth', 'best_\udfff.pth', 'a/' * 2500, 'ä' * 2500, 3])
def test_a_best_that_is_no_path_is_left_out(tmp_path, path):
    content = training()
    content['message_hub']['runtime_info'] = dict(best_ckpt=path)
    if path == 'best_\udfff.pth':  # torch.save writes none
        assert not checkpoints.is_path(path)
        return
    assert loaded(tmp_path, content)['best_paths'] == {}


@pytest.mark.parametrize('content, named', [
    ([1], 'a list'),
    (torch.zeros(1), 'a Tensor'),
    (dict(state_dict=[1]), 'weights by name'),
    (dict(state_dict={1: torch.zeros(1)}), 'weights by name'),
    (dict(state_dict=dict(a='b')), 'weights by name'),
    ({1: torch.zeros(1)}, 'weights by name'),
    (dict(meta=[1]), 'meta'),
    (dict(meta=dict(epoch='1')), "epoch.*'1'"),
    (dict(meta=dict(iter=-1)), 'iter.*-1'),
    (dict(meta=dict(seed=2**40)), 'seed.*1099511627776'),
    (dict(message_hub=3), 'message_hub.*runtime_info'),
    (dict(message_hub=dict(log_scalars={})), 'message_hub.*runtime_info'),
    (dict(state_dict=Called(os.mkdir, 'harm')), 'mkdir'),
])
def test_a_checkpoint_that_is_none_is_named(tmp_path, monkeypatch, content,
                                            named):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match=f'a.pth.*{named}'):
        loaded(tmp_path, content)
    assert os.listdir() == ['a.pth']


@pytest.mark.parametrize('versions', [
    3, {'': 3}, {3: {}}, {'': dict(version='1')}])
def test_versions_of_layers_are_numbers(tmp_path, versions):
    weights = torch.nn.Linear(1, 1).state_dict()
    weights._metadata = versions
    with pytest.raises(CheckpointError, match='a.pth.*versions'):
        loaded(tmp_path, weights)


def test_plain_weights_are_loaded_into_a_model(tmp_path):
    model, other = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.normal_(other.weight)
    torch.save(other.state_dict(), tmp_path / 'a.pth')
    load_checkpoint(model, str(tmp_path / 'a.pth'), strict=True)
    assert torch.equal(model.weight, other.weight)


def test_a_device_puts_the_tensors_there(tmp_path):
    torch.save(training(), tmp_path / 'a.pth')
    for device in ('meta', torch.device('meta')):
        found = load(tmp_path / 'a.pth', device)
        assert found['state_dict']['weight'].device.type == 'meta'
    with pytest.raises((RuntimeError, AssertionError), match='nowhere'):
        load(tmp_path / 'a.pth', 'nowhere')


def test_a_whole_one_is_named_beside_a_damaged_one(tmp_path):
    for name in ('epoch_9.pth', 'epoch_10.pth', 'epoch_11.pth'):
        torch.save(training(), tmp_path / name)
    bad = tmp_path / 'epoch_11.pth'
    bad.write_bytes(bad.read_bytes()[:500])
    with pytest.raises(CheckpointError,
                       match='epoch_11.pth.*damaged.*whole.*epoch_10.pth'):
        load(bad)


def test_the_switch_reads_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(UNSAFE_LOAD, '1')
    with pytest.warns(UserWarning, match=f'{UNSAFE_LOAD}.*a.pth'):
        found = loaded(tmp_path, dict(training(cfg='a = 1'),
                                      more=Called(os.mkdir, 'made')))
    assert (tmp_path / 'made').is_dir()
    assert found['meta']['cfg'] == 'a = 1'
    assert 'best_ckpt' not in found['message_hub']['runtime_info']


# --- addresses --------------------------------------------------------------

URL = 'https://example.invalid/model.pth'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    return tmp_path / 'checkpoints/model.pth'


def test_a_download_is_checked_as_well(cache, monkeypatch):
    cache.parent.mkdir()
    monkeypatch.chdir(cache.parent)
    torch.save(dict(state_dict=Called(os.mkdir, 'harm')), cache)
    with pytest.raises(CheckpointError, match=f'model.pth.*{UNSAFE_LOAD}'):
        load(URL)
    assert os.listdir() == ['model.pth']
    torch.save(training(), cache)
    assert load(URL)['state_dict']['weight'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('address', [URL, 'torchvision://resnet101'])
def test_without_network_the_three_ways_out_are_named(cache, monkeypatch,
                                                      address):
    def no_network(*args, **kwargs):
        raise OSError('no route to host')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', no_network)
    with pytest.raises(
            checkpoints.DownloadError,
            match=f'(?s)no route.*{cache.parent}.*model.backbone.init_cfg.'
            'checkpoint=FILE.*model.backbone.init_cfg=None') as caught:
        load(address)
    assert isinstance(caught.value, ConnectionError)
    assert '\n' not in str(caught.value)


def test_mmengines_list_of_models_is_read_safely(cache, monkeypatch):
    cache.parent.mkdir()
    torch.save(dict(state_dict=Called(os.mkdir, 'harm')), cache)
    models = dict(here=str(cache), there=URL)
    monkeypatch.setattr(checkpoints.mmengine_checkpoint,
                        'get_external_models', lambda: models)
    for name in models:
        with pytest.raises(CheckpointError, match='model.pth.*mkdir'):
            load(f'open-mmlab://{name}')


@pytest.mark.parametrize('address', ['s3://a.pth', 'petrel://a.pth',
                                     'x:s3://a.pth', 'pavi://a.pth'])
def test_other_addresses_are_refused(address):
    with pytest.raises(CheckpointError, match='a.pth.*copy it'):
        load(address)


# --- the latest of a run ----------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """Three whole checkpoints, of which the note names the newest."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for epoch in (2, 9, 10):
        torch.save(training(), folder / f'epoch_{epoch}.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_10.pth'))
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def latest(folder):
    found = find_latest_checkpoint(str(folder))
    return found and os.path.relpath(found, folder)


def test_the_noted_checkpoint_is_resumed(run, said):
    (run / 'last_checkpoint').write_text(str(run / 'epoch_9.pth') + '\n')
    assert latest(run) == 'epoch_9.pth'
    assert not said


@pytest.mark.parametrize('note', ['', None, '\0' * 40, '/gone/epoch_11.pth',
                                  b'\xff'], ids=['empty', 'none', 'zeros',
                                                 'gone', 'no text'])
def test_a_bad_note_is_told_and_the_newest_resumed(run, said, note):
    """fault_04: a kill while the note was written leaves it empty."""
    (run / 'last_checkpoint').unlink()
    if note is not None:
        (run / 'last_checkpoint').write_bytes(
            note if isinstance(note, bytes) else note.encode())
    assert latest(run) == 'epoch_10.pth'
    line, = said
    empty = not note or '\0' in str(note)
    assert ('last_checkpoint' if empty else str(note)) in line or isinstance(
        note, bytes)
    assert line.endswith('epoch_10.pth')


def test_a_truncated_checkpoint_is_told_and_the_one_before_resumed(run, said):
    cut(run / 'epoch_10.pth')
    assert latest(run) == 'epoch_9.pth'
    assert 'epoch_10.pth is damaged' in said[0]
    cut(run / 'epoch_9.pth')
    assert latest(run) == 'epoch_2.pth'


def test_what_is_no_file_is_not_whole(run):
    (run / 'epoch_11.pth').symlink_to('/nowhere')
    os.mkfifo(run / 'epoch_12.pth')
    (run / 'epoch_13.pth').mkdir()
    (run / 'ax.pth').write_bytes(b'PKxx')
    assert checkpoints.newest_whole(str(run), str(run / 'ax.pth')).endswith(
        'epoch_10.pth')
    assert not checkpoints.is_whole('a\0.pth')


def test_none_that_is_whole_is_an_error(run):
    for path in run.glob('*.pth'):
        cut(path)
    with pytest.raises(CheckpointError, match='epoch_10.pth.*no other'):
        latest(run)


def test_a_run_that_has_none_begins(tmp_path):
    assert latest(tmp_path) is None


def test_a_run_that_was_copied_resumes_its_own(run, tmp_path):
    copy = tmp_path / 'copy'
    copy.mkdir()
    for path in run.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert latest(copy) == 'epoch_10.pth'
    (copy / 'epoch_10.pth').unlink()
    assert latest(copy) == '../run/epoch_10.pth'


# --- writing ----------------------------------------------------------------


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    save_checkpoint(training(), str(path))
    before = path.read_bytes()

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(training(seed=3), str(path))
    assert path.read_bytes() == before
    monkeypatch.undo()
    save_checkpoint(training(seed=3), str(path))
    assert load(path)['meta']['seed'] == 3


def test_a_full_disk_is_told_with_what_is_lost(run, monkeypatch):
    class Full(io.BytesIO):

        def write(self, content):
            raise OSError(errno.ENOSPC, 'No space left on device')

    def full(path, mode):
        Path(path).touch()
        return Full()

    monkeypatch.setattr(files, 'open', full, raising=False)
    with pytest.raises(OSError, match='epoch_11.pth.*No space.*since.*'
                       'epoch_10.pth is lost.*--resume'):
        save_checkpoint(training(), str(run / 'epoch_11.pth'))
    assert not list(run.glob('*11*'))


def test_the_copy_of_the_config_is_written_through_no_link(tmp_path):
    other = tmp_path / 'other.txt'
    other.write_text('precious')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/tiny.py').symlink_to(other)
    (tmp_path / 'tiny.py').write_text('a = 1')
    config = Config.fromfile(tmp_path / 'tiny.py')
    with pytest.raises(RunError, match='tiny.py is a link to .*other.txt'):
        small_runner(tmp_path / 'run', cfg=config)
    assert other.read_text() == 'precious'
    (tmp_path / 'run/tiny.py').unlink()
    small_runner(tmp_path / 'run', cfg=config)
    assert (tmp_path / 'run/tiny.py').is_file()


# --- told -------------------------------------------------------------------


def test_an_uncaught_error_of_ours_is_shown_as_its_text(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'excepthook', sys.__excepthook__)
    show_text_alone()
    for error in (CheckpointError('give another'), RunError('stop')):
        sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == (
        '\nCheckpointError: give another\n\nRunError: stop\n')
    full = OSError(errno.ENOSPC, 'No space left', 'scalars.json')
    sys.excepthook(OSError, full, None)
    assert 'scalars.json cannot be written because the disk' in \
        capsys.readouterr().err
    sys.excepthook(KeyError, KeyError('x'), None)
    assert "KeyError: 'x'" in capsys.readouterr().err


def test_foreign_warnings_are_silent_and_others_are_not():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        quiet.silence_foreign_warnings()
        for text in ('pkg_resources is deprecated as an API.',
                     'The metainfo config file "a" does not exist. A matched '
                     'config file "b" will be used instead.'):
            warnings.warn(text, stacklevel=1)
        warnings.warn('another', stacklevel=1)
    assert [str(warning.message) for warning in told] == ['another']


def test_a_record_of_losses_is_mmengines_own(tmp_path):
    record = loaded(tmp_path, training())['message_hub']['log_scalars']
    assert isinstance(record['train/loss'], HistoryBuffer)

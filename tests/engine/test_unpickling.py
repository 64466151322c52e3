"""A checkpoint is read as data: right, or refused with file and cure."""
import struct
import zipfile

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import scheduler as schedulers
from pickled import FORMS, saved, training, values
from torch import nn

from mmpose_ssa.engine import unpickling
from mmpose_ssa.engine.unpickling import CheckpointError, read


def assert_same(read_, told, where=''):
    """Equal in value and type, and in how the numbers lie in memory."""
    assert type(read_) is type(told), where
    if isinstance(told, torch.Tensor):
        assert read_.dtype == told.dtype and read_.stride() == told.stride()
        assert torch.equal(read_, told), where
    elif isinstance(told, np.ndarray):
        np.testing.assert_array_equal(read_, told, strict=True)
    elif isinstance(told, dict):
        assert list(read_) == list(told), where
        for key in told:
            assert_same(read_[key], told[key], f'{where}/{key}')
        if hasattr(told, '_metadata'):
            assert read_._metadata == told._metadata
    elif isinstance(told, (list, tuple)):
        assert len(read_) == len(told), where
        for index, pair in enumerate(zip(read_, told)):
            assert_same(*pair, f'{where}/{index}')
    elif isinstance(told, HistoryBuffer):
        assert read_.max_length == told.max_length
        assert_same(read_.data, told.data, where)
    else:
        assert read_ == told, where


# --- right ------------------------------------------------------------------


@FORMS
def test_a_training_is_read_as_it_was(tmp_path, zipped):
    told = training()
    file = saved(tmp_path / 'a.pth', told, zipped)
    assert_same(read(file), told)
    assert read(file)['message_hub']['log_scalars'][
        'train/loss'].statistics('mean') == 0.75 / 4


@FORMS
@pytest.mark.parametrize('kind', list(values()))
def test_values_are_read_as_they_were(tmp_path, zipped, kind):
    told = values()[kind]
    assert_same(read(saved(tmp_path / 'a.pth', told, zipped)), told)


@FORMS
def test_a_parameter_becomes_a_tensor(tmp_path, zipped):
    file = saved(tmp_path / 'a.pth', dict(w=nn.Parameter(torch.ones(2))),
                 zipped)
    weight = read(file)['w']
    assert type(weight) is torch.Tensor and weight.tolist() == [1, 1]


@FORMS
def test_tensors_that_share_numbers_still_do(tmp_path, zipped):
    whole = torch.arange(6.)
    a, b = read(saved(tmp_path / 'a.pth', [whole, whole[2:]], zipped))
    a[3] = 30
    assert b.tolist() == [2, 30, 4, 5]


@pytest.mark.parametrize('build', [
    lambda o: schedulers.MultiStepLR(o, [1, 3]),
    lambda o: schedulers.CosineAnnealingLR(o, T_max=5),
    lambda o: schedulers.LinearLR(o, start_factor=.1, end=5),
    lambda o: schedulers.ReduceOnPlateauLR(o),
])
def test_every_schedule_is_read(tmp_path, build):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=.1,
                                momentum=.9)
    told = build(optimizer).state_dict()
    assert_same(read(saved(tmp_path / 'a.pth', told)), told)


@pytest.mark.parametrize('core', [b'core', b'_core'])
def test_files_of_numpy_1_and_2_are_read(tmp_path, core):
    """Numpy 2 renamed the module that its pickles name."""
    told = training()
    with zipfile.ZipFile(saved(tmp_path / 'here.pth', told)) as here, \
            zipfile.ZipFile(tmp_path / 'there.pth', 'w') as there:
        for name in here.namelist():
            content = here.read(name)
            for present in (b'core', b'_core'):
                content = content.replace(b'cnumpy.%s.' % present,
                                          b'cnumpy.%s.' % core)
            there.writestr(name, content)
    assert_same(read(str(tmp_path / 'there.pth')), told)


def test_a_byte_of_2_is_read_as_true(tmp_path):
    file = saved(tmp_path / 'a.pth', torch.tensor([True, False]))
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in parts.items():
            archive.writestr(name, b'\x02\x00' if '/data/' in name
                             else content)
    assert read(file).view(torch.uint8).tolist() == [1, 0]


def test_bombs_are_not_unpacked(tmp_path):
    name = tmp_path / 'a.pth'
    with zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a/data.pkl', b'\x80\x02]' + b'K\x01a' * 10**6 + b'.')
    with pytest.raises(CheckpointError, match='compressed'):
        read(str(name))


def test_numbers_that_are_listed_twice_are_not_read(tmp_path):
    """Entries may lie over each other: a small file as large as one likes."""
    name = saved(tmp_path / 'a.pth', torch.zeros(1000))
    content = bytearray((tmp_path / 'a.pth').read_bytes())
    with zipfile.ZipFile(name) as archive:
        entry = next(info for info in archive.infolist()
                     if '/data/' in info.filename)
    place = content.rindex(entry.filename.encode())  # in the directory
    struct.pack_into('<II', content, place - 46 + 20, 2**30, 2**30)
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match='larger than the file'):
        read(name)


def test_a_legacy_file_tells_no_more_numbers_than_it_has(tmp_path):
    name = saved(tmp_path / 'a.pth', torch.zeros(8), zipped=False)
    content = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(
        content[:-40] + struct.pack('<q', 2**40) + content[-32:])
    with pytest.raises(CheckpointError, match='ends too early'):
        read(name)


def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.script(nn.Linear(1, 1)).save(str(tmp_path / 'a.pth'))
    with pytest.raises(CheckpointError, match='a.pth.*TorchScript'):
        read(str(tmp_path / 'a.pth'))


@pytest.mark.parametrize('content', [
    b'', b'P', b'PK', b'PK\x03\x04', b'\x80\x02}.', b'no checkpoint',
    *unpickling.LEGACY])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match='a.pth.*damaged'):
        read(str(tmp_path / 'a.pth'))


@FORMS
def test_a_truncated_file_is_named(tmp_path, zipped):
    name = saved(tmp_path / 'a.pth', training(), zipped)
    content = (tmp_path / 'a.pth').read_bytes()
    for size in np.linspace(0, len(content) - 1, 25).astype(int):
        (tmp_path / 'a.pth').write_bytes(content[:size])
        with pytest.raises(CheckpointError, match='a.pth.*damaged'):
            read(name)


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match='a.pth'):
        read(str(tmp_path / 'a.pth'))

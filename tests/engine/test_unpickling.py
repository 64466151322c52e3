"""A checkpoint is read as data: right, or refused with file and cure."""
import io
import math
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OptimWrapper
from mmengine.optim import scheduler as schedulers
from torch import nn

from mmpose_ssa.engine import unpickling
from mmpose_ssa.engine.pickle_program import DTYPES, STORAGES, Unpickler
from mmpose_ssa.engine.unpickling import CheckpointError, read

FORMS = pytest.mark.parametrize('zipped', [True, False],
                                ids=['zip', 'legacy'])


def saved(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return str(path)


def training():
    """What MMEngine's checkpoints hold, in small."""
    hub = MessageHub('test_unpickling')
    hub.update_scalar('train/loss', 0.5)
    hub.update_scalar('train/loss', 0.25, count=3)
    hub.update_info('best_score', np.float64(0.75))
    layer = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    wrapper = OptimWrapper(torch.optim.Adam(layer.parameters()))
    layer(torch.rand(4, 2)).sum().backward()
    wrapper.step()
    return dict(
        state_dict=layer.state_dict(),
        optimizer=wrapper.state_dict(),
        message_hub=hub.state_dict(),
        meta=dict(
            epoch=3,
            dataset_meta=dict(
                sigmas=np.array([0.026, 0.107], np.float32),
                colors=np.array([[255, 0, 128]], np.uint8),
                turned=np.arange(6).reshape(2, 3).T,
                is_left=np.array([True, False]),
                no_limbs=np.array([]))))


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


def values():
    base = torch.arange(12.)
    return dict(
        numbers=[0, -1, 255, 65535, -2**31, 2**63, 1.5, math.inf, 2j, True],
        texts=['', 'Füße', b'\x00\xff', None],
        containers=[(), (1, ), [[]], {1: {2}}, Counter('aab'), OrderedDict()],
        size=torch.Size([2, 3]),
        dtype=torch.float16,
        tensors=[
            torch.tensor(3), torch.zeros(0, 4), base.view(3, 4).t(), base[2:7],
            torch.tensor([True, False]),
            *(torch.ones(2).to(dtype) for dtype in DTYPES.values())
        ],
        arrays=[
            np.float32(2), np.int64(-3), np.bool_(True), np.zeros((0, 3)),
            *(np.ones(2, dtype) for dtype in unpickling.NUMBERS),
            np.arange(3, dtype='>i4')
        ])


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


# --- refused ----------------------------------------------------------------


class Called:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self) -> None:
        """pickle wants to see something callable where it is nested."""


@FORMS
@pytest.mark.parametrize('content, named', [
    (Called(os.mkdir, 'harm'), 'posix.mkdir'),
    (Called(eval, 'print()'), 'builtins.eval'),
    (Called(getattr, HistoryBuffer, '__class__'), '__class__'),
    (Called(getattr, HistoryBuffer, '__init__'), '__init__'),
    (Called(getattr, HistoryBuffer, 'register_statistics'), 'register'),
    (Called(getattr, np.ndarray, 'min'), "'min' of .*numpy.ndarray"),
    (Called(getattr, HistoryBuffer(), 'mean'), "'mean' of"),
    (Called(Called(getattr, HistoryBuffer, 'mean'), HistoryBuffer()),
     'another call'),
    (Called(bytes, 10**12), 'bytes'),
    (Called(bytearray, 10**12), 'bytearray'),
    (Called(torch.Tensor, 10**9), 'torch._tensor.Tensor|torch.Tensor'),
    (torch.zeros(2).to_sparse(), '_rebuild_sparse_tensor'),
    (torch.quantize_per_tensor(torch.zeros(2), 1., 0, torch.qint8),
     'QInt8Storage|_rebuild_qtensor'),
    (np.array([{}], dtype=object), "'O8'"),
    (np.array(['text']), "'U4'"),
    (np.dtype([('a', 'f4')]), "'V4'"),
    (np.array([0], 'datetime64[s]'), "'M8'"),
    (MessageHub, 'MessageHub'),
    (HistoryBuffer, 'HistoryBuffer'),
    (nn.Linear(1, 1), 'Linear'),
])
def test_whatever_is_no_data_is_refused(tmp_path, monkeypatch, zipped,
                                        content, named):
    monkeypatch.chdir(tmp_path)
    saved('evil.pth', dict(state_dict=content), zipped)
    message = f'evil.pth.*{named}.*{unpickling.UNSAFE_LOAD}=1'
    with pytest.raises(pickle.UnpicklingError, match=message) as caught:
        read('evil.pth')
    assert isinstance(caught.value, ValueError)
    assert os.listdir(tmp_path) == ['evil.pth']


def text(value):
    """The instruction that puts a text on the stack."""
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def program(path, pickled, **parts):
    """A zip archive around a program of our own."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02' + pickled + b'.')
        for name, content in parts.items():
            archive.writestr(f'archive/{name}', content)
    return str(path)


RECONSTRUCT = (b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n'
               b'K\x00\x85C' b'tR')
F8 = b'cnumpy\ndtype\n(' + text('f8') + b'\x89\x88tR'
RAW8 = b'c_codecs\nencode\n(' + text('ABCDEF\x00\x00') + text('latin1') + b'tR'
STORAGE = (b'(' + text('storage') + b'ctorch\nFloatStorage\n' + text('0') +
           text('cpu') + b'K\x04tQ')


def tensor(size, stride, start=b'K\x00', storage=STORAGE):
    return (b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + start + size +
            stride + b'\x89ccollections\nOrderedDict\n)RtR')


@pytest.mark.parametrize('pickled, named', [
    # fault_03: an array of objects over bytes of the author's
    (b'cnumpy\nndarray\n((K\x01tcnumpy\ndtype\n(' + text('O') + b'\x89\x88tR' +
     RAW8 + b'tR', 'numpy.ndarray'),
    (b'ccollections\nCounter\n(cnumpy\nndarray\n((K\x01t' + F8 + RAW8 +
     b'tRtR', 'numpy.ndarray'),
    # more numbers than bytes
    (b'cnumpy.core.multiarray\nscalar\n(' + F8 + b'c_codecs\nencode\n(' +
     text('ABC') + text('latin1') + b'tRtR', 'buffer size'),
    (tensor(b'K\x05\x85', b'K\x01\x85'), 'beyond its 4'),
    (tensor(b'K\x04\x85', b'K\x01\x85', b'K\x01'), 'beyond its 4'),
    (tensor(b'K\x02\x85', b'K\x01\x85', b'J\xff\xff\xff\xff'), 'tensor'),
    (tensor(b'J\xff\xff\xff\xff\x85', b'K\x01\x85'), 'tensor'),
    (tensor(b'K\x02\x85', b'J\xff\xff\xff\xff\x85'), 'tensor'),
    (tensor(b'K\x02\x85', b'K\x01K\x01\x86'), 'tensor'),
    (tensor(b'J\xff\xff\xff\x7f\x85', b'K\x00\x85'), 'more memory'),
    (tensor(b'G@\x00\x00\x00\x00\x00\x00\x00\x85', b'K\x01\x85'), 'tensor'),
    (b'(' + text('module') + b'ctorch\nFloatStorage\n' + text('0') +
     text('cpu') + b'K\x04tQ', 'storage'),
    (b'(' + text('storage') + b'ccollections\nOrderedDict\n' + text('0') +
     text('cpu') + b'K\x04tQ', 'OrderedDict'),
    # what is made is neither changed nor called
    (b'ccollections\nOrderedDict\n}' + text('update') + b'K\x01sb', 'state'),
    (b'ccollections\nOrderedDict\n' + text('a') + b'K\x01s', 'assignment'),
    (STORAGE + b'}b', 'state'),
    (b'K\x01K\x02\x85R', 'another call'),
    # instructions that torch.save does not use
    (b'cposix\nsystem\n(' + text('true') + b'tR', 'posix.system'),
    (text('posix') + text('system') + b'\x93' + text('true') + b'\x85R',
     '147'),
    (b'(S' + b"'true'\niposix\nsystem\n", '83|105'),
    (b'\x96' + struct.pack('<Q', 2**40), '150'),
    (b'\x82\x01', '130'),
    (b'P0\n', '80'),
    # too much
    (b'\x8a\x10' + b'\xff' * 16, '64 bits'),
    (b']' * 100 + b'a' * 99, 'nested deeper'),
    (b']q\x00h\x00a', 'contains itself'),
    (b'c_codecs\nencode\n(' + text('a' * 9) + text('idna') + b'tR', 'idna'),
    (b'cbuiltins\nbytes\n(J\xff\xff\xff\x7ftR', 'bytes'),
])
def test_programs_of_our_own_are_refused(tmp_path, pickled, named):
    file = program(tmp_path / 'evil.pth', pickled,
                   **{'data/0': struct.pack('<4f', 1, 2, 3, 4)})
    with pytest.raises(CheckpointError, match=f'evil.pth.*({named})'):
        read(file)


DOUBLED = b')q\x00' + b'h\x00\x86q\x00' * 60


@pytest.mark.parametrize('pickled, named', [
    (b'}' + DOUBLED + b'K\x01s', 'as a key'),
    (b'}(' + DOUBLED + b'K\x01u', 'as a key'),
    (b'})' + b'\x85' * 10**6 + b'K\x01s', 'more memory'),
    (b'})' + b'\x85' * 10**5 + b'K\x01s', 'as a key'),
    (b'c__builtin__\nset\n](' + DOUBLED + b'e\x85R', 'as a key'),
    (b'ccollections\nCounter\n](' + DOUBLED + b'e\x85R',
     'as a key|nested'),
    (b'ccollections\nOrderedDict\n](' + DOUBLED + b'N\x86e\x85R',
     'as a key'),
    (b'}' + b'(K\x01K\x01K\x01K\x01K\x01tNs', 'as a key'),
    (b'}(' + b''.join(b'K\x01M' + struct.pack('<H', n) + b'\x86N'
                      for n in range(1001)) + b'u', '1000 tuples'),
    (b'\x8f', '143'),
    (b'cnumpy\ndtype\n' + DOUBLED + b'\x85R', 'a tuple'),
    (tensor(tensor(b'K\x04\x85', b'K\x01\x85'), b'K\x01\x85'), 'tensor'),
])
def test_nothing_hangs_by_hashing_or_showing_what_is_nested(tmp_path, pickled,
                                                            named):
    file = program(tmp_path / 'evil.pth', pickled,
                   **{'data/0': struct.pack('<4f', 1, 2, 3, 4)})
    with pytest.raises(CheckpointError, match=f'evil.pth.*({named})'):
        read(file)


def many(call, count=3 * 10**4):
    """A list of calls whose arguments the file holds once."""
    name, arguments = call
    return (name + b'q\x00' + arguments + b'\x85q\x01](' +
            b'h\x00h\x01R' * count + b'e')


NUMBERS = b'](' + b'K\x07' * 10**4 + b'e'
LETTERS = text('x' * 10**5)


@pytest.mark.parametrize('pickled', [
    many((b'cbuiltins\nset\n', NUMBERS)),
    many((b'ccollections\nCounter\n', NUMBERS)),
    many((b'ctorch\nSize\n', NUMBERS)),
    many((b'ccollections\nOrderedDict\n', b'](' + b''.join(
        b'M' + struct.pack('<H', n) + b'N\x86' for n in range(10**4)) +
        b'e')),
    # bytes of one text, and arrays of the same bytes
    b'c_codecs\nencode\nq\x00' + LETTERS + text('latin1') +
    b'\x86q\x01](' + b'h\x00h\x01R' * 10**4 + b'e',
    b'cnumpy.core.multiarray\nscalar\nq\x00' + F8 + b'c_codecs\nencode\n' +
    text('ABCDEFGH') + text('latin1') + b'\x86R\x86q\x01](' +
    b'h\x00h\x01R' * 10**5 + b'e',
    # tensors without numbers
    b'ctorch._utils\n_rebuild_tensor_v2\nq\x00(' + STORAGE +
    b'K\x00K\x00\x85K\x01\x85\x89ccollections\nOrderedDict\n)Rtq\x01](' +
    b'h\x00h\x01R' * 10**5 + b'e',
    # containers and marks of a byte each
    b'](' + b'}' * 10**6 + b'e',
    b'(' * 10**6,
    # versions of layers that many models share
    b'](}q\x00(' + b''.join(
        text(f'layer{n}') + b'}' for n in range(10**3)) + b'u' +
    (b'ccollections\nOrderedDict\n)R}' + text('_metadata') + b'h\x00sb') *
    10**4 + b'e',
], ids=['set', 'Counter', 'Size', 'OrderedDict', 'bytes', 'scalars',
        'tensors', 'dicts', 'marks', 'versions'])
def test_little_asks_for_much_memory(tmp_path, pickled):
    file = program(tmp_path / 'evil.pth', pickled,
                   **{'data/0': struct.pack('<4f', 1, 2, 3, 4)})
    with pytest.raises(CheckpointError, match='evil.pth.*more memory'):
        read(file)


@pytest.mark.parametrize('told', [
    torch.ones(1).expand(5), torch.arange(4.).unfold(0, 2, 1),
    torch.ones(3, 1).expand(3, 2)])
def test_every_number_of_a_tensor_has_a_place_of_its_own(tmp_path, told):
    found = read(saved(tmp_path / 'a.pth', told))
    assert torch.equal(found, told) and found.is_contiguous()


def test_of_versions_only_numbers_are_kept(tmp_path):
    weights = nn.Linear(1, 1).state_dict()
    weights._metadata['']['assign_to_params_buffers'] = 1
    found = read(saved(tmp_path / 'a.pth', dict(ema_state_dict=weights)))
    assert found['ema_state_dict']._metadata == {'': dict(version=1)}


def test_the_programs_above_are_refused_for_what_is_wrong_in_them(tmp_path):
    numbers = {'data/0': struct.pack('<4f', 1, 2, 3, 4)}
    file = program(tmp_path / 'a.pth',
                   tensor(b'K\x02\x85', b'K\x02\x85', b'K\x01'), **numbers)
    assert read(file).tolist() == [2, 4]
    scalar = b'cnumpy.core.multiarray\nscalar\n(' + F8 + RAW8 + b'tR'
    value = read(program(tmp_path / 'b.pth', scalar))
    assert value == np.frombuffer(b'ABCDEF\0\0', 'f8')
    # a type of numbers whose state would make it one of objects
    objects = F8 + b'(K\x03' + text('|') + b'N}NK\x08K\x08K?tb'
    assert read(program(tmp_path / 'd.pth', objects)) == np.dtype('f8')
    deep = read(program(tmp_path / 'c.pth', b']' * 60 + b'a' * 59))
    assert str(deep) == '[' * 60 + ']' * 60


@pytest.mark.parametrize('shape, raw', [
    ((3, ), b'\x00' * 16), ((1, ), b'\x00' * 16), ((-2, ), b'\x00' * 16),
    ((2**62, 4), b''), ((2.0, ), b'\x00' * 16), ('ab', b'')])
def test_an_array_is_as_large_as_its_bytes(tmp_path, shape, raw):
    class Array:

        def __reduce__(self):
            made = np.zeros(2).__reduce__()
            return made[0], made[1], (1, shape, np.dtype('f8'), False, raw)

    with pytest.raises(CheckpointError, match='a.pth'):
        read(saved(tmp_path / 'a.pth', Array()))


@pytest.mark.parametrize('lengths', [(2, 3, 9), (3, 2, 9), (2, 2, 1)])
def test_a_record_of_losses_has_as_many_counts(tmp_path, lengths):
    logs, counts, length = lengths
    record = HistoryBuffer()
    record._log_history, record._count_history = np.ones(logs), np.ones(counts)
    record.max_length = length
    with pytest.raises(CheckpointError, match='record of losses'):
        read(saved(tmp_path / 'a.pth', record))


def test_a_record_brings_no_statistics_along(tmp_path):
    record = HistoryBuffer([1.], [1])
    record._statistics_methods = dict(mean=HistoryBuffer.max)
    loaded = read(saved(tmp_path / 'a.pth', record))
    assert 'statistics_methods' not in vars(loaded)
    assert HistoryBuffer._statistics_methods['mean'] is HistoryBuffer.mean


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


# --- a fuzzer ---------------------------------------------------------------


def outcome(content: bytes, folder) -> str:
    """Right or refused; nothing else may happen."""
    file = folder / 'fuzzed.pth'
    file.write_bytes(content)
    try:
        value = read(str(file))
    except CheckpointError as error:
        assert 'fuzzed.pth' in str(error)
        return 'refused'
    assert_plain(value)
    return 'right'


def assert_plain(value, depth=0):
    """Only what the docstring of `read` promises; all numbers can be read."""
    assert depth <= unpickling.DEPTH
    if isinstance(value, torch.Tensor):
        assert type(value) is torch.Tensor and value.layout is torch.strided
        value.clone()
    elif isinstance(value, (np.ndarray, np.generic)):
        assert value.dtype.kind in 'biuf'
        value.copy()
    elif isinstance(value, HistoryBuffer):
        assert_plain(value.data, depth + 1)
    elif isinstance(value, dict):
        for pair in value.items():
            assert_plain(pair, depth + 1)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            assert_plain(item, depth + 1)
    else:
        assert value is None or isinstance(
            value, (bool, int, float, complex, str, bytes, torch.dtype,
                    np.dtype))


WORDS = [
    *(b'c%s\n' % name.replace('.', '\n').encode() if name.count('.') == 1 else
      b'c%s\n%s\n' % tuple(part.encode() for part in name.rsplit('.', 1))
      for name in (*unpickling.MAKERS, *unpickling.NAMES,
                   *STORAGES, 'torch.float32', 'os.system')),
    *(op for op in Unpickler.OPCODES
      if op in b'tR)}](NbsuaeQ\x85\x86\x87\x88\x89\x81'),
    b'K\x00', b'K\x01', b'J\xff\xff\xff\xff', b'M\xff\xff', b'q\x00', b'h\x00',
    b'q\x01', b'h\x01', b'G?\xf0\0\0\0\0\0\0', F8, RAW8, STORAGE, RECONSTRUCT,
    tensor(b'K\x02\x85', b'K\x01\x85'),
    *map(text, ('storage', '0', 'cpu', 'latin1', 'mean', 'f4', 'O', '<'))
]
ROOTS = {}


def roots():
    """Checkpoints of both forms, of which bytes are changed."""
    if not ROOTS:
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(dict(training(), more=values()), stream,
                       _use_new_zipfile_serialization=zipped)
            ROOTS[zipped] = stream.getvalue()
    return ROOTS


# Where, how many bytes are taken out, and what is put in
EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 4),
              st.one_of(st.binary(max_size=4), st.sampled_from(WORDS))),
    min_size=1, max_size=8)


def edited(content: bytes, edits) -> bytes:
    for place, taken, put in edits:
        start = int(place * len(content))
        content = content[:start] + put + content[start + taken:]
    return content


def with_edits(zipped_and_edits) -> bytes:
    """A checkpoint with some bytes changed."""
    zipped, edits = zipped_and_edits
    return edited(roots()[zipped], edits)


def with_program(words_or_edits) -> bytes:
    """A whole zip around a program of these words, or one that is changed."""
    words, edits = words_or_edits
    pickled = b'\x80\x02' + b''.join(words) + b'.'
    if edits:
        with zipfile.ZipFile(io.BytesIO(roots()[True])) as archive:
            pickled = edited(archive.read('archive/data.pkl'), edits)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('archive/data.pkl', pickled)
        for key in range(40):
            archive.writestr(f'archive/data/{key}', bytes(96))
    return stream.getvalue()


FUZZERS = pytest.mark.parametrize('strategy, build', [
    (st.tuples(st.booleans(), EDITS), with_edits),
    (st.tuples(st.lists(st.sampled_from(WORDS), max_size=30),
               st.one_of(st.just([]), EDITS)), with_program),
], ids=['bytes', 'programs'])


def fuzz(folder, examples, strategy, build) -> Counter:
    counts: Counter = Counter()

    @settings(max_examples=examples, deadline=None, derandomize=True,
              database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(drawn):
        counts[outcome(build(drawn), folder)] += 1

    run()
    print(f'{build.__name__}: {dict(counts)}')
    return counts


@FUZZERS
def test_fuzzed_checkpoints_are_right_or_refused(tmp_path, strategy, build):
    counts = fuzz(tmp_path, 200, strategy, build)
    assert counts['right'] and counts['refused']


@pytest.mark.slow
@FUZZERS
def test_many_fuzzed_checkpoints_are_right_or_refused(tmp_path, strategy,
                                                      build):
    counts = fuzz(tmp_path, 5000, strategy, build)
    assert counts['right'] and counts['refused']

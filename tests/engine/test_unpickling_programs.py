"""Programs in a checkpoint, and what asks for much memory, are refused."""
import os
import pickle
import struct

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from pickled import F8, FORMS, RAW8, STORAGE, program, saved, tensor, text
from torch import nn

from mmpose_ssa.engine import unpickling
from mmpose_ssa.engine.unpickling import CheckpointError, read


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

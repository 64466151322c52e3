"""A checkpoint file read as data: nothing of it is run.

``torch.load`` unpickles, and unpickling calls what the file names. Even with
``weights_only`` it trusts sizes and dtypes, and before PyTorch 2.6 it could be
made to run code. Here a file is read in two steps that any PyTorch can do:

1. :mod:`.pickle_program` follows the pickled program, and makes only plain
   containers, numbers and text. A call stays a note: the name of what is to be
   called, with its arguments. A name that is not in `MAKERS` ends the reading.
2. The notes become tensors, numpy arrays and MMEngine's records of losses, by
   functions of this module that compare every size with the bytes there are.

Both forms of ``torch.save`` are read, the zip archive of today and the older
sequence of pickles. What both steps make is charged to one budget, some 32
times the file's size, before it is made.
"""
import io
import itertools
import math
import pickle
import zipfile
from collections import Counter, OrderedDict
from typing import Any, BinaryIO, Callable, Dict, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

from ..errors import RunError
from .pickle_program import (DTYPES, ENTRY, OBJECT, STORAGES, Budget, Call,
                             Name, Refused, Storage, Unpickler, check_key,
                             shown)

# PyTorch's own switch, heeded here on any of its versions
UNSAFE_LOAD = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'

# Containers in containers, further than which nothing is read
DEPTH = 64
# Bytes of memory charged for a tensor or an array, beside its numbers
TENSOR = 1000
# torch.save's older form begins with this number, and that of its version
LEGACY = (b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.', b'\x80\x02M\xe9\x03.')


class CheckpointError(RunError, pickle.UnpicklingError):
    """A checkpoint is refused; the message names the file and the remedy.

    Callers expect PyTorch's `UnpicklingError` or a ValueError: this is both.
    """


def read(file: str, device: Union[str, torch.device] = 'cpu') -> Any:
    """Read what ``torch.save`` wrote.

    Args:
        file: The file.
        device: Where the tensors shall be.

    Returns:
        Dicts, lists, tuples, sets, numbers, text, bytes, None, tensors, numpy
        arrays and :class:`HistoryBuffer`.

    Raises:
        OSError: If the file cannot be opened.
        CheckpointError: If it is damaged, or holds anything else.
    """
    with open(file, 'rb') as stream:
        try:
            form = _read_zip if stream.read(2) == b'PK' else _read_legacy
            return form(stream, device)
        except Refused as error:
            raise CheckpointError(
                f'{file} holds more than weights and training records '
                f'({error}); unpickling it could run its code. '
                f'If you trust its origin, set {UNSAFE_LOAD}=1 in the '
                'environment') from None
        except Exception as error:  # a damaged file raises anything
            reason = str(error).partition('\n')[0] or type(error).__name__
            raise CheckpointError(
                f'{file} cannot be read as a checkpoint: it is damaged or '
                'incomplete, or was not written by torch.save '
                f'({reason:.200})') from error


def _read_zip(stream: BinaryIO, device) -> Any:
    with zipfile.ZipFile(stream) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        program, = (name for name in entries if name.endswith('/data.pkl'))
        folder = program[:-len('data.pkl')]
        if folder + 'constants.pkl' in entries:
            raise Refused('a TorchScript archive')
        _check_entries(stream, entries.values())
        if folder + 'byteorder' in entries and \
                archive.read(folder + 'byteorder') != b'little':
            raise ValueError('its numbers are big-endian')
        budget = Budget(_size(stream))
        content = Unpickler(io.BytesIO(archive.read(program)), ALLOWED,
                            budget).load()

        def numbers(storage: Storage) -> Tensor:
            held = entries[f'{folder}data/{storage.key}'].file_size
            raw = torch.empty(held, dtype=torch.uint8)
            with archive.open(f'{folder}data/{storage.key}') as source:
                if held and source.readinto(raw.numpy()) != held:
                    raise ValueError(f'storage {storage.key} ends too early')
            return raw

        return Maker(numbers, budget, device).made(content)


def _check_entries(stream: BinaryIO, entries) -> None:
    """No bombs: nothing is packed, and no bytes are listed twice."""
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError('it is compressed, which torch.save never does')
    if sum(entry.file_size for entry in entries) > _size(stream):
        raise ValueError('its parts are larger than the file')


def _size(stream: BinaryIO) -> int:
    place = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(place)
    return size


def _read_legacy(stream: BinaryIO, device) -> Any:
    stream.seek(0)
    if tuple(stream.read(len(part)) for part in LEGACY) != LEGACY:
        raise ValueError('it does not begin as torch.save begins')
    budget = Budget(_size(stream))
    system = Unpickler(stream, ALLOWED, budget).load()
    if system['little_endian'] is not True:
        raise ValueError('its numbers are big-endian')
    unpickler = Unpickler(stream, ALLOWED, budget)
    content = unpickler.load()
    held = {}  # the numbers follow, in the order of their keys
    for key in Unpickler(stream, ALLOWED, budget).load():
        width = unpickler.storages[key].itemsize
        size = int.from_bytes(stream.read(8), 'little') * width
        if size > _size(stream) - stream.tell():
            raise ValueError(f'storage {key} ends too early')
        held[key] = torch.empty(size, dtype=torch.uint8)
        stream.readinto(held[key].numpy())
    return Maker(lambda storage: held[storage.key], budget,
                 device).made(content)


# --- the values -------------------------------------------------------------


class Maker:
    """Makes the values that the notes stand for.

    Args:
        numbers: From a storage to the bytes of it, (n,) uint8.
        budget: What the values are charged to.
        device: Where the tensors shall be.
    """

    def __init__(self, numbers: Callable[[Storage], Tensor], budget: Budget,
                 device) -> None:
        self.numbers, self.budget, self.device = numbers, budget, device
        self.done: Dict[int, Any] = {}
        self.storages: Dict[str, Tensor] = {}
        self.depth = 0

    def made(self, value: Any) -> Any:
        """The value with all that it contains; what is shared stays so."""
        if value is None or type(value) in (bool, int, float, str, bytes):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if self.depth == DEPTH:
            raise ValueError(f'it is nested deeper than {DEPTH} times, or '
                             'contains itself')
        self.budget.charge(OBJECT)
        self.depth += 1
        result = self.done[id(value)] = self._made(value)
        self.depth -= 1
        return result

    def _made(self, value: Any) -> Any:
        kind = type(value)
        if kind is Call:
            if value.name not in MAKERS:
                raise Refused(f'a call of {value.name}')
            return MAKERS[value.name](self, value)
        if kind is Name and value.text in DTYPES:
            return DTYPES[value.text]
        if kind in (list, tuple, set):
            return kind(self.made(item) for item in value)
        if kind not in (dict, OrderedDict):
            raise Refused(f'{shown(value)} as a value')
        result = kind((self.made(key), self.made(item))
                      for key, item in value.items())
        if hasattr(value, '_metadata'):
            result._metadata = self._versions(self.made(value._metadata))
        return result

    def _versions(self, metadata: Any) -> dict:
        """Of a model's layers by name; PyTorch obeys what else stands there.
        """
        right = isinstance(metadata, dict) and all(
            type(name) is str and isinstance(told, dict) and
            type(told.get('version', 0)) in (int, type(None))
            for name, told in metadata.items())
        if not right:
            raise ValueError('versions of layers that are not numbers')
        self.budget.charge(OBJECT * len(metadata))  # of each that shares it
        return type(metadata)(
            (name, {'version': told['version']} if told.get('version')
             is not None else {}) for name, told in metadata.items())

    def tensor(self, call: Call) -> Tensor:
        storage, start, size, stride = call.args[:4]
        size, stride = self.made(size), self.made(stride)
        if not isinstance(size, tuple) or not isinstance(stride, tuple) or \
                not len(size) == len(stride) <= 32:
            raise ValueError('a tensor without a valid size or stride')
        whole = all(type(number) is int and number >= 0
                    for number in (start, storage.size, storage.start, *size,
                                   *stride))
        if not whole:
            raise ValueError('a tensor whose size is not a whole number')
        if call.state is not None or any(call.args[6:]):
            raise Refused('a tensor with additional state')
        elements = math.prod(size)
        last = start + sum((n - 1) * step for n, step in zip(size, stride))
        if elements and last >= storage.size:
            raise ValueError(f'a tensor of size {size} reaches beyond its '
                             f'{storage.size} numbers')
        self.budget.charge(TENSOR + elements * storage.dtype.itemsize)
        flat = self._flat(storage)
        made = flat.as_strided(size, stride, storage.start + start)
        return made.contiguous() if _overlaps(size, stride) else made

    def _flat(self, storage: Storage) -> Tensor:
        """All numbers of a storage, (n,)."""
        if storage.key not in self.storages:
            raw = self.numbers(storage)
            # a byte of 2 is no truth value
            flat = raw.ne(0) if storage.dtype is torch.bool \
                else raw.view(storage.dtype)
            self.storages[storage.key] = flat.to(self.device)
        flat = self.storages[storage.key]
        if flat.dtype is not storage.dtype or \
                flat.numel() < storage.start + storage.size:
            raise ValueError(f'storage {storage.key} is smaller than declared')
        return flat

    def parameter(self, call: Call) -> Tensor:
        return self.made(call.args[0])

    def dtype(self, call: Call) -> np.dtype:
        name = call.args[0]
        order = call.state[1] if call.state else '|'
        found = np.dtype(name) if name in NUMBERS else None
        if found is None or order not in ('|', '<', '>', '='):
            raise Refused(f'numpy numbers of type {shown(name)}')
        return found.newbyteorder(order)

    def array(self, call: Call) -> np.ndarray:
        if call.args[0] != Name('numpy.ndarray'):
            raise Refused(f'an array of class {shown(call.args[0])}')
        _, shape, dtype, fortran, raw = call.state
        dtype, raw = self.made(dtype), self.made(raw)
        if len(shape) > 32 or not all(
                type(n) is int and n >= 0 for n in shape) or \
                math.prod(shape) * dtype.itemsize != len(raw):
            raise ValueError('an array whose shape is not that of its '
                             f'{len(raw)} bytes')
        return self._numbers(raw, dtype).reshape(
            shape, order='F' if fortran else 'C')

    def scalar(self, call: Call) -> np.generic:
        dtype, raw = self.made(call.args[0]), self.made(call.args[1])
        number, = self._numbers(raw, dtype)
        return number

    def _numbers(self, raw: bytes, dtype: np.dtype) -> np.ndarray:
        """(n,) of bytes, which are checked to be so many and truth values."""
        if type(raw) is not bytes or not isinstance(dtype, np.dtype):
            raise ValueError('an array without bytes or type')
        self.budget.charge(TENSOR + len(raw))
        numbers = np.frombuffer(bytearray(raw), dtype)
        return numbers.view(np.uint8) != 0 if dtype.kind == 'b' else numbers

    def encoded(self, call: Call) -> bytes:
        text, encoding = call.args
        if encoding != 'latin1':  # protocol 2 has bytes only as such a call
            raise Refused(f'text encoded as {shown(encoding)}')
        self.budget.charge(len(text))
        return text.encode('latin1')

    def history(self, call: Call) -> HistoryBuffer:
        """A record of losses, with MMEngine's own statistics alone."""
        state = call.state or {}
        logs, counts = (self.made(state[name]) for name in (
            '_log_history', '_count_history'))
        length = state['max_length']
        if type(length) is not int or length < len(logs) or \
                logs.shape != counts.shape or logs.ndim != 1:
            raise ValueError('a record of losses whose lengths differ')
        self.budget.charge(TENSOR + logs.nbytes + counts.nbytes)
        return HistoryBuffer(logs, counts, length)

    def function(self, call: Call) -> None:
        owner, name = call.args
        if type(owner) is not Name or type(name) is not str or \
                name not in FUNCTIONS.get(owner.text, ()):
            raise Refused(f'attribute {shown(name)} of {shown(owner)}')

    def collection(self, call: Call) -> Any:
        kind = COLLECTIONS[call.name]
        args = [self.made(argument) for argument in call.args]
        if not all(type(item) in (int, float, list, tuple, dict)
                   for item in args) or call.state is not None:
            raise Refused(f'{call.name} of {len(args)} arguments')
        if kind is bytes and args:  # bytes(n) is as large as n says
            raise Refused('bytes that are not told')
        self.budget.charge(ENTRY * sum(
            len(item) for item in args if hasattr(item, '__len__')))
        if kind in (set, Counter):
            for key in itertools.chain(*args):
                check_key(key)
        return kind(*args)


def _overlaps(size: tuple, stride: tuple) -> bool:
    """Whether a tensor may have several elements in one place."""
    end = 0
    for step, n in sorted(zip(stride, size)):
        if n > 1:
            if step <= end:
                return True
            end += (n - 1) * step
    return False


HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'
# Functions that MMEngine names in checkpoints; they are read as None
FUNCTIONS = {
    HISTORY: ('min', 'max', 'current', 'mean'),
    ONE_CYCLE: ('_annealing_cos', '_annealing_linear')}
NUMBERS = ('b1', 'u1', 'u2', 'u4', 'u8', 'i1', 'i2', 'i4', 'i8', 'f2', 'f4',
           'f8')
COLLECTIONS: Dict[str, Callable] = {
    'builtins.bytes': bytes,
    'builtins.complex': complex,
    'builtins.set': set,
    'collections.Counter': Counter,
    'torch.Size': lambda *sizes: torch.Size(*sizes),
}
# What a file may name, beside types of numbers
NAMES = ('collections.OrderedDict', 'numpy.ndarray', ONE_CYCLE)
MAKERS: Dict[str, Callable[[Maker, Call], Any]] = {
    'torch._utils._rebuild_tensor': Maker.tensor,
    'torch._utils._rebuild_tensor_v2': Maker.tensor,
    'torch._utils._rebuild_parameter': Maker.parameter,
    'numpy.dtype': Maker.dtype,
    'numpy.core.multiarray._reconstruct': Maker.array,
    'numpy.core.multiarray.scalar': Maker.scalar,
    '_codecs.encode': Maker.encoded,
    HISTORY: Maker.history,
    'builtins.getattr': Maker.function,
    **{name: Maker.collection for name in COLLECTIONS},
}
ALLOWED = frozenset((*MAKERS, *NAMES, *DTYPES, *STORAGES))

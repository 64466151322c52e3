"""The first step of reading a checkpoint: its pickled program, not run.

``torch.save`` writes a program of pickle's instructions. :class:`Unpickler`
follows it and makes plain containers, numbers and text. Where the program
calls a function, it leaves a note: :class:`Call`, :class:`Name` or
:class:`Storage`. :mod:`.unpickling` turns the notes into values.

A few bytes of a program can ask for much memory, for they may name what was
made before. So all that is made is charged to one :class:`Budget`.
"""
import pickle
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Collection, Dict, NamedTuple

import torch

# A key may be a tuple of so few, and a file may have so many: unlike texts,
# tuples can be made to hash alike
KEY_LENGTH, TUPLE_KEYS = 4, 1000
# Bytes of memory charged for a container, call or mark, and for each entry of
# a container that is copied
OBJECT, ENTRY = 200, 100

DTYPES = {
    f'torch.{name}': getattr(torch, name)
    for name in ('bool', 'uint8', 'int8', 'int16', 'int32', 'int64', 'float16',
                 'bfloat16', 'float32', 'float64', 'complex64', 'complex128')
}
STORAGES = {
    f'torch.{kind}Storage': DTYPES[f'torch.{name}']
    for kind, name in dict(
        Bool='bool', Byte='uint8', Char='int8', Short='int16', Int='int32',
        Long='int64', Half='float16', BFloat16='bfloat16', Float='float32',
        Double='float64', ComplexFloat='complex64',
        ComplexDouble='complex128').items()
}


class Budget:
    """The memory that a file may take.

    Args:
        size: Of the file in bytes. 64 MiB are free, for small files.
    """

    FREE, TIMES = 2**26, 32

    def __init__(self, size: int) -> None:
        self.left = self.FREE + self.TIMES * size

    def charge(self, count: int) -> None:
        """Take so many bytes of it, before they are used.

        Raises:
            ValueError: If there are not so many left.
        """
        self.left -= count
        if self.left < 0:
            raise ValueError(f'it asks for more memory than {self.TIMES} '
                             'times its size')


class Refused(Exception):
    """Something that is more than data."""


def shown(value: Any) -> str:
    """A value of unknown origin in a message: short, whatever it is."""
    if isinstance(value, Name):
        return shown(value.text)[1:-1]
    if type(value) is str:
        return repr(value[:80])
    if value is None or type(value) in (bool, int, float):
        return f'{value!r:.80}'
    return f'a {type(value).__name__}'


class Name(NamedTuple):
    """What a file calls by a name."""
    text: str


class Call:
    """A call that a file asks for, and the state that it sets afterwards."""

    def __init__(self, name: str, args: tuple) -> None:
        self.name, self.args = name, args
        self.state: Any = None


class Storage(NamedTuple):
    """Where the numbers of a tensor are, or its view's in the older form."""
    dtype: torch.dtype
    key: str
    size: int
    start: int = 0  # of a view, in elements


class Unpickler(pickle._Unpickler):
    """Follows a program without calling anything.

    Python's own machine, written in Python, with the instructions that
    ``torch.save`` uses and no other. The items on its stack are plain, or
    notes, on which no instruction but the ones below has an effect.

    Args:
        stream: Where the program begins.
        allowed: What it may name.
        budget: What its objects are charged to.
    """

    OPCODES = [
        pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.NEWOBJ,
        pickle.REDUCE, pickle.BUILD, pickle.BINPERSID, pickle.BINPUT,
        pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.NONE,
        pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1,
        pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE,
        pickle.SHORT_BINSTRING, pickle.EMPTY_TUPLE, pickle.EMPTY_LIST,
        pickle.EMPTY_DICT, pickle.TUPLE, pickle.TUPLE1,
        pickle.TUPLE2, pickle.TUPLE3, pickle.APPEND, pickle.APPENDS,
        pickle.SETITEM, pickle.SETITEMS
    ]
    dispatch = {op[0]: pickle._Unpickler.dispatch[op[0]] for op in OPCODES}

    def __init__(self, stream: BinaryIO, allowed: Collection[str],
                 budget: Budget) -> None:
        super().__init__(stream, encoding='utf-8')
        self.allowed, self.budget = allowed, budget
        self.storages: Dict[str, torch.dtype] = {}
        self.tuples = 0

    def _key(self, key: Any) -> Any:
        check_key(key)
        self.tuples += type(key) is tuple
        if self.tuples > TUPLE_KEYS:
            raise ValueError(f'more than {TUPLE_KEYS} tuples as keys')
        return key

    def find_class(self, module: str, name: str) -> Name:
        if module == '__builtin__':  # as protocol 2 says it
            module = 'builtins'
        text = f'{module}.{name}'.replace('numpy._core', 'numpy.core')
        if text not in self.allowed:
            raise Refused(text)
        return Name(text)

    def load_reduce(self) -> None:
        args, called = self.stack.pop(), self.stack.pop()
        if type(called) is not Name or type(args) is not tuple:
            raise Refused('a call of what another call gave')
        # made at once, for the program fills it
        if called.text == 'collections.OrderedDict':
            pairs, = args or ([], )
            self.budget.charge(ENTRY * len(pairs))
            self.append(OrderedDict(
                (self._key(key), value) for key, value in pairs))
        else:
            self.append(Call(called.text, args))

    def load_build(self) -> None:
        state, changed = self.stack.pop(), self.stack[-1]
        if type(changed) is OrderedDict:  # the versions of a model's layers
            changed._metadata = state['_metadata']
        elif type(changed) is Call and changed.state is None:
            changed.state = state
        else:
            raise Refused('a state for what has none')

    def load_setitem(self) -> None:
        self._key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        for key in self.stack[::2]:  # since the mark
            self._key(key)
        super().load_setitems()

    def load_long1(self) -> None:
        length = self.read(1)[0]
        if length > 9:  # beyond 64 bits: such can be made to hash alike
            raise ValueError('a number of more than 64 bits')
        self.append(pickle.decode_long(self.read(length)))

    dispatch[pickle.NEWOBJ[0]] = dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.LONG1[0]] = load_long1

    def persistent_load(self, reference: tuple) -> Storage:
        kind, name, key, _, size, *view = reference
        dtype = STORAGES[name.text]
        if kind != 'storage' or type(key) is not str or type(size) is not int:
            raise ValueError('a storage that is not told as torch.save does')
        self.storages[key] = dtype
        if view and view[0] is not None:  # of the older form
            _, start, size = view[0]
            return Storage(dtype, key, size, start)
        return Storage(dtype, key, size)


def check_key(key: Any) -> None:
    """Refuse to hash what takes long or is nested: that is done in C."""
    items = key if type(key) is tuple else (key, )
    if len(items) > KEY_LENGTH or not all(
            item is None or type(item) in (str, int, bool, float)
            for item in items):
        raise ValueError(f'{shown(key)} as a key')


def _charged(load: Callable) -> Callable:
    def load_charged(self: Unpickler) -> None:
        self.budget.charge(OBJECT)
        load(self)

    return load_charged


for _op in (pickle.MARK, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.TUPLE,
            pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.REDUCE,
            pickle.NEWOBJ, pickle.BINPERSID, pickle.LONG_BINPUT):
    Unpickler.dispatch[_op[0]] = _charged(Unpickler.dispatch[_op[0]])

"""Whatever a checkpoint holds, it is read as data or refused."""
import io
import zipfile
from collections import Counter

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from pickled import (F8, RAW8, RECONSTRUCT, STORAGE, tensor, text, training,
                     values)

from mmpose_ssa.engine import unpickling
from mmpose_ssa.engine.pickle_program import STORAGES, Unpickler
from mmpose_ssa.engine.unpickling import CheckpointError, read


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

"""Checkpoints as PyTorch writes them, and as nobody should."""
import math
import struct
import zipfile
from collections import Counter, OrderedDict

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import nn

from mmpose_ssa.engine import unpickling
from mmpose_ssa.engine.pickle_program import DTYPES

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

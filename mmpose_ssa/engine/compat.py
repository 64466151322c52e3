"""MMPose without compiled mmcv operators; checkpoints on PyTorch >= 2.6.

Two obstacles of a fresh machine, both removed on import of the package:

1. MMPose 1.3.2 imports ``mmcv.ops``, which imports the compiled ``mmcv._ext``.
   Where that is absent (``mmcv-lite``), a stand-in takes its place. Its
   operators raise when they are called, except deformable convolution, which
   `comparisons` adds, so that DEKR trains and tests. A real ``mmcv._ext`` is
   left untouched.
2. PyTorch >= 2.6 unpickles only what is allow-listed, and MMEngine 0.10.7
   lists nothing: it cannot read its own training checkpoints. What they hold
   is listed here and nothing more. An older PyTorch is left as it is.
"""
import contextlib
import importlib.machinery
import importlib.util
import pickle
import sys
import types

import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version
from torch.utils import model_zoo

# PyTorch's own switch: it applies wherever `weights_only` is not passed.
UNSAFE_LOAD = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'

# --- 1. mmcv's operators ----------------------------------------------------


def ensure_mmcv_ext() -> bool:
    """Registers a stand-in for ``mmcv._ext`` where mmcv was not compiled.

    Returns:
        bool: Whether the stand-in is in use.
    """
    module = sys.modules.get('mmcv._ext')
    if module is None and importlib.util.find_spec('mmcv._ext') is None:
        module = sys.modules['mmcv._ext'] = OperatorStandIn('mmcv._ext')
    return isinstance(module, OperatorStandIn)


class OperatorStandIn(types.ModuleType):
    """A module with every operator mmcv asks for; most raise when called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 'Stand-in for the compiled operators of mmcv.')
        self.__file__ = __file__
        # Without a loader, mmcv's own `check_ops_exist` stays truthful.
        self.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)

    def __getattr__(self, name: str):
        # Dunder names are Python's questions (`__path__`, ...), no operators.
        if name.startswith('__'):
            raise AttributeError(
                f'module {self.__name__!r} has no attribute {name!r}')

        def operator(*args, **kwargs):
            raise NotImplementedError(
                f"the operator '{name}' needs mmcv's compiled extension, "
                'which is not installed: replace mmcv-lite by a full mmcv '
                '(`pip uninstall mmcv-lite`, then `mim install mmcv==2.1.0`)')

        operator.__name__ = name
        return operator


# --- 2. Checkpoints ---------------------------------------------------------


def allow_mmengine_checkpoints() -> None:
    """Lets PyTorch >= 2.6 read MMEngine's checkpoints with ``weights_only``.

    Local files and downloads alike; a refused one is reported with the
    environment variable that turns the check off. Does nothing on an older
    PyTorch, which unpickles whatever it is given.
    """
    if digit_version(torch.__version__) < digit_version('2.6'):
        return
    torch.serialization.add_safe_globals(_checkpoint_globals())
    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=load_from_local, force=True)
    mmengine_checkpoint.load_url = _load_url


def _checkpoint_globals() -> list:
    """What MMEngine's checkpoints hold beside tensors and plain containers.

    The scalars' history (HistoryBuffer), numpy arrays and scalars in it and in
    the data set's meta information. Numpy 2 moved ``numpy.core``; a checkpoint
    of either numpy is to be read by both.
    """
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.empty(0).__reduce__()[0]
    dtypes = [
        type(np.dtype(name))
        for name in ('bool', 'uint8', 'int32', 'int64', 'float32', 'float64')
    ]
    return [
        HistoryBuffer, np.ndarray, np.dtype, *dtypes,
        bytes,  # of an empty array: pickled as a call
        (_history_buffer_method, 'builtins.getattr'),
        *((function, f'numpy.{core}.multiarray.{name}')
          for core in ('core', '_core')
          for function, name in ((scalar, 'scalar'),
                                 (reconstruct, '_reconstruct')))
    ]


def _history_buffer_method(owner: object, name: str):
    """What a checkpoint's ``getattr`` may do: name a default statistic."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current',
                                                  'mean'):
        raise pickle.UnpicklingError(
            f'a checkpoint may not ask for attribute {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)


# The name is shown: MMEngine logs 'Loads checkpoint by local backend'.
def load_from_local(filename: str, map_location=None) -> dict:
    """MMEngine's loader of local files, with a cure in its refusal."""
    with _naming_the_switch(filename):
        return mmengine_checkpoint.load_from_local(filename, map_location)


def _load_url(url: str, *args, **kwargs) -> dict:
    # PyTorch's default for downloads still is a full unpickling; None stands
    # for the default of `torch.load`, which heeds UNSAFE_LOAD.
    with _naming_the_switch(url):
        return model_zoo.load_url(url, *args, weights_only=None, **kwargs)


@contextlib.contextmanager
def _naming_the_switch(filename: str):
    try:
        yield
    except pickle.UnpicklingError as error:
        reason = str(error).rpartition('WeightsUnpickler error: ')[2]
        raise pickle.UnpicklingError(
            f'{filename} holds more than weights and training records, and '
            'unpickling it could run code of its author. If you trust its '
            f'origin, load it with {UNSAFE_LOAD}=1 in the environment. '
            f'PyTorch said: {reason}') from error


ensure_mmcv_ext()
allow_mmengine_checkpoints()

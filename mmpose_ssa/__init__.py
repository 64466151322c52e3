"""Supervised self-attention (SSA) for bottom-up pose estimation, in MMPose.

Importing the package costs nothing: what it offers is imported when it is
asked for. A config names :mod:`mmpose_ssa.register` in ``custom_imports``, so
that MMPose finds the classes.
"""
import importlib
from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from .apis.inferencer import SSAInferencer as SSAInferencer

__version__ = '0.1.0'

# Public name -> its module
_PUBLIC = {'SSAInferencer': '.apis.inferencer'}


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_PUBLIC[name], __name__), name)


def __dir__() -> List[str]:
    return sorted([*globals(), *_PUBLIC])

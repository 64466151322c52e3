"""MMPose without compiled mmcv operators.

MMPose 1.3.2 imports ``mmcv.ops``, which imports the compiled ``mmcv._ext``.
Where that is absent (``mmcv-lite``), a stand-in takes its place. Its operators
raise when they are called, except deformable convolution, which `comparisons`
adds, so that DEKR trains and tests. A real ``mmcv._ext`` is left untouched.
"""
import importlib.machinery
import importlib.util
import sys
import types


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

"""MMPose without compiled operators, and what training needs beside it.

Imported before anything that needs MMPose, so that a missing package is
answered with the commands that install it.
"""
from importlib.util import find_spec

from .quiet import silence_foreign_warnings

NEEDED = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpose')

silence_foreign_warnings()  # before the imports that warn

_missing = [name for name in NEEDED if find_spec(name) is None]
if _missing:
    raise ImportError(
        f'this part of mmpose_ssa needs {", ".join(_missing)}: run `make '
        'setup`, or `pip install -r requirements/runtime.txt` and then `pip '
        'install --no-deps -r requirements/mmpose.txt -r '
        'requirements/mmcv.txt`')

"""MMPose without compiled operators, and what training needs beside it.

Imported before anything that needs MMPose, so that a missing package is
answered with the commands that install it.
"""
import warnings
from importlib.util import find_spec

NEEDED = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpose')

# Said by other packages of themselves: nothing that a user could act on
for _message in ('pkg_resources is deprecated', 'The metainfo config file'):
    warnings.filterwarnings('ignore', message=_message)

_missing = [name for name in NEEDED if find_spec(name) is None]
if _missing:
    raise ImportError(
        f'this part of mmpose_ssa needs {", ".join(_missing)}: run `make '
        'setup`, or `pip install -r requirements/runtime.txt` and then `pip '
        'install --no-deps -r requirements/mmpose.txt -r '
        'requirements/mmcv.txt`')

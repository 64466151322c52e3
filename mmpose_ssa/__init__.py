"""Supervised self-attention for bottom-up pose estimation, in MMPose.

``custom_imports=dict(imports=['mmpose_ssa'], allow_failed_imports=False)`` is
all that a config needs. Without MMPose the pure rooms still import
(``drawn_*``, ``frames``, ``grouping``, ``heatmaps``, ``merging``,
``person_masks``, ``refinement``, ``visualizer``, ``keypoint_results``,
``oks_evaluation``, ``keypoint_errors``, ``error_diagnosis``,
``result_format``, ``person_places``, ``comparison_table``); the others then
say what is missing and how to install it.
"""
import sys
from importlib import import_module
from importlib.util import find_spec

__version__ = '0.1.0'

NEEDED = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpose')
# The rooms that need all of them. `compat` makes the others importable; the
# rest of these register what configs name, and so are imported with the
# package.
REGISTERED = ('compat', 'reproducibility', 'strict_testing', 'transforms',
              'datasets', 'codec', 'encoder', 'losses', 'head', 'estimator',
              'ceiling', 'metrics', 'optim', 'training_budget', 'comparisons')
ROOMS = REGISTERED + (
    'deformable', 'candidates', 'refiner', 'folding', 'inferencer',
    'complexity', 'published_weights', 'keypoint_figures', 'refined_results',
    'machine', 'stopwatch', 'benchmarks', 'comparison_run')


class _InstallationHint:
    """Answers an import of one of the rooms with what is missing."""

    def __init__(self, missing: list) -> None:
        self.missing = missing

    def find_spec(self, fullname: str, path=None, target=None) -> None:
        package, _, room = fullname.rpartition('.')
        if package == __name__ and room in ROOMS:
            raise ImportError(
                f'{fullname} needs {", ".join(self.missing)}: run `make '
                'setup`, or `pip install -r requirements/runtime.txt` and '
                'then `pip install --no-deps -r requirements/mmpose.txt '
                '-r requirements/mmcv.txt`')


def __getattr__(name: str):
    if name in ROOMS:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


_missing = [name for name in NEEDED if find_spec(name) is None]
if _missing:
    sys.meta_path.insert(0, _InstallationHint(_missing))
else:
    for _room in REGISTERED:
        import_module(f'{__name__}.{_room}')

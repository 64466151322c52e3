"""Imports every module that registers something with MMPose.

What a config needs: ``custom_imports = dict(imports=['mmpose_ssa.register'],
allow_failed_imports=False)``.

It also sets ``sys.excepthook``: a run that ends in an error of ours shows the
error's text and no traceback, see :func:`.errors.show_text_alone`.
"""
from .engine import compat  # noqa: F401  before MMPose  # isort: split

from . import comparisons  # noqa: F401
from .apis import local_visualizer, mmpose_results  # noqa: F401
from .datasets import coco, loading, transforms  # noqa: F401
from .engine import (balance, long_runs, optim, reproducibility,  # noqa: F401
                     resuming, strict_testing, training_budget)
from .errors import show_text_alone
from .evaluation import coco_metric, mask_metric  # noqa: F401
from .models import (codec, encoder, estimator, head, losses,  # noqa: F401
                     timm_backbone)

show_text_alone()

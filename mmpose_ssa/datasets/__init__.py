"""COCO annotations, checked; augmentation and person masks."""
from ..engine import compat  # noqa: F401  before MMPose

"""Mask AP, the oracle, parameters and multiply-adds."""
from ..engine import compat  # noqa: F401  before MMPose

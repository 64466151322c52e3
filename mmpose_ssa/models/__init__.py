"""Encoder, head, losses, codec, estimator and refiner of SSA."""
from ..engine import compat  # noqa: F401  before MMPose

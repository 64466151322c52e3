"""Associative embedding and HigherHRNet, to be trained and tested beside SSA.

Both find persons by tags: with every keypoint the network predicts a number
that is alike within a person. HigherHRNet adds a second, higher resolution.
"""
from . import ceiling, codec, estimator, head, losses  # noqa: F401 (registers)

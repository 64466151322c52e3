"""Other bottom-up methods, to be trained and tested beside SSA.

Associative embedding and HigherHRNet find persons by tags: the network gives
every keypoint a number that is similar within a person. HigherHRNet adds a
second, higher resolution. DEKR and CID are MMPose's, with two faults fixed.
"""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

# These register with MMPose
from . import (codec, dekr_head, head, losses, masked_codecs,  # noqa: F401
               operators)

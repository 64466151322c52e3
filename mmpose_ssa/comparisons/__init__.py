"""Other bottom-up methods, to be trained and tested beside SSA.

Associative embedding and HigherHRNet find persons by tags: with every keypoint
the network predicts a number that is alike within a person. HigherHRNet adds a
second, higher resolution. DEKR and CID are MMPose's, mended.
"""
from ..engine import compat  # noqa: F401  before MMPose  # isort: split

from . import (codec, dekr_head, head, losses, masked_codecs,  # noqa: F401
               operators)

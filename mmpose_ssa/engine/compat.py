"""What has to be done before MMPose is imported, done on import.

- :mod:`.quiet`: warnings of other packages that tell a user nothing.
- :mod:`.operators`: MMPose without the compiled operators of mmcv.
- :mod:`.checkpoints`: MMEngine reads and writes checkpoints by our functions.
"""
from .quiet import silence_foreign_warnings  # first: imports warn

silence_foreign_warnings()

from .checkpoints import install  # noqa: E402
from .operators import ensure_mmcv_ext  # noqa: E402

ensure_mmcv_ext()
install()

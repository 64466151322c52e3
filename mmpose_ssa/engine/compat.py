"""What has to be done before MMPose is imported, done on import.

- :mod:`.operators`: MMPose without the compiled operators of mmcv.
- :mod:`.checkpoints`: MMEngine reads and writes checkpoints by our functions.
"""
from .checkpoints import install
from .operators import ensure_mmcv_ext

ensure_mmcv_ext()
install()

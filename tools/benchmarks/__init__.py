"""What `tools/benchmark.py` measures, one section of tables a file."""
import mmpose_ssa.engine  # noqa: F401  before MMEngine, for its warnings

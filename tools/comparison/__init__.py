"""What `tools/compare.py` does: a plan, the run of each config, one table."""
import mmpose_ssa.engine  # noqa: F401  before MMEngine, for its warnings

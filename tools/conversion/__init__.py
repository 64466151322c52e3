"""Published weights of other projects under the names of our models."""
import mmpose_ssa.engine  # noqa: F401  before MMEngine, for its warnings

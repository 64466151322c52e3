"""Errors whose text says all that a user needs."""
import sys


class RunError(ValueError):
    """A training or a test cannot go on, or not begin; its text says why.

    After :func:`show_text_alone` the run ends with that one paragraph, which
    says what happened and what to do, and not with the fifty lines of the
    calls that led there.
    """


def show_text_alone() -> None:
    """Show a :class:`RunError` that nothing catches as its text alone.

    Other errors are shown as before. Changes ``sys.excepthook`` of the whole
    process: called by :mod:`mmpose_ssa.register`, which runs import.
    """
    otherwise = sys.excepthook

    def show(kind, error, trace) -> None:
        if isinstance(error, RunError):
            print(f'\n{kind.__name__}: {error}', file=sys.stderr)
        else:
            otherwise(kind, error, trace)

    sys.excepthook = show

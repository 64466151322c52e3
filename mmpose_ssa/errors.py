"""Errors whose text says all that a user needs."""
import errno
import sys

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunError(ValueError):
    """A training or a test cannot start or continue; its text says why.

    After :func:`show_text_alone` the run ends with that one paragraph, which
    says what happened and what to do, and not with the fifty lines of the
    calls that led there.
    """


def show_text_alone() -> None:
    """Show a :class:`RunError` that nothing catches as its text alone.

    Other errors are shown as before; below that of a full disk stands what to
    do. Changes ``sys.excepthook`` of the whole process: called by
    :mod:`mmpose_ssa.register`, which runs import.
    """
    otherwise = sys.excepthook

    def show(kind, error, trace) -> None:
        if isinstance(error, RunError):
            print(f'\n{kind.__name__}: {error}', file=sys.stderr)
            return
        otherwise(kind, error, trace)
        if isinstance(error, OSError) and error.errno in FULL:
            print(f'\n{error.filename or "A file"} cannot be written because '
                  'the disk is full: make space. The checkpoints so far are '
                  'whole: continue a training with --resume.',
                  file=sys.stderr)

    sys.excepthook = show

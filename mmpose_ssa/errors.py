"""Errors whose message is all that a user needs."""
import errno
import sys

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunError(ValueError):
    """A training or a test cannot start or continue; the message says why.

    After :func:`show_text_alone` the run ends with only this message, which
    says what happened and what to do, and not with a traceback of fifty lines.
    """


def show_text_alone() -> None:
    """Show only the message of a :class:`RunError` that nothing catches.

    Other errors are shown as before; a full disk gets an additional hint. This
    changes ``sys.excepthook`` of the whole process. It is called by
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
                  'the disk is full: free some space. Earlier checkpoints are '
                  'complete: continue a training with --resume.',
                  file=sys.stderr)

    sys.excepthook = show

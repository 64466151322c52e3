"""Errors whose text says all that a user needs."""
import sys


class ToldError(ValueError):
    """An error that is shown as its text alone where nothing catches it.

    A training ends with one paragraph that says what happened and what to do,
    not with the fifty lines of the calls that led there.
    """


def _show(kind, error, trace, otherwise=sys.excepthook) -> None:
    if isinstance(error, ToldError):
        print(f'\n{kind.__name__}: {error}', file=sys.stderr)
    else:
        otherwise(kind, error, trace)


sys.excepthook = _show

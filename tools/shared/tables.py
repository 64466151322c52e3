"""Tables in markdown."""
from typing import Sequence

from tabulate import tabulate


def markdown_table(columns: Sequence[str],
                   rows: Sequence[Sequence[object]]) -> str:
    """A table whose first column is text and whose others are numbers.

    Args:
        columns: Their headings.
        rows: As many cells each, which are not formatted further.
    """
    return tabulate(rows, columns, tablefmt='pipe', disable_numparse=True,
                    colalign=('left', *['right'] * (len(columns) - 1)))

"""Tables of measurements, and the document that holds them."""
import re
from typing import List, NamedTuple, Sequence, Union

from shared.tables import markdown_table

Cell = Union[str, float, int, None]


class Table(NamedTuple):
    """What was measured in one run.

    Attributes:
        title: Its heading.
        note: Sentences above it: what was measured, and how.
        columns: Their headings, the first that of the rows' names.
        rows: As many cells each; floats get three digits, None a dash.
    """
    title: str
    note: str
    columns: Sequence[str]
    rows: List[Sequence[Cell]]


def markdown(table: Table) -> str:
    """The table with its heading and note, as markdown."""
    body = markdown_table(
        table.columns, [[_text(cell) for cell in row] for row in table.rows])
    return f'### {table.title}\n\n{table.note}\n\n{body}\n'


def _text(cell: Cell) -> str:
    if cell is None:
        return '–'
    if isinstance(cell, float):
        digits = f'{cell:.3g}'
        return f'{cell:,.0f}' if 'e' in digits else digits
    return str(cell)


def replaced(document: str, section: str, text: str) -> str:
    """A document with new tables in a section; its other text stays.

    The tables stand between two comments, which are appended where the
    document has none yet.

    Args:
        document: Markdown.
        section: Its name.
        text: The new tables.
    """
    begin, end = (f'<!-- {section}: {side} -->' for side in (
        'measured by tools/benchmark.py', 'end'))
    block = f'{begin}\n\n{text.strip()}\n\n{end}'
    found = re.compile(f'{re.escape(begin)}.*?{re.escape(end)}', re.DOTALL)
    if found.search(document):
        return found.sub(lambda _: block, document)
    return f'{document.rstrip()}\n\n{block}\n'.lstrip()

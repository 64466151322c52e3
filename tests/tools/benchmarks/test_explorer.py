"""The section on the explorer."""
import pytest
from benchmarks.report import markdown
from shared.browser import EXECUTABLE

pytestmark = [
    pytest.mark.usefixtures('mmpose'),
    pytest.mark.skipif(EXECUTABLE is None,
                       reason='needs Chromium, to open the page')]


def test_size_opening_and_moves():
    from benchmarks import explorer
    table, = explorer.measure(quick=True)
    (name, size, megabytes, opened, move, frame, slow, *_), = table.rows
    assert (name, size) == ('`demo`', '160²')
    assert .1 < megabytes < 8 and 0 < opened < 60
    assert 0 < move < 5000 and 0 < frame <= slow
    assert '`demo`' in markdown(table)

"""The notebook's cells run, one after the other."""
import json

import pytest
from factories import ROOT

pytestmark = pytest.mark.usefixtures('mmpose')


def test_the_cells_run_and_print(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    notebook = json.loads((ROOT / 'docs/tutorial.ipynb').read_text())
    cells = [cell for cell in notebook['cells']
             if cell['cell_type'] == 'code']
    assert len(cells) >= 6
    assert all(cell['outputs'] == [] for cell in cells)  # none are kept
    names: dict = {}
    printed = []
    for cell in cells:
        exec(compile(cell['source'], 'cell', 'exec'), names)
        printed.append(capsys.readouterr().out)
    assert printed[0] == '3 persons\n'
    assert all(printed)
    assert 'sum 1.0' in printed[3]
    ours, paper = printed[5].splitlines()
    assert sum(map(int, ours.split('[')[1].rstrip(']').split())) > sum(
        map(int, paper.split('[')[1].rstrip(']').split()))

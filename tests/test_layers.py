"""Imports run down only, from the command line to the decoding."""
import ast
from functools import cache
from graphlib import TopologicalSorter

import pytest
from factories import ROOT

PACKAGE = ROOT / 'mmpose_ssa'
MODULES = {'.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts
                    ).removesuffix('.__init__'): path
           for path in PACKAGE.rglob('*.py')}
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob('*/__init__.py'))


@cache
def imported(module: str) -> frozenset:
    """The modules of the package that a module imports, anywhere in it."""
    path, found = MODULES[module], set()
    package = module if path.stem == '__init__' else module.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split('.')[:-node.level + 1 or None]
            base = '.'.join([*(above if node.level else []),
                             *filter(None, [node.module])])
            found |= {base, *(f'{base}.{a.name}' for a in node.names)}
    return frozenset(found & set(MODULES))


def folder_imports(folder: str) -> set:
    """The other folders that the modules of a folder import."""
    inside = [m for m in MODULES if m.startswith(f'mmpose_ssa.{folder}.')
              or m == f'mmpose_ssa.{folder}']
    reached = frozenset.union(*map(imported, inside))
    # errors and files import nothing of the package
    return {m.split('.')[1] for m in reached if '.' in m} - {
        folder, 'errors', 'files'}


def test_what_is_imported_is_found():
    assert 'mmpose_ssa.models.refiner' in imported(
        'mmpose_ssa.models.estimator')
    assert {'mmpose_ssa.comparisons', 'mmpose_ssa.engine.optim'} <= imported(
        'mmpose_ssa.register')
    assert len(FOLDERS) > 8


def test_no_module_and_no_folder_imports_itself_by_way_of_others():
    list(TopologicalSorter({
        m: imported(m) - {m} for m in MODULES
        if MODULES[m].stem != '__init__'}).static_order())
    list(TopologicalSorter(
        {f: folder_imports(f) for f in FOLDERS}).static_order())


@pytest.mark.parametrize('folder', FOLDERS)
def test_no_folder_imports_the_user_interface(folder):
    above = {'apis', 'cli', 'commands', 'register'}
    if folder == 'commands':  # which cli.py lists
        above -= {'apis'}
    assert not above & folder_imports(folder)


def test_the_lower_folders():
    assert folder_imports('models') <= {'engine', 'decoding', 'encoding'}
    assert folder_imports('datasets') <= {
        'annotations', 'engine', 'decoding', 'encoding'}
    assert folder_imports('annotations') <= {'decoding', 'encoding'}
    assert folder_imports('engine') <= {'decoding'}
    assert folder_imports('encoding') <= {'decoding'}
    assert folder_imports('decoding') == set()

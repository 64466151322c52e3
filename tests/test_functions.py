"""No function is longer than can be seen at once."""
import ast

import pytest
from factories import ROOT

LONGEST = 44  # lines, without docstring


def length(function: ast.AST) -> int:
    """Lines of a function without its signature and docstring."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_length_by_hand():
    function, = ast.parse('def f(a,\n      b):\n    """Doc.\n\n    More."""\n'
                          '    c = a\n\n    return c\n').body
    assert length(function) == 3


@pytest.mark.parametrize('folder', ['mmpose_ssa', 'tools'])
def test_no_function_is_long(folder):
    long = {f'{path.relative_to(ROOT)}:{node.lineno} {node.name}': length(node)
            for path in (ROOT / folder).rglob('*.py')
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and length(node) > LONGEST}
    assert long == {}

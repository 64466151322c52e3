"""Scripts of MMPose and others, run where MMPose works without operators."""
import argparse
import ast
import importlib.util
import os
import runpy
import sys
from pathlib import Path
from typing import Sequence


def find_script(package: str, script: str) -> Path:
    """Find a script that an OpenMMLab package brings in its ``.mim``.

    Args:
        package: Its name, for instance 'mmpose'.
        script: Path in its repository, 'demo/inferencer_demo.py'.

    Raises:
        FileNotFoundError: If the package has no such script.
        ImportError: If the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f'{package} is not installed: install it, or give '
                          'mmpose')
    mim = Path(spec.origin).parent / '.mim'
    path = mim / script
    if not path.is_file():
        known = sorted(str(file.relative_to(mim)) for folder in (
            'demo', 'tools') for file in (mim / folder).rglob('*.py')
            if Path(script).name in str(file) or not Path(script).suffix)
        raise FileNotFoundError(
            f'{package} has no script {script}'
            + (f': did you mean {known[0]}?' if known else
               f': look into {mim / "demo"} and {mim / "tools"}'))
    return path


def run_script(path: Path, arguments: Sequence[str]) -> None:
    """Run a script as ``python PATH ARGUMENTS`` would, with our MMPose.

    Args:
        path: The script.
        arguments: What follows it on the command line.
    """
    if {'-h', '--help'}.intersection(arguments):
        _print_help(path)
    from . import compat  # noqa: F401  MMPose without compiled operators
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name='__main__')


def _print_help(path: Path) -> None:
    """Print a script's help and exit, without the seconds of its imports.

    OpenMMLab's scripts have a function ``parse_args``, which needs of what
    they import ``os`` and, as an action, MMEngine's ``DictAction``. Of other
    scripts nothing is printed: they run, and help themselves.
    """
    functions = [node for node in ast.parse(path.read_text('utf-8')).body
                 if isinstance(node, ast.FunctionDef)
                 and node.name == 'parse_args']
    names = dict(argparse=argparse, os=os, osp=os.path,
                 DictAction=argparse.Action)
    exec(compile(ast.Module(functions, []), str(path), 'exec'), names)
    before, sys.argv = sys.argv, [str(path), '--help']
    try:
        names['parse_args']()
    except (KeyError, NameError):  # no such function, or it needs more
        pass
    finally:
        sys.argv = before

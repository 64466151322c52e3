"""Every tool has main(argv), and answers --help before it imports much."""
import os
import subprocess
import sys

from factories import ROOT

# but for MMPose's own, which `mim` runs
TOOLS = sorted({path.stem for path in (ROOT / 'tools').glob('*.py')}
               - {'train', 'test'})

ASK = f"""
import contextlib, importlib, io, sys
for name in {TOOLS}:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            importlib.import_module(name).main(['--help'])
    except SystemExit as stop:
        heavy = {{'torch', 'mmpose', 'matplotlib'}} & set(sys.modules)
        print(name, stop.code, said.getvalue().startswith('usage:'), *heavy)
"""


def test_help_comes_at_once():
    asked = subprocess.run(
        [sys.executable, '-c', ASK], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, PYTHONPATH=f'{ROOT}:{ROOT / "tools"}'))
    assert asked.stdout.splitlines() == [f'{name} 0 True' for name in TOOLS]

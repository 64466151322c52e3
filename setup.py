"""Adds what `mim` and `SSAInferencer` look for: configs, tools and weights.

They go into the folder `.mim` of an installed package. In an editable
installation `SSAInferencer` finds them beside the package, and `mim` where
tools/link_mim.py links them.
"""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED = ('configs', 'tools', 'weights', 'model-index.yml')


class BuildWithConfigs(build_py):

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'mmpose_ssa/.mim'
        shutil.rmtree(target, ignore_errors=True)
        for name in BUNDLED:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, target / name,
                                ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(name, target / name)


setup(cmdclass={'build_py': BuildWithConfigs})

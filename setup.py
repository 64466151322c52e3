"""Adds what `mim` and `SSAInferencer` look for: configs and weights.

They go into the folder `.mim` of an installed package. In an editable
installation they are found beside the package.
"""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED = ('configs', 'weights/ssa_demo.pth', 'weights/ssa_photos.pth',
           'model-index.yml')


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

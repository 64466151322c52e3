"""Turn the published weights of TransPose-R into a checkpoint of MMPose.

    python tools/convert_transpose.py tp_r_256x192_enc4_d256_h1024_mh8.pth \
        weights/transpose_r_a4.pth

The weights are those of github.com/yangsenius/TransPose. A file with three
encoder layers belongs to ``configs/transpose/transpose_r_a3_coco-256x192.py``,
one with four to ``transpose_r_a4_coco-256x192.py`` beside it.
"""
import argparse
from pathlib import Path
from typing import Optional, Sequence

from conversion import command


def convert(**options) -> Path:
    from conversion import transpose  # imports MMPose: after the arguments
    return transpose.convert(**options)


def main(argv: Optional[Sequence[str]] = None) -> None:
    command.run(
        argparse.ArgumentParser(description=__doc__.splitlines()[0]), convert,
        argv)


if __name__ == '__main__':
    main()

"""Turn published weights of HigherHRNet into a checkpoint of this package.

    python tools/convert_higherhrnet.py pose_higher_hrnet_w32_512.pth \
        weights/higherhrnet_w32.pth

The weights are those of github.com/HRNet/HigherHRNet-Human-Pose-Estimation or
of MMPose 0.x, whose names differ; those trained in half precision have yet
other names, and become float32. Their width and number of keypoints select a
config in ``configs/comparisons/``. They do not contain the input size that
they were trained at: for w32 at 640x640 or w48 at 512x512, and for other data,
give a config with ``--config``. Nor do they show whether they belong to
MMPose's UDP variant (``*_udp``), which is not supported: it would be accepted,
and its keypoints would be displaced.
"""
import argparse
from pathlib import Path
from typing import Optional, Sequence

from conversion import command


def convert(**options) -> Path:
    from conversion import higherhrnet  # imports MMPose: after the arguments
    return higherhrnet.convert(**options)


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--config', help='config, needed for another input size (which the '
        'weights do not contain), other data or another model (default: '
        'chosen by the width and the number of keypoints)')
    command.run(parser, convert, argv)


if __name__ == '__main__':
    main()

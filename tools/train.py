"""What `mim train mmpose_ssa CONFIG` runs: MMPose's script."""
import sys
from typing import Optional, Sequence

from mmpose_ssa.engine.scripts import find_script, run_script


def main(argv: Optional[Sequence[str]] = None) -> None:
    run_script(find_script('mmpose', 'tools/train.py'),
               sys.argv[1:] if argv is None else argv)


if __name__ == '__main__':
    main()

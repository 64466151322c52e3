"""`mmpose-ssa synthesize`, for `mim run mmpose_ssa synthesize`."""
import sys
from typing import Optional, Sequence

from mmpose_ssa import cli


def main(argv: Optional[Sequence[str]] = None) -> None:
    cli.main(['synthesize', *(sys.argv[1:] if argv is None else argv)])


if __name__ == '__main__':
    main()

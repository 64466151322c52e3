"""The command line of a converter; quick to import."""
import argparse
from pathlib import Path
from typing import Callable, Optional, Sequence


def run(parser: argparse.ArgumentParser, convert: Callable[..., Path],
        argv: Optional[Sequence[str]] = None) -> None:
    """Parse the command line, convert, and say what the weights belong to.

    Args:
        parser: With the converter's own options.
        convert: From two files, the published and the new one, and the values
            of those options, to the config that the weights belong to;
            writes the new one, or raises OSError or ValueError.
        argv: Arguments; those of the process by default.
    """
    parser.add_argument('published', metavar='PUBLISHED.pth',
                        help='published weights')
    parser.add_argument('out', metavar='OUT.pth', help='file to write')
    args = parser.parse_args(argv)
    if Path(args.out).resolve() == Path(args.published).resolve():
        parser.error(f'{args.out} would overwrite the published weights: '
                     'give another name')
    try:
        config = convert(**vars(args))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'{args.out}: weights of {config.stem}, to be used with {config}')

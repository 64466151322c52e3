"""The command `mmpose-ssa`. Nothing heavy is imported before it is needed."""
import argparse
import importlib
import io
import os
import sys
from typing import Optional, Sequence

from . import __version__
from .commands.options import printable

# Sub-command and its module in `commands/`, as `--help` lists them
COMMANDS = {
    'predict': 'predict',
    'attend': 'attend',
    'explore': 'explore',
    'export': 'export',
    'diagnose': 'diagnose',
    'refine': 'refine',
    'synthesize': 'synthesize',
    'run': 'run',
    'check-data': 'check_data',
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command and all its sub-commands."""
    parser = argparse.ArgumentParser(
        prog='mmpose-ssa',
        description='Supervised self-attention for bottom-up pose.')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    for name, module in COMMANDS.items():
        command = importlib.import_module(f'.commands.{module}', __package__)
        summary, _, text = (command.__doc__ or '').partition('\n')
        subparser = commands.add_parser(
            name, help=summary, description=text.strip())
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run, parser=subparser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command and exit with its status."""
    args = make_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # do not fail on a name that the locale cannot encode
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        status = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader stopped reading: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except (ImportError, OSError, ValueError) as error:
        if isinstance(error, ImportError) and error.name:
            raise  # not one of ours, which say what to install
        args.parser.error(printable(str(error)))
    except KeyboardInterrupt:
        status = 130
    if status:
        sys.exit(status)

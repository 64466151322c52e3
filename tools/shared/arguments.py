"""Arguments that several tools take."""
import argparse


def add_cfg_options(parser: argparse.ArgumentParser, about: str) -> None:
    """Let a tool take MMEngine's ``--cfg-options NAME=VALUE ...``.

    Args:
        parser: Of the tool.
        about: Help, without "as in MMPose".
    """
    from mmengine.config import DictAction
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        type=assignment, metavar='NAME=VALUE',
                        help=f'as in MMPose, {about}')


def assignment(text: str) -> str:
    """The text itself, if it is one NAME=VALUE.

    Raises:
        argparse.ArgumentTypeError: If it is not; MMEngine does not check it.
    """
    if '=' not in text:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return text

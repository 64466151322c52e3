"""What several sub-commands share: which model, and other values in it."""
import argparse
from typing import Any, Dict, Sequence


def printable(text: str) -> str:
    """A text without what a terminal would obey, as a file's name may hold.

    Line breaks stay; other characters that are not printed are written as
    Python writes them.
    """
    return ''.join(
        letter if letter.isprintable() or letter == '\n' else
        repr(letter)[1:-1] for letter in text)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Let a command take a bundled model, or config and checkpoint."""
    add = parser.add_argument
    add('--model', choices=('demo', 'photos'),
        help='a bundled model: photos (the default), or demo, which knows '
        'synthetic people only')
    add('--config', help='config of an SSA model; with --checkpoint')
    add('--checkpoint', help='its weights')
    add('--cfg-options', nargs='+', default=[], metavar='NAME=VALUE',
        help='other values in the config, e.g. '
        'model.head.decoder.score_threshold=0.05')


def check_model(args: argparse.Namespace) -> None:
    """Raise ValueError unless one model is named, or none.

    Args:
        args: With ``config``, ``checkpoint`` and ``model``.
    """
    if (args.config is None) != (args.checkpoint is None):
        raise ValueError('give --config and --checkpoint together')
    if args.config and args.model:
        raise ValueError(f'--model {args.model} is a bundled model: give it '
                         'or --config, not both')


def parse_options(given: Sequence[str]) -> Dict[str, Any]:
    """The values of ``--cfg-options``, read as MMEngine does.

    Raises:
        ValueError: If one is not NAME=VALUE.
    """
    for option in given:
        if '=' not in option:
            raise ValueError(f'--cfg-options {option}: give NAME=VALUE')
    if not given:
        return {}
    from mmengine.config import DictAction
    return {name: DictAction._parse_iterable(value)
            for name, _, value in (option.partition('=') for option in given)}

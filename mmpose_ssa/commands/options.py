"""What several sub-commands share: the options that choose the model."""
import argparse
from typing import Any, Dict, Sequence


def printable(text: str) -> str:
    """Escape control characters, which file names may contain.

    Line breaks stay; other characters that cannot be printed are written as
    Python's escape sequences, so that a terminal does not obey them.
    """
    return ''.join(
        letter if letter.isprintable() or letter == '\n' else
        repr(letter)[1:-1] for letter in text)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Let a command take a bundled model, or config and checkpoint."""
    add = parser.add_argument
    add('--model', choices=('demo', 'photos'),
        help='bundled model: photos (the default), or demo, which finds '
        'synthetic people only')
    add('--config', help='config of your own SSA model; needs --checkpoint')
    add('--checkpoint', help='weights of the model that --config describes')
    add('--cfg-options', nargs='+', default=[], metavar='NAME=VALUE',
        help='change values in the config, e.g. '
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
                         'or --config, but not both')


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

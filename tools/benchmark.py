"""Measure speed and memory side by side, and write the tables.

    python tools/benchmark.py                 # all sections
    python tools/benchmark.py forward memory --threads 2

Each section replaces its tables in docs/performance.md, whose other text
stays. Times are medians of repeats that alternate between what is compared;
compare the ratios, not the seconds: a machine has slow and fast minutes.
"""
import argparse
import inspect
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Optional, Sequence

SECTIONS = ('decoding', 'explorer', 'forward', 'memory', 'onnx',
            'pipeline', 'predict')


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__[__doc__.index('Each section'):])
    parser.add_argument('sections', nargs='*', metavar='SECTION',
                        help='sections to measure (default: all): '
                        f'{", ".join(SECTIONS)}')
    parser.add_argument('--threads', type=int,
                        help="number of threads (default: PyTorch's)")
    parser.add_argument('--quick', action='store_true',
                        help='few repeats and small sizes, to test that it '
                        'runs; the numbers mean nothing')
    parser.add_argument('--data-root', metavar='FOLDER',
                        help="images in COCO's layout for `pipeline`; "
                        'synthetic ones by default')
    parser.add_argument('--out', type=Path,
                        help='document to write to (default: '
                        'docs/performance.md, with --quick none)')
    args = parser.parse_args(argv)
    unknown = set(args.sections) - set(SECTIONS)
    if unknown:
        parser.error(f'no section {", ".join(sorted(unknown))}: choose from '
                     f'{", ".join(SECTIONS)}')
    if args.threads is not None and args.threads < 1:
        parser.error(f'--threads must be 1 or more, got {args.threads}')
    if args.out is None and not args.quick:
        args.out = Path('docs/performance.md')
    return args


def measure(args: argparse.Namespace, command: str) -> None:
    """Measure the sections and print their tables; write them if asked to."""
    # These import MMPose: after the arguments
    import torch
    from benchmarks.machine import machine
    from benchmarks.report import markdown, replaced
    from mmengine.registry import init_default_scope
    init_default_scope('mmpose')
    if args.threads:
        torch.set_num_threads(args.threads)
    for name in args.sections or SECTIONS:
        section = import_module(f'benchmarks.{name}')
        options = dict(quick=args.quick)
        if 'data_root' in inspect.signature(section.measure).parameters:
            options.update(data_root=args.data_root)
        tables = section.measure(**options)
        text = '\n'.join(
            [f'`{command}`: {machine()}.\n', *map(markdown, tables)])
        print(text)
        if args.out:
            old = args.out.read_text() if args.out.is_file() else ''
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(replaced(old, name, text))


def main(argv: Optional[Sequence[str]] = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    measure(parse_args(argv),
            shlex.join(['python', 'tools/benchmark.py', *argv]))


if __name__ == '__main__':
    main()

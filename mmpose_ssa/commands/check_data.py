"""check an annotation file and its images before training

Check an annotation file in COCO's format and its images. Report what training
would refuse, and what it would accept but is probably a mistake: one line
each, with the number of cases, an example and the remedy. The exit status is 1
if training would refuse the data.
"""
import argparse
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `check-data`."""
    add = parser.add_argument
    add('ann_file', metavar='ANN', help="annotation file in COCO's format")
    add('--images', required=True, metavar='DIR',
        help='folder of the images')
    add('--config', help='config that will train on the data: it determines '
        'which category, keypoints and masks are needed (default: what the '
        "SSA configs need, with the keypoints that the file's category names)")
    add('--person', metavar='NAME', help="name or id of the category "
        "(default: the config's, otherwise person or the only category)")
    add('--out', metavar='HTML', help='write a page that shows images with '
        'their annotations and, with --config, the training targets')
    add('--samples', type=int, default=24, metavar='N',
        help='number of images on the page (default: %(default)s)')
    add('--workers', type=int, default=min(os.cpu_count() or 1, 8),
        metavar='N', help='threads that load images (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Check, print what was found, and write the page.

    Returns:
        The exit status: 1 if training would refuse the data, else 0.
    """
    check_arguments(args)
    from mmengine.logging import MMLogger
    from tqdm import tqdm

    from ..apis.data_report import check_data
    MMLogger.get_current_instance().setLevel('ERROR')  # all is printed below
    report = check_data(
        args.ann_file, args.images, args.config, person(args.person),
        args.workers, lambda files, total: tqdm(
            files, total=total, unit='image', disable=None, leave=False))
    print(f'{args.ann_file}: {report.summary}')
    if args.out:
        from ..apis.data_sheet import write_sheet
        write_sheet(report, args.out, args.samples)
    for finding in report.findings:
        print(finding)
    levels = [finding.level for finding in report.findings]
    print(f"{levels.count('refused')} refused, {levels.count('suspect')} "
          f"suspect, {levels.count('note')} noted"
          + (f'; see {args.out}' if args.out else ''))
    return int(report.is_refused)


def check_arguments(args: argparse.Namespace) -> None:
    """Raise OSError or ValueError before anything slow is imported."""
    for path in filter(None, (args.ann_file, args.config)):
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path} does not exist: correct the path')
    if not Path(args.images).is_dir():
        raise FileNotFoundError(f'--images {args.images} is not a folder: '
                                'give the folder of the images')
    if args.out and Path(args.out).suffix.lower() not in ('.html', '.htm'):
        raise ValueError(f'--out {args.out}: give the name of an HTML file')
    if args.workers < 1 or args.samples < 1:
        raise ValueError('--workers and --samples must be 1 or more')


def person(given: str | None) -> str | int | None:
    """A category's name, or its id if it is a number."""
    return int(given) if given and given.isdecimal() else given

"""diagnose the errors of keypoint results

Count the errors of COCO keypoint results by kind, and show how much AP each
kind costs (Fig. 4).
"""
import argparse
import json
from pathlib import Path

from ..files import write_whole
from .options import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `diagnose`."""
    parser.add_argument('results', nargs='+', metavar='RESULTS',
                        help='COCO results, for instance the '
                        '*.keypoints.json that CocoMetric writes')
    parser.add_argument('annotations', metavar='ANNOTATIONS',
                        help='COCO annotations of the tested images')
    parser.add_argument('--labels', nargs='+', metavar='LABEL',
                        help='names of the results in the tables (default: '
                        'their file names)')
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='folder for diagnosis.md, .json and .png')
    parser.add_argument('--area-range', type=float, nargs=2,
                        metavar=('MIN', 'MAX'), default=(32**2, 1e5**2),
                        help='areas of persons that count for AP, in square '
                        'pixels (default: %(default)s, as in the published '
                        'tool; COCO uses 0 1e10)')
    parser.add_argument('--sigmas', type=float, nargs='+', metavar='SIGMA',
                        help='sigmas of OKS, for keypoints that are neither '
                        "COCO's nor CrowdPose's")
    parser.add_argument('--person', metavar='NAME', help='the category, if '
                        'several categories have keypoints')


def read(path: str, check, *arguments):
    """Read a JSON file and pass it to ``check``; errors name the file."""
    from ..annotations.reading import read_json
    content = read_json(path)
    try:
        return check(content, *arguments)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def run(args: argparse.Namespace) -> int:
    """Diagnose, write what is asked for, and print the tables."""
    from ..apis.diagnosis_report import as_json, draw_chart, tables
    from ..diagnosis.evaluator import Evaluator
    from ..diagnosis.results import read_results, read_truth
    labels = args.labels or [
        Path(path).name.replace('.json', '').replace('.keypoints', '')
        for path in args.results
    ]
    if len(set(labels)) != len(args.results):
        raise ValueError(f'{len(args.results)} results need as many different '
                         f'labels, got {labels}: give --labels')
    truth = read(args.annotations, read_truth, args.sigmas, args.person)
    persons = [read(p, read_results, truth) for p in args.results]
    diagnoses = {
        label: Evaluator(truth, found, args.area_range).diagnosis()
        for label, found in zip(labels, persons)
    }
    text = tables(diagnoses)
    if args.out:
        write_whole(text, args.out / 'diagnosis.md')
        write_whole(json.dumps({label: as_json(d) for label, d
                                in diagnoses.items()}),
                    args.out / 'diagnosis.json')
        draw_chart(diagnoses, args.out / 'diagnosis.png')
    print(printable(text))
    return 0

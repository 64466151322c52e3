"""Diagnose the errors of keypoint results: kinds and cost (Fig. 4).

    python tools/diagnose.py ssa.keypoints.json dekr.keypoints.json \
        data/coco/annotations/person_keypoints_val2017.json --out diagnosis
"""
import argparse
import json
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
from matplotlib.figure import Figure

from mmpose_ssa.diagnosis.evaluator import (AREA_RANGE, ERRORS, KINDS,
                                            Diagnosis, diagnose)
from mmpose_ssa.diagnosis.oks import OKS_THRESHOLDS
from mmpose_ssa.diagnosis.results import read_results, read_truth

# --- table ------------------------------------------------------------------


def tables(diagnoses: Dict[str, Diagnosis]) -> str:
    """All figures in percent as markdown, the methods below each other."""
    text = [
        markdown('Share of the labelled keypoints of matched persons (%)',
                 ['', *KINDS],
                 {label: percent(d.shares.values())
                  for label, d in diagnoses.items()}),
        markdown('Persons without a match at OKS 0.5; background and '
                 'overlooked: without one at any threshold',
                 ['', 'false positives', 'background', 'false negatives',
                  'overlooked'],
                 {label: [d.false_positives[0], len(d.background),
                          d.false_negatives[0], len(d.overlooked)]
                  for label, d in diagnoses.items()}),
        markdown('AP, and what mending each kind alone adds to it; the false '
                 'negatives after the false positives', ['', 'AP', *ERRORS],
                 {label: percent([d.ap, *d.gains.values()])
                  for label, d in diagnoses.items()}),
        markdown('AP when they are mended one after the other',
                 ['', 'AP', *ERRORS],
                 {label: percent([d.ap, *d.cumulative.values()])
                  for label, d in diagnoses.items()}),
    ]
    text += [
        markdown(f'{label}: share of each keypoint (%)',
                 ['', 'labelled', *KINDS], keypoint_rows(d))
        for label, d in diagnoses.items()
    ]
    return '\n'.join(text)


def keypoint_rows(diagnosis: Diagnosis) -> Dict[str, list]:
    """Keypoint -> how often it is labelled, and its kinds in percent."""
    return {
        name: [counts.sum(), *percent(counts / max(counts.sum(), 1))]
        for name, counts in zip(diagnosis.names, diagnosis.counts)
    }


def percent(shares: Sequence[float]) -> List[str]:
    return [f'{100 * share:.1f}' for share in shares]


def markdown(title: str, head: List[str], rows: Dict[str, list]) -> str:
    """A titled table with columns of even width."""
    lines = [head, *([name, *map(str, row)] for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines = [[line[0].ljust(widths[0]),
              *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))]
             for line in lines]
    lines.insert(1, ['-' * widths[0],
                     *('-' * (width - 1) + ':' for width in widths[1:])])
    body = '\n'.join(f"| {' | '.join(line)} |" for line in lines)
    return f'{title}\n\n{body}\n'


# --- JSON and chart ---------------------------------------------------------


def as_json(diagnosis: Diagnosis) -> dict:
    """All there is, by names, in plain types."""
    by_threshold = [f'{t:.2f}' for t in OKS_THRESHOLDS]
    return dict(
        ap=diagnosis.ap, shares=diagnosis.shares,
        keypoints={name: dict(zip(KINDS, counts.tolist()))
                   for name, counts in zip(diagnosis.names, diagnosis.counts)},
        ap_gains=diagnosis.gains, ap_cumulative=diagnosis.cumulative,
        false_positives=dict(
            zip(by_threshold, diagnosis.false_positives.tolist())),
        false_negatives=dict(
            zip(by_threshold, diagnosis.false_negatives.tolist())),
        background=diagnosis.background, overlooked=diagnosis.overlooked,
        matched=diagnosis.matched)


def draw_chart(diagnoses: Dict[str, Diagnosis], out: Path) -> None:
    """The errors' shares and the AP that mending each gains, side by side."""
    # wide enough for the numbers above the bars
    width = max(13, 4.5 * len(diagnoses))
    figure = Figure(figsize=(width, 5.5), layout='constrained')
    shares, gains = figure.subplots(1, 2, width_ratios=[5, 7])
    draw_bars(shares, {label: list(d.shares.values())
                       for label, d in diagnoses.items()}, KINDS)
    draw_bars(gains, {f'{label} (AP {100 * d.ap:.1f})': list(d.gains.values())
                      for label, d in diagnoses.items()}, ERRORS)
    shares.set(title='labelled keypoints of matched persons', ylabel='%')
    gains.set(title='AP gained by mending each kind', ylabel='AP')
    figure.legend(*gains.get_legend_handles_labels(),
                  loc='outside upper center', ncols=4)
    figure.savefig(out, dpi=120)


def draw_bars(axis, values: Dict[str, List[float]], kinds: Sequence[str]
              ) -> None:
    """A group of bars per kind, one bar per method."""
    width = .8 / len(values)
    for m, (label, shares) in enumerate(values.items()):
        places = np.arange(len(kinds)) + (m - (len(values) - 1) / 2) * width
        bars = axis.bar(places, 100 * np.array(shares), width, label=label)
        axis.bar_label(bars, fmt='%.1f', fontsize=8, padding=2)
    axis.set_xticks(range(len(kinds)),
                    [kind.replace(' ', '\n') for kind in kinds])
    axis.grid(axis='y', alpha=.3)
    axis.set_axisbelow(True)
    axis.margins(y=.1)


# --- command ----------------------------------------------------------------


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', nargs='+', metavar='RESULTS',
                        help="COCO results, as CocoMetric's *.keypoints.json")
    parser.add_argument('annotations', metavar='ANNOTATIONS',
                        help='annotations of the tested images')
    parser.add_argument('--labels', nargs='+', metavar='LABEL',
                        help="of the results; their files' names by default")
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='folder for diagnosis.md, .json and .png')
    parser.add_argument('--area-range', type=float, nargs=2,
                        metavar=('MIN', 'MAX'), default=AREA_RANGE,
                        help='areas of persons that count for AP, square '
                        'pixels (default: %(default)s, the published '
                        "tool's; COCO's is 0 1e10)")
    parser.add_argument('--sigmas', type=float, nargs='+', metavar='SIGMA',
                        help="OKS's, for keypoints that neither COCO nor "
                        'CrowdPose has')
    args = parser.parse_args()
    args.labels = args.labels or [
        Path(path).name.replace('.json', '').replace('.keypoints', '')
        for path in args.results
    ]
    if len(set(args.labels)) != len(args.results):
        parser.error(f'{len(args.results)} results need as many different '
                     f'labels, got {args.labels}: give --labels')
    return parser, args


def read(path: str, check, *arguments):
    """What ``check`` makes of a JSON file; errors name the file.

    Raises:
        ValueError: If the file is no JSON, or not what it should be.
    """
    try:
        content = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f'{path} is not JSON ({error}): was it written to '
                         'its end?') from error
    try:
        return check(content, *arguments)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def main() -> None:
    parser, args = parse_args()
    try:
        truth = read(args.annotations, read_truth, args.sigmas)
        persons = [read(p, read_results, truth) for p in args.results]
        diagnoses = {
            label: diagnose(truth, found, args.area_range)
            for label, found in zip(args.labels, persons)
        }
        text = tables(diagnoses)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / 'diagnosis.md').write_text(text)
            (args.out / 'diagnosis.json').write_text(json.dumps(
                {label: as_json(d) for label, d in diagnoses.items()}))
            draw_chart(diagnoses, args.out / 'diagnosis.png')
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(text)


if __name__ == '__main__':
    main()

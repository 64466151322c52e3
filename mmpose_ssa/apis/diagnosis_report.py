"""Diagnoses as markdown tables, JSON and a bar chart (Fig. 4)."""
from pathlib import Path
from typing import Dict, Iterable, List, Sequence

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate

from ..diagnosis.evaluator import ERRORS, KINDS, Diagnosis
from ..diagnosis.oks import OKS_THRESHOLDS


def tables(diagnoses: Dict[str, Diagnosis]) -> str:
    """All numbers in percent as markdown, the methods below each other."""
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
        markdown('AP, and what fixing each kind alone adds to it; the false '
                 'negatives after the false positives', ['', 'AP', *ERRORS],
                 {label: percent([d.ap, *d.gains.values()])
                  for label, d in diagnoses.items()}),
        markdown('AP when they are fixed one after the other',
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


def percent(shares: Iterable[float]) -> List[str]:
    return [f'{100 * share:.1f}' for share in shares]


def markdown(title: str, head: List[str], rows: Dict[str, list]) -> str:
    table = tabulate([[name, *map(str, row)] for name, row in rows.items()],
                     head, 'pipe', disable_numparse=True,
                     colalign=['left'] + ['right'] * (len(head) - 1))
    return f'{title}\n\n{table}\n'


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
    """The errors' shares and the AP that fixing each gains, side by side."""
    # wide enough for the numbers above the bars
    width = max(13, 4.5 * len(diagnoses))
    figure = Figure(figsize=(width, 5.5), layout='constrained')
    shares, gains = figure.subplots(1, 2, width_ratios=[5, 7])
    draw_bars(shares, {label: list(d.shares.values())
                       for label, d in diagnoses.items()}, KINDS)
    draw_bars(gains, {f'{label} (AP {100 * d.ap:.1f})': list(d.gains.values())
                      for label, d in diagnoses.items()}, ERRORS)
    shares.set(title='labelled keypoints of matched persons', ylabel='%')
    gains.set(title='AP gained by fixing each kind', ylabel='AP')
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

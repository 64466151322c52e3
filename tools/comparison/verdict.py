"""Entries of a question beside its first, over the seeds that both have.

Pure: takes metrics, returns text.
"""
from statistics import mean, stdev
from typing import Dict, List, Optional, Sequence, Tuple

from scipy.stats import t
from shared.tables import markdown_table

CONFIDENCE = .95

# Column -> heatmaps and association, metric
COLUMNS: Dict[str, Tuple[str, str]] = {
    'AP': ('own + own', 'coco/AP'),
    'mask AP': ('own + own', 'mask/AP'),
    'AP, own heatmaps, perfect attention': ('own + perfect', 'coco/AP'),
    'AP, perfect heatmaps, own attention': ('perfect + own', 'coco/AP'),
}

DIFFERENCES = ('AP', 'mask AP', 'AP, perfect heatmaps, own attention')

# Seed -> pair of outputs -> metric -> value, as tools/oracle.py writes them
Measured = Dict[int, Dict[str, Dict[str, float]]]


def interval(differences: Sequence[float]) -> Optional[Tuple[float, float]]:
    """Student's confidence interval of a mean difference; None of one."""
    if len(differences) < 2:
        return None
    half = t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1) * stdev(
        differences) / len(differences)**.5
    return mean(differences) - half, mean(differences) + half


def verdict(differences: Sequence[float]) -> str:
    """'higher', 'lower' or 'not decided': does the interval exclude 0?"""
    found = interval(differences)
    if found is None or found[0] <= 0 <= found[1]:
        return 'not decided'
    return 'higher' if found[0] > 0 else 'lower'


def table(entries: Sequence[Tuple[str, Measured]]) -> str:
    """A row for each entry that has results.

    Args:
        entries: Label and results of each. The first is what the others are
            compared with, seed by seed.

    Returns:
        str: Mean and standard deviation of each column; the differences of
        ``DIFFERENCES`` with their interval and what it says.
    """
    first = entries[0][1]
    rows = []
    for label, measured in entries:
        if measured:
            shared = sorted(set(first) & set(measured))
            rows.append([label, str(len(measured)), *(
                _spread([runs[pair][name] for runs in measured.values()])
                for pair, name in COLUMNS.values()), *(
                '' if measured is first else _difference(
                    [measured[seed][pair][name] - first[seed][pair][name]
                     for seed in shared])
                for pair, name in map(COLUMNS.get, DIFFERENCES))])
    return markdown_table(['', 'seeds', *COLUMNS, *(
        f'{column}: less the first' for column in DIFFERENCES)], rows)


def _spread(values: List[float]) -> str:
    if len(values) < 2:
        return f'{values[0]:.3f}'
    return f'{mean(values):.3f} ± {stdev(values):.3f}'


def _difference(values: List[float]) -> str:
    """Their mean, its interval, and the verdict."""
    found = interval(values)
    if found is None:
        return 'not decided'
    half = (found[1] - found[0]) / 2
    return f'{mean(values):+.3f} ± {half:.3f}: {verdict(values)}'

"""Times of things that are compared, measured in turn.

A machine is not equally fast from minute to minute. What is compared is
therefore called alternately, and a ratio is the median of the ratios of calls
that followed each other.
"""
import time
from statistics import median
from typing import Callable, Dict, List

import torch
from tqdm import tqdm

Times = Dict[str, List[float]]


def alternate(functions: Dict[str, Callable[[], object]],
              repeats: int,
              warm_up: int = 1,
              label: str = '') -> Times:
    """Call each function in turn, so many times over.

    Args:
        functions: What is compared, by name.
        repeats: Rounds that count.
        warm_up: Rounds before them that do not.
        label: Of the progress bar.

    Returns:
        For each name the seconds of each round.
    """
    times: Times = {name: [] for name in functions}
    rounds = tqdm(range(warm_up + repeats), desc=label, leave=False)
    for index in rounds:
        for name, function in functions.items():
            spent = seconds(function)
            if index >= warm_up:
                times[name].append(spent)
    return times


def seconds(function: Callable[[], object]) -> float:
    """Those of one call."""
    begin = now()
    function()
    return now() - begin


def now() -> float:
    """Seconds, when the GPU has done what it was told to."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def ratio(times: Times, name: str, base: str) -> float:
    """How many times as long as ``base`` something takes: the median."""
    return median(a / b for a, b in zip(times[name], times[base]))

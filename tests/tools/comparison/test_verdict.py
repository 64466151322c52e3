"""Differences over seeds, their interval and what it says."""
import numpy as np
import pytest
from comparison.verdict import COLUMNS, interval, table, verdict
from scipy.stats import ttest_1samp


@pytest.mark.parametrize('differences, said', [
    ([.10, .11, .12], 'higher'),
    ([-.10, -.11, -.12], 'lower'),
    ([.10, .11, .30], 'not decided'),  # all above 0, too far apart
    ([-.01, .01, .02], 'not decided'),
    ([.5], 'not decided'),
])
def test_verdict(differences, said):
    assert verdict(differences) == said


@pytest.mark.parametrize('seed', range(5))
def test_interval_is_that_of_a_paired_t_test(seed):
    differences = np.random.default_rng(seed).normal(.02, .03, 4).tolist()
    expected = ttest_1samp(differences, 0).confidence_interval(.95)
    np.testing.assert_allclose(interval(differences), expected)


def test_interval_by_hand():
    """Of 1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.3027, root of 3."""
    low, high = interval([1., 2., 3.])
    assert (low + high) / 2 == pytest.approx(2)
    assert (high - low) / 2 == pytest.approx(4.3027 / 3**.5, abs=1e-4)


def measured(**values):
    """Seeds '_0', '_1' ... with AP = value, mask AP half of it."""
    return {int(seed[1:]): {
        pair: {'coco/AP': value + i, 'mask/AP': value / 2 + i}
        for i, pair in enumerate(dict.fromkeys(
            pair for pair, _ in COLUMNS.values()))}
        for seed, value in values.items()}


def cells(text):
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in text.splitlines()]


def test_table_pairs_the_seeds():
    """Only seeds that both have are compared, each with itself."""
    text = table([
        ('first', measured(_0=.10, _1=.20, _2=.30)),
        ('second', measured(_1=.22, _2=.32, _5=.90)),
        ('nothing yet', {}),
    ])
    head, _, first, second = cells(text)
    assert head[:4] == ['', 'seeds', 'AP', 'mask AP']
    assert first[:4] == ['first', '3', '0.200 ± 0.100', '0.100 ± 0.050']
    assert first[-3:] == ['', '', '']
    assert second[:2] == ['second', '3']
    assert second[-3:] == ['+0.020 ± 0.000: higher', '+0.010 ± 0.000: higher',
                           '+0.020 ± 0.000: higher']


def test_table_of_one_seed_decides_nothing():
    text = table([('first', measured(_0=.1)), ('second', measured(_0=.9))])
    first, second = cells(text)[2:]
    assert first[2] == '0.100'
    assert second[-1] == 'not decided'


def test_table_without_first():
    """The first entry may be without results as yet."""
    text = table([('first', {}), ('second', measured(_0=.9, _1=.8))])
    (second, ) = cells(text)[2:]
    assert second[-1] == 'not decided'

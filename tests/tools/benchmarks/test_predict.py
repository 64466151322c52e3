"""The section on prediction."""
import pytest
from benchmarks.report import markdown

pytestmark = pytest.mark.usefixtures('mmpose')


def test_both_inferencers_and_the_memory():
    from benchmarks import predict
    times, memory = predict.measure(quick=True)
    names, rates, ratios = zip(*times.rows)
    assert names[:2] == ('MMPoseInferencer', 'SSAInferencer')
    assert ratios[0] == 1 and all(rate > 0 for rate in rates)
    assert ratios[1] == pytest.approx(rates[0] / rates[1])
    assert [row[0] for row in memory.rows] == ['2', '4']
    # a process with PyTorch and two models
    assert all(100 < row[1] < 20000 for row in memory.rows)
    assert 'resident' in markdown(memory)

"""The section on the exported model."""
import pytest
from benchmarks.report import markdown

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.mark.slow
def test_the_exported_model_stands_beside_pytorch():
    pytest.importorskip('onnxscript', reason='needs the extra onnx')
    from benchmarks import onnx
    table, = onnx.measure(quick=True)
    names, seconds, ratios = zip(*table.rows)
    assert names[0] == 'PyTorch' and ratios[0] == 1
    assert ratios[1] == pytest.approx(seconds[1] / seconds[0])
    assert seconds[2] < seconds[1]  # without decoding
    assert '1 images of (320, 320) to (320, 320) pixels' in table.note
    assert 'ONNX Runtime' in markdown(table)

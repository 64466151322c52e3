"""`mmpose-ssa export`; what it writes is tested in apis/test_onnx.py."""
import pytest
from factories import TINY, refusal

from mmpose_ssa import cli


@pytest.mark.parametrize('arguments, words', [
    (('--out', 'a.pt'), '--out a.pt: give a file that ends in .onnx'),
    (('--out', 'a.onnx', '--config', TINY), '--checkpoint'),
    (('--out', 'a.onnx', '--config', 'no.py', '--checkpoint', 'no.pth'),
     'config no.py does not exist')])
def test_mistakes_are_named(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(capsys, cli.main, 'export', *arguments)
    assert not list(tmp_path.iterdir())

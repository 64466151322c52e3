"""Parameters and multiply-adds: Table 7, and layers counted by hand."""
import re

import complexity
import pytest
import torch.nn as nn
from factories import CONFIGS
from mmengine.config import Config
from mmpose.registry import MODELS

from mmpose_ssa.evaluation.complexity import count
from mmpose_ssa.models.encoder import SelfAttention

pytestmark = pytest.mark.usefixtures('mmpose')


class Model(nn.Module):
    """One layer in the shape of an estimator; the head does nothing."""

    def __init__(self, layer):
        super().__init__()
        self.extract_feat, self.head = layer, nn.Identity()


@pytest.mark.parametrize('layer, table7, true', [
    # 4x8 outputs of 5 channels from 3x3x3 weights, either way
    (nn.Conv2d(3, 5, 3, stride=2, padding=1), 4 * 8 * 5 * 27, 4 * 8 * 5 * 27),
    # 3->5 channels, 4x4, stride 2: 16x32 outputs, but 8x16 inputs
    (nn.ConvTranspose2d(3, 5, 4, 2, 1), 16 * 32 * 5 * 48, 8 * 16 * 3 * 80),
])
def test_layers_by_hand(layer, table7, true):
    found = count(Model(layer), (16, 8))
    assert (found['macs_table7'], found['macs']) == (table7, true)
    assert found['params'] == sum(p.numel() for p in layer.parameters())


def test_attention_by_hand():
    """L = 6 tokens, d = 4: 4 d^2 L of projections, 2 d L^2 of products."""

    class Attend(nn.Module):

        def __init__(self):
            super().__init__()
            self.attention = SelfAttention(4, 2, 0.)

        def forward(self, image):
            x = image.new_zeros(1, 6, 4)
            return self.attention(x, x[0])[0]

    found = count(Model(Attend()), (16, 8))
    assert found['macs'] == 4 * 16 * 6 + 2 * 4 * 36
    assert found['macs_table7'] == found['params_table7'] == 0
    assert found['params'] == 4 * 16 + 4 * 4


@pytest.mark.parametrize('name, params, macs', [
    ('ssa_r101_640', 45.0, 102.3),
    ('ssa_r152_640', 60.6, 132.7),
    ('ssa_r101_800', 45.0, 159.8),
])
def test_table_7_within_0_6_percent(name, params, macs):
    found = complexity.counts(str(CONFIGS / f'ssa/{name}.py'))
    assert found['params_table7'] / 1e6 == pytest.approx(params, rel=0.006)
    assert found['macs_table7'] / 1e9 == pytest.approx(macs, rel=0.006)


def test_the_command_prints_both_counts(capsys):
    """The true numbers of R101 at 640: 45.86 M, 95.1 G."""
    complexity.main([str(CONFIGS / 'ssa/ssa_r101_640.py')])
    row = capsys.readouterr().out.splitlines()[2]
    assert [cell.strip() for cell in row.split('|')[2:-1]] == [
        '44.97', '102.0', '45.86', '95.1']


def test_shapes_count_as_values_do():
    """And deformable convolutions, on no device."""
    for name in ('demo/ssa_demo.py', 'comparisons/dekr_demo.py'):
        cfg = Config.fromfile(CONFIGS / name)
        found = count(MODELS.build(cfg.model), cfg.codec.input_size)
        assert complexity.counts(str(CONFIGS / name)) == found


@pytest.mark.parametrize('config, words', [
    ('configs/nowhere.py', r'configs/nowhere\.py'),
    (str(CONFIGS / '_base_/crowdpose.py'), r'crowdpose\.py .* head')])
def test_what_is_no_config_is_named(capsys, config, words):
    with pytest.raises(SystemExit):
        complexity.main([config])
    assert re.search(words, capsys.readouterr().err)

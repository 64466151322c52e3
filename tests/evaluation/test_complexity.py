"""Parameters and multiply-adds: Table 7, and layers counted by hand."""
import sys
from pathlib import Path

import pytest
import torch.nn as nn
from mmengine.config import Config
from mmpose.registry import MODELS

from mmpose_ssa.evaluation.complexity import count
from mmpose_ssa.models.encoder import SelfAttention

pytestmark = pytest.mark.usefixtures('mmpose')

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools'))
import complexity  # noqa: E402


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
    cfg = Config.fromfile(ROOT / f'configs/ssa/{name}.py')
    cfg.model.backbone.init_cfg = None
    found = count(MODELS.build(cfg.model), cfg.codec.input_size)
    assert found['params_table7'] / 1e6 == pytest.approx(params, rel=0.006)
    assert found['macs_table7'] / 1e9 == pytest.approx(macs, rel=0.006)


def test_true_figures_of_r101_640():
    cfg = Config.fromfile(ROOT / 'configs/ssa/ssa_r101_640.py')
    cfg.model.backbone.init_cfg = None
    found = count(MODELS.build(cfg.model), (640, 640))
    assert found['params'] / 1e6 == pytest.approx(45.86, abs=0.005)
    assert found['macs'] / 1e9 == pytest.approx(95.1, abs=0.05)


@pytest.mark.parametrize('config, message', [
    ('configs/nowhere.py', 'configs/nowhere.py does not exist: give the file'),
    (str(ROOT / 'configs/_base_/crowdpose.py'), 'has no model with a head')])
def test_what_is_no_config_is_named(monkeypatch, capsys, config, message):
    monkeypatch.setattr(sys, 'argv', ['complexity.py', config])
    with pytest.raises(SystemExit):
        complexity.main()
    assert message in capsys.readouterr().err

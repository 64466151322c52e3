"""The weights that the repository carries, and the tool that made them."""
import runpy
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner, load_checkpoint
from mmpose.registry import MODELS

from mmpose_ssa.synthetic.dataset import write_dataset

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'tools'))
import publish  # noqa: E402

CARRIED = {'ssa_demo_naive.pth': 'ssa_demo_naive.py',
           'ssa_demo.pth': 'ssa_demo.py'}

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.mark.parametrize('weights, config', CARRIED.items())
def test_carried_weights_are_small_and_fit(weights, config):
    path = ROOT / 'weights' / weights
    assert path.stat().st_size <= 6e6
    model = MODELS.build(Config.fromfile(ROOT / 'configs/demo' / config).model)
    load_checkpoint(model, str(path), 'cpu', strict=True)
    assert all(p.isfinite().all() for p in model.state_dict().values())


def test_published_weights_are_those_of_the_checkpoint(tmp_path, monkeypatch):
    """Matrices to float16's precision, vectors and statistics exactly."""
    norm = torch.nn.BatchNorm2d(3)
    norm.running_var[:] = torch.tensor([1e-6, 1., 1e6])
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), norm)
    torch.save(dict(
        state_dict=model.state_dict(), optimizer=dict(step=1),
        message_hub=dict(), meta=dict(epoch=3, seed=0, cfg='long',
                                      dataset_meta=dict(num_keypoints=17))),
        tmp_path / 'epoch_3.pth')
    out = tmp_path / 'weights/small.pth'
    monkeypatch.setattr(sys, 'argv', ['publish.py',
                                      str(tmp_path / 'epoch_3.pth'), str(out)])
    publish.main()
    small = torch.load(out)
    assert set(small) == {'state_dict', 'meta'}
    assert small['meta'] == dict(epoch=3, seed=0,
                                 dataset_meta=dict(num_keypoints=17))
    assert small['state_dict']['0.weight'].dtype == torch.float16
    for name, tensor in model.state_dict().items():
        found = small['state_dict'][name]
        if tensor.dim() > 1:
            assert torch.allclose(found.float(), tensor, rtol=1e-3, atol=1e-7)
        else:
            assert torch.equal(found, tensor)


def test_what_is_no_checkpoint_is_named(tmp_path, monkeypatch, capsys):
    torch.save(torch.zeros(3), tmp_path / 'tensor.pth')
    (tmp_path / 'half.pth').write_bytes(
        (ROOT / 'weights/ssa_demo.pth').read_bytes()[:5000])
    for name, message in (('none.pth', 'none.pth does not exist: give a'),
                          ('tensor.pth', 'tensor.pth has no state_dict: give'),
                          ('half.pth', 'half.pth cannot be read:')):
        monkeypatch.setattr(sys, 'argv', ['publish.py', str(tmp_path / name),
                                          str(tmp_path / 'out.pth')])
        with pytest.raises(SystemExit):
            publish.main()
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()


def measured(cfg, folder, name):
    """Figures of a config's test on the validation images of a folder."""
    cfg.merge_from_dict({
        'work_dir': str(folder / 'work_dirs' / name),
        'experiment_name': f'test_{name}',
        'test_dataloader.dataset.data_root': str(folder)})
    return Runner.from_cfg(cfg).test()


def ceiling(folder):
    """What perfect outputs reach there, as ``tools/oracle.py`` measures."""
    tool = runpy.run_path(str(ROOT / 'tools/oracle.py'))
    cfg = tool['ceiling_config'](Namespace(
        config=str(ROOT / 'configs/demo/ssa_demo.py'), ann_file=None,
        img_dir=None, work_dir='', ignore_unlabelled=False,
        cfg_options=None))
    return measured(cfg, folder, 'ceiling')


@pytest.mark.slow
def test_the_final_weights_are_above_the_naive_ones(tmp_path):
    """And not far below the ceiling of what the decoder can make of them."""
    write_dataset(tmp_path, train=1, val=100, size=160, seed=0,
                  max_people=3, min_height=0.6)
    figures = {}
    for weights, config in CARRIED.items():
        cfg = Config.fromfile(ROOT / 'configs/demo' / config)
        cfg.load_from = str(ROOT / 'weights' / weights)
        figures[weights] = measured(cfg, tmp_path, weights)
    naive, final = (figures[weights] for weights in CARRIED)
    best = ceiling(tmp_path)
    assert final['coco/AP'] >= .6 * best['coco/AP']
    assert final['mask/AP'] >= .6 * best['mask/AP']
    assert final['coco/AP'] > naive['coco/AP'] + .05
    assert final['mask/AP'] > naive['mask/AP'] + .2

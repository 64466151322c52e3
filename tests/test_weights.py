"""The bundled weights: small, fitting, and as good as they should be."""
import oracle
import pytest
from factories import CONFIGS, DEMO, ROOT, write_scenes
from mmengine.config import Config
from mmengine.runner import Runner, load_checkpoint
from mmpose.registry import MODELS

BUNDLED = {'ssa_demo_naive.pth': 'ssa_demo_naive.py',
           'ssa_demo.pth': 'ssa_demo.py'}

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.mark.parametrize('weights, config, most', [
    *((weights, DEMO.parent / config, 6e6)
      for weights, config in BUNDLED.items()),
    ('ssa_photos.pth', CONFIGS / 'photos/ssa_photos.py', 12e6)])
def test_bundled_weights_are_small_and_fit(weights, config, most):
    path = ROOT / 'weights' / weights
    assert path.stat().st_size <= most
    model = MODELS.build(Config.fromfile(config).model)
    load_checkpoint(model, str(path), 'cpu', strict=True)
    assert all(p.isfinite().all() for p in model.state_dict().values())


def measured(cfg, folder, name):
    """Figures of a config's test on the validation images of a folder."""
    cfg.merge_from_dict({
        'work_dir': str(folder / 'work_dirs' / name),
        'experiment_name': f'test_{name}',
        'test_dataloader.dataset.data_root': str(folder)})
    return Runner.from_cfg(cfg).test()


def upper_bound(folder):
    """What perfect outputs reach there."""
    metrics, = oracle.measure(oracle.make_parser().parse_args([
        str(DEMO), '--ann-file',
        str(folder / 'annotations/person_keypoints_val2017.json'),
        '--img-dir', str(folder / 'val2017')])).values()
    return metrics


@pytest.mark.slow
def test_the_final_weights_are_above_the_naive_ones(tmp_path):
    """And not far below the upper bound of the decoder."""
    write_scenes(tmp_path, train=1, val=100, size=160, workers=2, max_people=3)
    found = {}
    for weights, config in BUNDLED.items():
        cfg = Config.fromfile(DEMO.parent / config)
        cfg.load_from = str(ROOT / 'weights' / weights)
        found[weights] = measured(cfg, tmp_path, weights)
    naive, final = (found[weights] for weights in BUNDLED)
    best = upper_bound(tmp_path)
    assert final['coco/AP'] >= .6 * best['coco/AP']
    assert final['mask/AP'] >= .6 * best['mask/AP']
    assert final['coco/AP'] > naive['coco/AP'] + .05
    assert final['mask/AP'] > naive['mask/AP'] + .2

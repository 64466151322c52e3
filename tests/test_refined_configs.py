"""The configs with a refiner test what their parents train."""
import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split

from pathlib import Path

import pytest
from factories import CONFIGS
from mmengine.config import Config

pytestmark = pytest.mark.usefixtures('mmpose')

SSA = CONFIGS / 'ssa'
REFINED = sorted(path.stem for path in SSA.glob('*_refine?.py'))


def test_the_papers_refined_rows_have_a_config():
    assert {
        *(f'ssa_{name}_refine{i}' for i in (1, 2)
          for name in ('r101_640', 'r152_640', 'r101_800')),
        'ssa_r101_800_test-dev_refine2', 'ssa_r101_640_body-first_refine2',
        *(f'ssa_proxy_r50_576_layer{i}_refine2' for i in range(1, 6))
    } <= set(REFINED)


@pytest.mark.parametrize('name', REFINED)
def test_a_refined_config_tests_what_its_parent_trains(name):
    parent, _, number = name.rpartition('_refine')
    cfg, plain = (Config.fromfile(SSA / f'{stem}.py').to_dict()
                  for stem in (name, parent))
    refiner, switches = cfg['model'].pop('refiner'), cfg['model']['test_cfg']
    assert Path(refiner['config']).is_file() and refiner['checkpoint']
    assert switches.pop('fill_missing') == (number == '2')
    assert not switches.pop('rescore')
    cfg.pop('refiner', None)

    testing = cfg['test_dataloader']['dataset'].pop('pipeline')
    load, *others = plain['test_dataloader']['dataset'].pop('pipeline')
    assert testing == [dict(load, keep_original=True), *others]
    assert 'ori_img' in testing[-1]['meta_keys']
    for metrics in (cfg['test_evaluator'], plain['test_evaluator']):
        metrics[0].pop('outfile_prefix', None)
    assert cfg == plain  # validation carries no pixels

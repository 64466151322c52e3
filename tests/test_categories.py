"""Any category, by name or id, among others in one file: 'cow', id 7."""
import json

import cv2
import pytest
from factories import TINY, perfect, write_scenes
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.diagnosis.results import read_truth

pytestmark = pytest.mark.usefixtures('mmpose')
HORSE, COW = 3, 7


@pytest.fixture(scope='module')
def herd(tmp_path_factory):
    """Scenes in which every second animal is a horse."""
    root = write_scenes(tmp_path_factory.mktemp('herd'), train=6, val=4)
    for path in root.glob('annotations/*.json'):
        given = json.loads(path.read_text())
        person, = given['categories']
        given['categories'] = [dict(person, id=HORSE, name='horse'),
                               dict(person, id=COW, name='cow')]
        for n, ann in enumerate(given['annotations']):
            ann['category_id'] = (COW, HORSE)[n % 2]
        path.write_text(json.dumps(given))
    return root


@pytest.fixture(autouse=True)
def forget():
    yield
    MessageHub.get_current_instance().runtime_info.pop('coco_person', None)


def truth(herd, split='val'):
    return herd / f'annotations/person_keypoints_{split}2017.json'


@pytest.fixture(params=['cow', COW])
def config(herd, tmp_path, request):
    path = tmp_path / 'herd.py'
    path.write_text(f"""
_base_ = [{str(TINY)!r}]
from mmpose_ssa.engine.config import refit
refit(_base_, person={request.param!r})
train_dataloader = dict(batch_size=2, dataset=dict(data_root={str(herd)!r}))
val_dataloader = dict(dataset=dict(data_root={str(herd)!r}))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
val_evaluator = [
    dict(type='CheckedCocoMetric', score_mode='bbox', nms_mode='none',
         outfile_prefix={str(tmp_path / 'found')!r}),
    dict(type='PersonMaskMetric', outfile_prefix={str(tmp_path / 'found')!r}),
]
test_evaluator = val_evaluator
experiment_name = {tmp_path.name!r}
visualizer = dict(name={tmp_path.name!r})
work_dir = {str(tmp_path / 'run')!r}
""")
    return path


def test_both_metrics_find_the_cows_alone(config, herd):
    """All cows and no horse: AP 1. All horses instead: AP 0."""
    cfg = Config.fromfile(config)
    data = DATASETS.build(cfg.val_dataloader.dataset)
    given = json.loads(truth(herd).read_text())
    for metric in cfg.val_evaluator:
        metric.pop('outfile_prefix')
    by_category = {}
    for category in (COW, HORSE):
        evaluator = Evaluator(cfg.val_evaluator)
        evaluator.dataset_meta = data.metainfo
        animals = [ann for ann in given['annotations']
                   if ann['category_id'] == category and ann['num_keypoints']]
        assert len(animals) > 2
        for ann in animals:
            evaluator.process([perfect(ann, truth(herd))], {})
        by_category[category] = evaluator.evaluate(len(animals))
    for name in ('coco/AP', 'mask/AP'):
        assert by_category[COW][name] == pytest.approx(1)
        assert by_category[HORSE][name] < .5


def test_training_results_and_prediction_are_of_cows(config, herd, tmp_path):
    cfg = Config.fromfile(config)
    cfg.train_dataloader.dataset.pipeline.insert(
        0, dict(type='SeedAugmentation'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    for kind, measure in (('keypoints', 'keypoints'), ('masks', 'segm')):
        file = tmp_path / f'found.{kind}.json'
        results = json.loads(file.read_text())
        assert {r['category_id'] for r in results} <= {COW}
        if results:  # any COCO tool can score them
            coco = COCO(str(truth(herd)))
            COCOeval(coco, coco.loadRes(str(file)), measure).evaluate()
    weights = tmp_path / 'run/epoch_1.pth'
    inferencer = SSAInferencer(
        str(config), str(weights), 'cpu', cfg_options={
            'model.head.decoder.score_threshold': -1.})
    image = cv2.imread(str(next((herd / 'val2017').iterdir())))
    found, = inferencer(image)
    assert {r['category_id'] for r in found['predictions']} == {COW}


def test_the_training_data_are_cows(config, herd):
    data = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    given = json.loads(truth(herd, 'train').read_text())
    cows = {a['id'] for a in given['annotations'] if a['category_id'] == COW}
    read = {number for i in range(len(data))
            for number in data.get_data_info(i)['id']}
    assert read and read == cows
    assert [c['id'] for c in data.metainfo['CLASSES']] == [COW]


@pytest.mark.parametrize('chosen', ['cow', COW])
def test_the_errors_of_cows_are_diagnosed(herd, chosen):
    given = json.loads(truth(herd).read_text())
    found = read_truth(given, person=chosen)
    assert found.category == COW
    assert {a['category_id'] for a in found.coco.anns.values()} == {COW}
    with pytest.raises(ValueError, match='one category .* say by person'):
        read_truth(given)
    with pytest.raises(ValueError, match="no category 'pig' with keypoints"):
        read_truth(given, person='pig')

"""Perfect outputs through the decoder and the metrics of testing."""
import json
import re
import runpy
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmpose.registry import DATASETS, METRICS, MODELS
from numpy.testing import assert_allclose

from mmpose_ssa.evaluation.oracle import (IdealAttention, annotated_keypoints,
                                          token_coverage)
from mmpose_ssa.models.codec import AttentionGrouping

pytestmark = pytest.mark.usefixtures('mmpose', 'no_file_is_remembered')

ROOT = Path(__file__).parents[2]
DEMO = ROOT / 'configs/demo/ssa_demo.py'


@pytest.fixture
def no_file_is_remembered():
    yield
    MessageHub.get_current_instance().runtime_info.pop('coco_ann_file', None)


# --- the ideal attention ----------------------------------------------------


def test_rows_by_hand():
    """2 x 2 tokens. Token 0 is the first person's, 1 both persons', 2 the
    second's; 3, without a mask, belongs to whose keypoint lies there."""
    coverage = np.array([[[1, .5], [0, 0]], [[0, .5], [.2, 0]]])
    tokens = np.array([[3, 0], [2, 0]])
    visible = np.array([[True, False], [True, False]])
    rows = IdealAttention(coverage, tokens, visible).rows(
        0, torch.tensor([0, 1, 2, 3]))
    first, second = [.5, .25, 0, .25], [0, .5, .5, 0]
    both = np.array([1, 1, .5, .5]) / 3
    assert_allclose(rows, [first, both, second, first], atol=1e-8)


def test_a_token_of_nobody_attends_to_all_alike():
    nobody = IdealAttention(np.zeros((0, 2, 2)), np.zeros((0, 17), int),
                            np.zeros((0, 17), bool))
    assert_allclose(nobody.rows(0, torch.tensor([1])), [[.25] * 4])


def test_the_share_of_each_token_that_a_mask_covers():
    """Drawn at half its size, shifted right by 8: x from 8 to 28."""
    person = dict(segmentation=[[0, 0, 40, 0, 40, 32, 0, 32]])
    codec = AttentionGrouping((64, 32), (16, 8))
    # pixel i lies at i: edge 0 of the image is -.5, and lands on -.5 + 8
    coverage = token_coverage([person], dict(ori_shape=(64, 96)), codec,
                              np.array([.5, .5]), np.array([7.75, -.25]))
    assert_allclose(coverage, [[[.5, .75, 0, 0], [0, 0, 0, 0]]])


# --- through the metrics ----------------------------------------------------


def evaluate(config, ann_file, img_dir, ignore_unlabelled=False,
             **options) -> dict:
    """What ``tools/oracle.py`` reports."""
    tool = runpy.run_path(str(ROOT / 'tools/oracle.py'))
    cfg = tool['ceiling_config'](Namespace(
        config=str(ROOT / 'configs' / config), ann_file=str(ann_file),
        img_dir=str(img_dir), work_dir='',
        ignore_unlabelled=ignore_unlabelled,
        cfg_options={f'model.head.decoder.{name}': value
                     for name, value in options.items()}))
    cfg.model.backbone.update(depth=18)  # only the codec matters
    cfg.model.neck.in_channels = 512
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = MODELS.build(cfg.model)
    metrics = [METRICS.build(metric) for metric in cfg.test_evaluator]
    for metric in metrics:
        metric.dataset_meta = dataset.metainfo
    for item in dataset:
        results = model.test_step(pseudo_collate([item]))
        for metric in metrics:
            metric.process({}, [result.to_dict() for result in results])
    figures = {}
    for metric in metrics:
        figures.update(metric.evaluate(len(dataset)))
    return figures


def annotation(number, box, points):
    x0, y0, x1, y1 = box
    keypoints = np.column_stack([points, np.full(len(points), 2)])
    return dict(
        id=number, image_id=1, category_id=1, iscrowd=0,
        bbox=[x0, y0, x1 - x0, y1 - y0], area=float((x1 - x0) * (y1 - y0)),
        segmentation=[[x0, y0, x1, y0, x1, y1, x0, y1]], num_keypoints=17,
        keypoints=keypoints.ravel().tolist())


@pytest.fixture
def two_persons(tmp_path):
    """The file of two who overlap, in an image beside it.

    Larger than the input, and not square: 300 x 240 into 200 x 160.
    """
    rows, columns = np.divmod(np.arange(17), 3)
    first = np.stack([45 + 40 * columns, 40 + 35 * rows], axis=-1)
    second = np.stack([170 + 40 * columns, 30 + 35 * rows[::-1]], axis=-1)
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((240, 300, 3), np.uint8))
    (tmp_path / 'persons.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='1.png', width=300, height=240)],
        categories=[dict(id=1, name='person')],
        annotations=[annotation(1, (30, 20, 170, 230), first),
                     annotation(2, (135, 15, 270, 225), second)])))
    return tmp_path / 'persons.json'


@pytest.mark.parametrize('grouping', ['part_first', 'body_first'])
def test_two_overlapping_persons_are_perfect(two_persons, grouping):
    figures = evaluate('demo/ssa_demo.py', two_persons, two_persons.parent,
                       grouping=grouping)
    assert figures['coco/AP'] == pytest.approx(1)
    assert figures['coco/AR'] == pytest.approx(1)
    # the corners of a square mask are lost to bilinear tokens
    assert figures['mask/AP .75'] == pytest.approx(1)
    assert figures['mask/AP'] > .8


# --- the command ------------------------------------------------------------


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['oracle.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/oracle.py'), run_name='__main__')


def refuse(monkeypatch, capsys, words, *arguments):
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, *arguments)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert 'usage: oracle.py' in message
    said = message.rpartition('oracle.py: error: ')[2]
    assert re.match(words, said), message
    assert 'Traceback' not in said


def test_the_command_prints_the_figures(monkeypatch, capsys, two_persons):
    command(monkeypatch, DEMO, '--ann-file', two_persons, '--img-dir',
            two_persons.parent, '--work-dir', two_persons.parent / 'out',
            '--cfg-options', 'test_dataloader.num_workers=0',
            'test_dataloader.persistent_workers=False')
    printed = capsys.readouterr().out
    assert '\ncoco/AP      1.000\n' in printed
    assert '\nmask/AP .75  1.000\n' in printed


@pytest.mark.parametrize('words, arguments', [
    (r'config no\.py does not exist: give the file', ['no.py']),
    (r'1\.png cannot be read as a config', ['1.png']),
    (r'.*topdown_tiny_256x192\.py decodes by MSRAHeatmap; perfect '
     'outputs are known for AttentionGrouping, TagGrouping only: give',
     [ROOT / 'tests/data/topdown_tiny_256x192.py']),
    (r'.*refine2\.py decodes by None; ', [ROOT / 'configs/_base_/refine2.py']),
    ('--ann-file and --img-dir go together', [DEMO, '--img-dir', '.']),
    (r'--ann-file no\.json does not exist: give the file',
     [DEMO, '--ann-file', 'no.json', '--img-dir', '.']),
    (r'--img-dir 1\.png is not a folder: give that of the images',
     [DEMO, '--ann-file', 'persons.json', '--img-dir', '1.png']),
    (r'annotation file data/synthetic/.*\.json does not exist: set data_root',
     [DEMO]),
    ("argument --cfg-options: 'grouping' is not NAME=VALUE",
     [DEMO, '--cfg-options', 'grouping']),
    (r'.*ssa_demo\.py cannot be built, correct it or --cfg-options: .*groping',
     [DEMO, '--cfg-options', 'model.head.decoder.groping=body_first']),
    (r'.*ssa_demo\.py cannot be built, correct it or --cfg-options: .*9',
     [DEMO, '--cfg-options', 'test_evaluator.9.score_mode=bbox']),
    (".*grouping.*'body-first'",
     [DEMO, '--cfg-options', 'model.head.decoder.grouping=body-first']),
    (r".*exists: '.*1\.png'", [DEMO, '--work-dir', '1.png']),
])
def test_mistakes_are_told_with_their_cure(monkeypatch, capsys, two_persons,
                                           words, arguments):
    monkeypatch.chdir(two_persons.parent)
    refuse(monkeypatch, capsys, words, *arguments)


@pytest.mark.parametrize('words, change', [
    ("annotation 2 of .*persons.json has no 'segmentation': .*; give polygons",
     lambda content: content['annotations'][1].pop('segmentation')),
    (r'annotation 2: .*\[1, 2, 3, 4\].* masks of all labelled persons',
     lambda content: content['annotations'][1].update(
         segmentation=[[1, 2, 3, 4]])),
    (r'.*persons.json has .* keypoints are not a list of 51 numbers \(2: id',
     lambda content: [ann.update(keypoints=[2] * 42)
                      for ann in content['annotations']]),
    # found by the process that loads the images
    (r'FileNotFoundError: image .*/2\.png does not exist: set data_root',
     lambda content: content['images'][0].update(file_name='2.png')),
])
def test_faulty_data_are_named(monkeypatch, capsys, two_persons, words,
                               change):
    content = json.loads(two_persons.read_text())
    change(content)
    two_persons.write_text(json.dumps(content))
    refuse(monkeypatch, capsys, words, DEMO, '--ann-file', two_persons,
           '--img-dir', two_persons.parent, '--work-dir',
           two_persons.parent / 'out')


def test_keypoints_that_are_not_the_codecs_are_named():
    """As of a data set with a metainfo of its own."""
    metainfo = dict(raw_ann_info=[annotation(1, (0, 0, 9, 9), [[5, 5]] * 14)])
    with pytest.raises(ValueError, match='annotation 1 has 42 numbers as key'):
        annotated_keypoints(metainfo, 17)


# --- on COCO ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize('options, keypoint_ap', [
    (dict(), .807),
    (dict(grouping='body_first'), .789),
    (dict(unbiased=True), .840),
    (dict(unbiased=True, grouping='body_first'), .844),
])
def test_the_ceiling_on_coco(coco_mini, options, keypoint_ap):
    """No lower than that of an independent implementation, but for .02."""
    figures = evaluate(
        'ssa/ssa_r101_640.py',
        coco_mini / 'annotations/person_keypoints_train2017.json',
        coco_mini / 'train2017', **options)
    assert figures['coco/AP'] > keypoint_ap - .02
    assert figures['mask/AP'] > .361 - .02


@pytest.mark.slow
def test_the_ceiling_of_masks_of_labelled_persons(coco_mini):
    figures = evaluate(
        'ssa/ssa_r101_640.py',
        coco_mini / 'annotations/person_keypoints_train2017.json',
        coco_mini / 'train2017', ignore_unlabelled=True)
    assert figures['mask/AP'] > .691 - .02

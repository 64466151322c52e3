"""Own and perfect outputs through the decoder and the metrics of testing."""
import gc
import json
import multiprocessing
import re

import numpy as np
import oracle
import pytest
import torch
from factories import (CONFIGS, DATA, DEMO, TINY, person, random_model,
                       rectangle, save_weights, two_overlapping_persons,
                       write_scenes)
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmpose.registry import DATASETS, MODELS
from mmpose.structures import PoseDataSample
from numpy.testing import assert_allclose

from mmpose_ssa.evaluation.oracle import (PAIRS, AttentionOracle,
                                          PerfectAttention,
                                          annotated_keypoints, decompose,
                                          token_coverage)
from mmpose_ssa.models.codec import AttentionGrouping

pytestmark = pytest.mark.usefixtures('mmpose')


# --- perfect attention ------------------------------------------------------


def test_rows_by_hand():
    """2 x 2 tokens. Token 0 is the first person's, 1 both persons', 2 the
    second's; 3, without a mask, belongs to whose keypoint lies there."""
    coverage = np.array([[[1, .5], [0, 0]], [[0, .5], [.2, 0]]])
    tokens = np.array([[3, 0], [2, 0]])
    visible = np.array([[True, False], [True, False]])
    rows = PerfectAttention(coverage, tokens, visible).rows(
        0, torch.tensor([0, 1, 2, 3]))
    first, second = [.5, .25, 0, .25], [0, .5, .5, 0]
    both = np.array([1, 1, .5, .5]) / 3
    assert_allclose(rows, [first, both, second, first], atol=1e-8)


def test_a_token_of_nobody_attends_to_all_alike():
    nobody = PerfectAttention(np.zeros((0, 2, 2)), np.zeros((0, 17), int),
                            np.zeros((0, 17), bool))
    assert_allclose(nobody.rows(0, torch.tensor([1])), [[.25] * 4])


def test_the_share_of_each_token_that_a_mask_covers():
    """Drawn at half its size, shifted right by 8: x from 8 to 28."""
    person = dict(segmentation=[rectangle(0, 0, 40, 32)])
    codec = AttentionGrouping((64, 32), (16, 8))
    # pixel i lies at i: edge 0 of the image is -.5, and lands on -.5 + 8
    coverage = token_coverage([person], dict(ori_shape=(64, 96)), codec,
                              np.array([.5, .5]), np.array([7.75, -.25]))
    assert_allclose(coverage, [[[.5, .75, 0, 0], [0, 0, 0, 0]]])


# --- the pairs --------------------------------------------------------------


class Letters:
    """An oracle, and its model, whose outputs are letters."""

    def __init__(self):
        self.model, self.batches, self.kinds = self, [], []

    def data_preprocessor(self, batch, training):
        assert not training
        return dict(batch, inputs=torch.stack(batch['inputs']) + 1)

    def own(self, inputs, samples):
        self.batches.append(inputs)
        return [(f'h{i}', f'a{i}') for i in range(len(inputs))]

    def perfect(self, metainfo, input_size):
        number = metainfo['img_id']
        return f'H{number} {tuple(input_size)}', f'A{number}'

    def persons(self, heatmaps, association, metainfo, perfect):
        assert perfect == heatmaps.startswith('H')
        return f"{metainfo['img_id']}: {heatmaps}, {association}"

    def add_pred_to_datasample(self, persons, fields, samples):
        assert fields is None and len(persons) == len(samples)
        return persons


class Heard(list):
    def process(self, samples):
        self.extend(samples)


BATCH = dict(inputs=[torch.zeros(3, 4, 6)] * 2, data_samples=[
    PoseDataSample(metainfo=dict(img_id=number)) for number in (7, 8)])


def test_each_pair_comes_from_one_forward():
    letters, heard = Letters(), {pair: Heard() for pair in PAIRS}
    decompose(letters, [BATCH, BATCH], heard)
    assert [batch.shape for batch in letters.batches] == [(2, 3, 4, 6)] * 2
    assert all((batch == 1).all() for batch in letters.batches)
    assert list(heard.values()) == [
        ['7: h0, a0', '8: h1, a1'] * 2,
        ['7: h0, A7', '8: h1, A8'] * 2,
        ['7: H7 (6, 4), a0', '8: H8 (6, 4), a1'] * 2,
        ['7: H7 (6, 4), A7', '8: H8 (6, 4), A8'] * 2]


def test_the_model_is_not_asked_where_all_is_perfect():
    letters, heard = Letters(), {PAIRS[-1]: Heard()}
    decompose(letters, [BATCH], heard)
    assert not letters.batches
    assert heard[True, True] == ['7: H7 (6, 4), A7', '8: H8 (6, 4), A8']


@pytest.mark.parametrize('flip_test', [False, True])
def test_own_outputs_are_those_of_a_test(tmp_path, flip_test):
    cfg = Config.fromfile(TINY)
    cfg.model.test_cfg.flip_test = flip_test
    cfg.test_dataloader.dataset.data_root = str(write_scenes(tmp_path))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = random_model(cfg, attention_std=1.).eval()
    model.data_preprocessor._device = torch.device('cpu')
    heard = Heard()
    heard.process = lambda found: heard.extend(
        sample.pred_instances for sample in found)
    batches = [pseudo_collate([item]) for item in dataset]
    decompose(AttentionOracle(model), batches, {(False, False): heard})
    with torch.no_grad():
        tested = [sample.pred_instances for batch in batches
                  for sample in model.test_step(batch)]
    assert sum(len(persons.masks) for persons in heard) > 2
    for own, persons in zip(heard, tested, strict=True):
        for name in ('keypoints', 'bbox_scores', 'attention_maps'):
            assert_allclose(own[name], persons[name], rtol=1e-4, atol=1e-6)
        assert len(own.masks) == len(persons.masks)


class Uniform:
    """Attention of a network that does not know who is who."""

    def __init__(self, grid):
        self.grid, self.count = grid, grid[0] * grid[1]

    def rows(self, image, tokens):
        return torch.full((len(tokens), self.count), 1 / self.count)


def test_what_heatmaps_and_attention_lose_is_told_apart(two_persons):
    """Heatmaps that are perfect, and attention that is none."""
    args = oracle.make_parser().parse_args([
        str(DEMO), '--ann-file', str(two_persons), '--img-dir',
        str(two_persons.parent)])
    cfg = oracle.test_config(args)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = MODELS.build(cfg.model)
    knowing = AttentionOracle(model)
    batches = [pseudo_collate([item]) for item in dataset]

    def own(inputs, samples):
        (heatmaps, (attention, _)), = [
            knowing.perfect(sample.metainfo, inputs.shape[:1:-1])
            for sample in samples]
        return [(heatmaps, (Uniform(attention.grid), 0))]

    knowing.own = own
    # the demo's threshold is below the Gaussians' tails
    knowing.codec = knowing.sharp
    evaluators = {pair: Evaluator(cfg.test_evaluator) for pair in PAIRS}
    for evaluator in evaluators.values():
        evaluator.dataset_meta = dataset.metainfo
    decompose(knowing, batches, evaluators)
    found = {pair: evaluator.evaluate(1)
             for pair, evaluator in evaluators.items()}
    for pair in PAIRS:
        assert (found[pair]['coco/AP'] > .99) == pair[1]
        assert (found[pair]['mask/AP .5'] > .99) == pair[1]


# --- through the metrics ----------------------------------------------------


def upper_bound(config, ann_file, img_dir, *arguments, **options) -> dict:
    """What the command finds without weights."""
    options = [f'model.head.decoder.{name}={value}'
               for name, value in options.items()]
    if options:
        options = ['--cfg-options', *options]
    results = oracle.measure(oracle.make_parser().parse_args([
        str(CONFIGS / config), '--ann-file', str(ann_file), '--img-dir',
        str(img_dir), *arguments, *options]))
    assert list(results) == ['perfect + perfect']
    return results['perfect + perfect']


@pytest.fixture
def two_persons(tmp_path):
    return two_overlapping_persons(tmp_path)


@pytest.mark.parametrize('options', [
    dict(grouping='part_first'), dict(grouping='body_first'),
    dict(matching='score_attraction', fill_missing='attention',
         pair_targets=True)])
def test_two_overlapping_persons_are_perfect(two_persons, options):
    metrics = upper_bound('demo/ssa_demo.py', two_persons, two_persons.parent,
                          **options)
    assert metrics['coco/AP'] == pytest.approx(1)
    assert metrics['coco/AR'] == pytest.approx(1)
    # the corners of a square mask are lost to bilinear tokens
    assert metrics['mask/AP .75'] == pytest.approx(1)
    assert metrics['mask/AP'] > .8


# --- the command ------------------------------------------------------------


def refuse(capsys, words, *arguments):
    with pytest.raises(SystemExit) as stop:
        oracle.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert 'usage: ' in message
    said = message.rpartition(': error: ')[2]
    assert re.search(words, said), message
    assert 'Traceback' not in said


def on(two_persons):
    """Arguments; no process is started for one image."""
    return ['--ann-file', two_persons, '--img-dir', two_persons.parent]


QUICK = ['--cfg-options', 'test_dataloader.num_workers=0',
         'test_dataloader.persistent_workers=False']


def test_the_command_prints_a_table(capsys, two_persons):
    out = two_persons.parent / 'oracle.json'
    oracle.main([str(argument) for argument in (
        DEMO, *on(two_persons), '--out', out, *QUICK)])
    assert capsys.readouterr().out.splitlines() == [
        '| heatmaps + association   |   coco/AP |   coco/AP .5 |   mask/AP '
        '|   mask/AP .5 |',
        '|:-------------------------|----------:|-------------:|----------:'
        '|-------------:|',
        '| perfect + perfect        |     1.000 |        1.000 |     0.925 '
        '|        1.000 |']
    metrics = json.loads(out.read_text())['perfect + perfect']
    assert metrics['mask/AP'] == pytest.approx(.925, abs=5e-4)
    assert len(metrics) > 15


def test_weights_give_all_four_rows(capsys, two_persons, tmp_path):
    weights = save_weights(random_model(DEMO), tmp_path / 'ssa.pth')
    oracle.main([str(argument) for argument in (
        DEMO, weights, *on(two_persons), *QUICK)])
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        'own + own', 'own + perfect', 'perfect + own', 'perfect + perfect']
    assert rows[0][1:] == ['0.000'] * 4 and rows[3][1] == '1.000'


@pytest.mark.parametrize('words, arguments', [
    (r'config no\.py', ['no.py']),
    (r'1\.png cannot be read as a config', ['1.png']),
    (r'topdown_tiny_256x192\.py .* MSRAHeatmap.* AttentionGrouping',
     [DATA / 'topdown_tiny_256x192.py']),
    (r'refine2\.py decodes by None', [CONFIGS / '_base_/refine2.py']),
    ('--ann-file and --img-dir', [DEMO, '--img-dir', '.']),
    (r'--ann-file no\.json',
     [DEMO, '--ann-file', 'no.json', '--img-dir', '.']),
    (r'--img-dir 1\.png',
     [DEMO, '--ann-file', 'persons.json', '--img-dir', '1.png']),
    (r'--out no/way\.json', [DEMO, '--out', 'no/way.json']),
    (r'checkpoint no\.pth', [DEMO, 'no.pth']),
    ("'gpu:x'", [DEMO, '1.png', '--device', 'gpu:x']),
    (r'data/synthetic/.*\.json .* data_root', [DEMO]),
    ("--cfg-options: 'grouping'", [DEMO, '--cfg-options', 'grouping']),
    (r'ssa_demo\.py .* --cfg-options: .*groping',
     [DEMO, '--cfg-options', 'model.head.decoder.groping=body_first']),
    (r'ssa_demo\.py .* --cfg-options: .*9',
     [DEMO, '--cfg-options', 'test_evaluator.9.score_mode=bbox']),
    (".*grouping.*'body-first'",
     [DEMO, '--cfg-options', 'model.head.decoder.grouping=body-first']),
])
def test_mistakes_are_told_with_their_remedy(
        monkeypatch, capsys, two_persons, words, arguments):
    monkeypatch.chdir(two_persons.parent)
    refuse(capsys, words, *arguments)


@pytest.mark.parametrize('words, change', [
    (r'persons.json .* without segmentation \(1: id 2\)',
     lambda content: content['annotations'][1].pop('segmentation')),
    (r'persons.json .* segmentation \(1: id 2; .*\[1, 2, 3, 4\]',
     lambda content: content['annotations'][1].update(
         segmentation=[[1, 2, 3, 4]])),
    (r'persons.json .*keypoints .* 51 .*\(2: id',
     lambda content: [ann.update(keypoints=[2] * 42)
                      for ann in content['annotations']]),
    # found by the process that loads the images
    (r'FileNotFoundError: image .*/2\.png',
     lambda content: content['images'][0].update(file_name='2.png')),
])
def test_faulty_data_are_named(capsys, two_persons, words, change):
    content = json.loads(two_persons.read_text())
    change(content)
    two_persons.write_text(json.dumps(content))
    refuse(capsys, words, DEMO, *on(two_persons))
    gc.collect()  # a loader's process ends with its loader
    for process in multiprocessing.active_children():
        process.join()


def test_keypoints_that_are_not_the_codecs_are_named():
    """As of a data set with a metainfo of its own."""
    metainfo = dict(raw_ann_info=[person([[5, 5]] * 14, kinds=14)])
    with pytest.raises(ValueError, match='annotation 1 .* 42 .* 17'):
        annotated_keypoints(metainfo, 17)


# --- on COCO ----------------------------------------------------------------


def on_coco(coco_mini, *arguments, **options) -> dict:
    return upper_bound(
        'ssa/ssa_r101_640.py',
        coco_mini / 'annotations/person_keypoints_train2017.json',
        coco_mini / 'train2017', *arguments, **options)


@pytest.mark.slow
@pytest.mark.parametrize('options, keypoint_ap', [
    (dict(), .807),
    (dict(grouping='body_first'), .789),
    (dict(unbiased=True), .840),
    (dict(unbiased=True, grouping='body_first'), .844),
])
def test_the_upper_bound_on_coco(coco_mini, options, keypoint_ap):
    """No lower than that of an independent implementation, but for .02."""
    metrics = on_coco(coco_mini, **options)
    assert metrics['coco/AP'] > keypoint_ap - .02
    assert metrics['mask/AP'] > .361 - .02


@pytest.mark.slow
def test_the_upper_bound_of_masks_of_labelled_persons(coco_mini):
    metrics = on_coco(coco_mini, '--ignore-unlabelled')
    assert metrics['mask/AP'] > .691 - .02

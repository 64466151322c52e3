"""The page, in a real browser, knows and groups as the model does."""
import base64
import dataclasses
import html
import itertools
import json
import re
import zlib

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from explored import DECODED, needs_browser, same_persons
from factories import CONFIGS, TINY, random_model, save_weights
from mmengine.config import Config

from mmpose_ssa.apis.explore import LIMIT, look, page, quantised
from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.apis.local_visualizer import DRAW_THR
from mmpose_ssa.decoding import decode
from mmpose_ssa.decoding.candidates import find_candidates
from mmpose_ssa.decoding.clicked import person_at
from mmpose_ssa.decoding.coordinates import (content_box, content_cells,
                                             input_from_image, tokens_at)

pytestmark = pytest.mark.usefixtures('mmpose')


# --- what the page knows ----------------------------------------------------


@needs_browser
def test_rows_of_every_layer_are_the_models(inferencer, image, text, browse):
    outputs = look(inferencer, image)
    tokens = [0, 7, 111, 240]
    report = browse(text, f"""
      const tokens = {tokens};
      for (const i in layers) await unpack(i);
      return layers.map((_, i) => tokens.map(t => Array.from(rowAt(i, t))));
    """)
    assert len(report) == len(outputs.layers) == 4
    for layer, rows in zip(outputs.layers, report):
        expected = layer.rows(0, torch.tensor(tokens)).numpy()
        assert np.abs(np.array(rows) - expected).max() < 2e-3 * expected.max()


@needs_browser
@pytest.mark.parametrize('options', [
    dict(), dict(matching='attraction', fill_missing=False),
    dict(score_threshold=.06, attraction_threshold=.02),
    dict(mask_threshold=.15, merge_threshold=.1), dict(size_exponent=.5)])
def test_it_groups_as_the_decoder_does(inferencer, image, text, browse,
                                       options):
    outputs = look(inferencer, image)
    attention = outputs.layers[outputs.supervised]
    expected = decode(
        outputs.heatmaps,
        lambda tokens: attention.rows(0, torch.from_numpy(tokens)).numpy(),
        dataclasses.replace(inferencer.model.head.decoder.options, **options),
        content_box(outputs.metainfo))
    assert len(expected.keypoints) > 1
    same_persons(browse(text, f"""
      Object.assign(model.options, {json.dumps(options)});
      regroup();
      {DECODED}"""), expected)


@needs_browser
def test_a_click_finds_the_person_there(inferencer, image, text, browse):
    outputs = look(inferencer, image)
    decoder = inferencer.model.head.decoder
    options = decoder.options
    attention = outputs.layers[outputs.supervised]
    scale, offset = input_from_image(outputs.metainfo)
    found = find_candidates(
        outputs.heatmaps, options.score_threshold, options.nms_kernel,
        options.max_candidates, content_cells(
            content_box(outputs.metainfo), options.heatmap_stride,
            outputs.heatmaps.shape[1:]))
    tokens = tokens_at(found.cells * options.heatmap_stride,
                       options.token_stride, attention.grid)
    points = np.array([[70., 60], [200, 220], [270, 100], [399, 299]])
    report = browse(text, f"""
      return {points.tolist()}.map(point => {{
        const token = tokenAt(point);
        const p = personAt(token, rowAt(data.supervised, token), rowOf, model);
        return {{token, map: Array.from(p.map), scores: p.candidates.map(
          c => c < 0 ? 0 : model.candidates.scores[c])}};
      }});""")
    for point, person in zip(points, report):
        token = tokens_at(point * scale + offset, options.token_stride,
                          attention.grid)
        assert person['token'] == token
        row, = attention.rows(0, torch.tensor([int(token)])).numpy()
        chosen, token_map = person_at(
            row, found.types, tokens, found.scores, 17,
            options.mask_threshold)
        assert np.abs(person['map'] - token_map).max() < 5e-3
        assert person['scores'] == pytest.approx(np.where(
            chosen >= 0, found.scores[chosen], 0), rel=1e-5)


@needs_browser
def test_the_assignment_is_the_best_of_all(text, browse):
    rng = np.random.default_rng(0)
    gains = [rng.random(shape).round(3).tolist() for shape in (
        (1, 1), (2, 3), (3, 2), (4, 4), (5, 3), (3, 5), (1, 4))]
    report = browse(text, f'return {gains}.map(assign);')
    for gain, found in zip(map(np.array, gains), report):
        rows, columns = gain.shape
        taken = [c for c in found if c >= 0]
        assert len(set(taken)) == len(taken) == min(rows, columns)
        total = sum(gain[r, c] for r, c in enumerate(found) if c >= 0)
        wide = gain if rows <= columns else gain.T
        best = max(sum(wide[r, c] for r, c in enumerate(chosen))
                   for chosen in itertools.permutations(
                       range(wide.shape[1]), len(wide)))
        assert total == pytest.approx(best)


# --- what the user does -----------------------------------------------------


@needs_browser
def test_persons_are_merged_split_dropped_and_undone(text, browse):
    report = browse(text, """
      const before = state.persons.map(p => p.candidates.join());
      const counts = [], note = () => counts.push(state.persons.length);
      note();
      state.chosen = 0; refresh(); $('merge').click();
      $('persons').children[1].click(); note();
      const union = state.persons[0].candidates;
      $('split').click(); note();
      const halves = state.persons.slice(0, 2).map(p => p.candidates);
      $('drop').click(); note();
      while (!$('undo').disabled) $('undo').click();
      note();
      return {counts, union, halves, first: before.slice(0, 2),
        same: before.join() === state.persons.map(p => p.candidates).join()};
    """)
    n = report['counts'][0]
    assert report['counts'] == [n, n - 1, n, n - 1, n] and n > 1
    assert report['same']
    one, other = ([int(c) for c in p.split(',')] for p in report['first'])
    for kind, candidate in enumerate(report['union']):
        assert candidate in (one[kind], other[kind])
        assert (candidate < 0) == (one[kind] < 0 and other[kind] < 0)
        assert sorted(half[kind] for half in report['halves']) == sorted(
            [candidate, -1])
    assert all(max(half) >= 0 for half in report['halves'])


@needs_browser
def test_a_pointer_finds_moves_and_shows(text, browse):
    """By events, as a mouse makes them."""
    report = browse(text, """
      const send = (kind, [x, y]) => {
        const box = canvas.getBoundingClientRect();  // the page may move
        const zoom = box.width / imageWidth;
        canvas.dispatchEvent(new PointerEvent(
          kind, {pointerId: 1, clientX: box.left + (x + .5) * zoom,
            clientY: box.top + (y + .5) * zoom}));
      };
      canvas.setPointerCapture = () => {};
      const person = state.persons[0], kind = person.points.findIndex(p => p);
      const place = placeOf(person, kind);
      const pixels = () => canvas.getContext('2d').getImageData(
        0, 0, canvas.width, canvas.height).data.reduce((a, b) => a + b, 0);
      const still = pixels();
      state.pointer = [100, 100]; follow();
      const hovered = pixels();
      send('pointerdown', place); send('pointerup', place);
      const chosen = state.chosen;
      const rows = $('why-table').tBodies[0].rows.length;
      const target = [place[0] + 20, place[1] + 10];
      send('pointerdown', place); send('pointermove', target);
      send('pointerup', target);
      const moved = annotations().annotations[state.chosen].keypoints.slice(
        3 * kind, 3 * kind + 3);
      return {chosen, rows, moved, target, changed: still !== hovered,
        members: person.candidates.filter(c => c >= 0).length};
    """)
    assert report['chosen'] == 0 and report['changed']
    assert report['rows'] == report['members'] > 3
    assert report['moved'] == pytest.approx([*report['target'], 2], abs=.02)


@needs_browser
def test_the_download_is_coco_and_the_inferencers(inferencer, image, text,
                                                  browse):
    found = browse(text, 'return annotations();')
    assert found['images'] == [dict(id=1, file_name='people.jpg', width=400,
                                    height=300)]
    assert found['categories'][0]['keypoints'][0] == 'nose'
    # weak persons are hidden, and so not downloaded, until they are ticked
    result, = inferencer(image, person_thr=DRAW_THR)
    assert len(found['annotations']) == len(result['predictions']) > 1
    for ours, theirs in zip(found['annotations'], result['predictions']):
        points, expected = (np.reshape(p['keypoints'], (17, 3))
                            for p in (ours, theirs))
        assert np.array_equal(points[:, 2] > 0, expected[:, 2] > 0)
        there = points[:, 2] > 0
        sure = there & ~np.array(theirs['keypoints_filled'])
        assert np.abs(points[sure, :2] - expected[sure, :2]).max() < .02
        assert np.abs(points[there, :2] - expected[there, :2]).max() < 2
        rle = coco_mask.frPyObjects(ours['segmentation'], 300, 400)
        assert coco_mask.iou([rle], [theirs['segmentation']], [0])[0, 0] > .98
        assert coco_mask.area(rle) == ours['area']
        assert coco_mask.toBbox(rle).tolist() == ours['bbox']


# --- the file ---------------------------------------------------------------


def test_it_needs_nothing_from_elsewhere(text):
    assert not re.findall(r'(?:src|href)=["\']?(?!data:)\w+:', text)
    assert '://' not in text
    assert "default-src 'none'" in text


def test_a_file_name_cannot_leave_its_place(inferencer, image):
    name = '</script><script>alert(1)</script>"\'&.jpg'
    text = page(inferencer, image, name)
    assert '<script>alert' not in text
    content = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(content)['file_name'] == name
    title = re.search(r'<title>(.*?)</title>', text)[1]
    assert html.unescape(title).startswith(name)


@pytest.mark.parametrize('bits', [8, 12, 16])
def test_numbers_are_within_half_a_step(bits):
    values = np.random.default_rng(0).normal(size=500).astype(np.float32)
    found = quantised(values, bits)
    raw = np.frombuffer(zlib.decompress(base64.b64decode(
        found['content'])), np.uint8)
    whole = raw.view(np.int8).astype(int) if bits == 8 else (
        raw[500:].view(np.int8) * 256 + raw[:500])
    assert np.abs(whole * found['scale'] - values).max() <= (
        .5 * found['scale'] * 1.001)
    assert found['scale'] == pytest.approx(
        np.abs(values).max() / (2**(bits - 1) - 1))
    assert quantised(np.zeros(3), bits)['scale'] == 1


@pytest.mark.slow
def test_at_640_pixels_it_stays_small(tmp_path):
    cfg = Config.fromfile(CONFIGS / 'ssa/ssa_r50_640.py')
    cfg.model.backbone.init_cfg = None
    weights = save_weights(random_model(cfg, std=.05), tmp_path / 'r50.pth')
    cfg.model.head.decoder.score_threshold = .05
    image = np.random.default_rng(0).integers(
        0, 255, (640, 640, 3)).astype(np.uint8)
    text = page(SSAInferencer(cfg, weights, 'cpu'), image, 'noise.jpg')
    assert len(text) <= LIMIT
    content = json.loads(re.search(
        r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    bits = [layer['q']['bits'] for layer in content['layers']]
    assert len(bits) == 6 and bits[3] == 12
    assert set(bits[:3] + bits[4:]) <= {12, 8}


@pytest.mark.parametrize('limit, bits', [
    (10**9, [16, 16, 16, 16]), (1_300_000, [12, 12, 12, 12]),
    (1_000_000, [8, 8, 12, 8]), (800_000, [6, 6, 12, 6]),
    (600_000, [6, 12]), (500_000, [12])])
def test_a_page_gives_up_bits_before_layers(inferencer, image, monkeypatch,
                                            limit, bits):
    monkeypatch.setattr('mmpose_ssa.apis.explore.LIMIT', limit)
    text = page(inferencer, image, 'people.jpg')
    assert len(text) <= limit
    content = json.loads(re.search(
        r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    layers = content['layers']
    assert [layer['q']['bits'] for layer in layers] == bits
    assert layers[content['supervised']]['name'].endswith('(supervised)')


def test_a_page_that_cannot_be_small_enough(inferencer, image, monkeypatch):
    monkeypatch.setattr('mmpose_ssa.apis.explore.LIMIT', 100_000)
    with pytest.raises(ValueError, match='smaller image'):
        page(inferencer, image, 'people.jpg')


@pytest.mark.parametrize('name, value', [
    ('grouping', 'body_first'), ('mask_mode', 'binary')])
def test_a_grouping_that_the_page_does_not_know(name, value, image):
    found = SSAInferencer('demo', device='cpu', cfg_options={
        f'model.head.decoder.{name}': value})
    with pytest.raises(ValueError, match=f'{name}={value!r}.*part_first'):
        page(found, image, 'people.jpg')


def test_models_that_cannot_be_explored(tmp_path):
    cfg = Config.fromfile(TINY)
    cfg.model.neck.association = 'naive'
    naive = SSAInferencer(
        cfg, save_weights(random_model(cfg), tmp_path / 'naive.pth'), 'cpu')
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match='naive.*supervised one'):
        look(naive, image)
    cfg.model.neck.association = 'independent'
    apart = look(SSAInferencer(cfg, save_weights(
        random_model(cfg), tmp_path / 'apart.pth'), 'cpu'), image)
    assert apart.names[apart.supervised] == 'independent (supervised)'
    assert len(apart.layers) == len(apart.names)

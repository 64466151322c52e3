"""The page, in a real browser, knows and groups as the model does."""
import dataclasses
import html
import itertools
import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from factories import CONFIGS, ROOT, TINY, random_model, save_weights
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
BROWSER = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome'))), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason='needs Chromium, to run the page')

REPORT = """
<script>
addEventListener('load', () => setTimeout(() => {
  const pre = document.createElement('pre');
  pre.id = 'report';
  try { pre.textContent = JSON.stringify((() => { CODE })()); }
  catch (error) { pre.textContent = JSON.stringify({error: String(error)}); }
  document.body.append(pre);
}, 500));
</script>
</body>"""


def browse(folder, text, code):
    """What a piece of JavaScript returns in the page once it is open."""
    file = folder / 'page.html'
    file.write_text(text.replace('</body>', REPORT.replace('CODE', code)))
    done = subprocess.run(
        [BROWSER, '--headless', '--no-sandbox', '--disable-gpu',
         f'--user-data-dir={folder}/profile', '--virtual-time-budget=20000',
         '--dump-dom', file.as_uri()], capture_output=True, text=True,
        timeout=100)
    found = re.search(r'<pre id="report">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    report = json.loads(html.unescape(found[1]))
    assert not (isinstance(report, dict) and 'error' in report), report
    return report


@pytest.fixture(scope='module')
def inferencer():
    return SSAInferencer('demo', device='cpu')


@pytest.fixture(scope='module')
def image():
    """Three people on an image that is not square."""
    return cv2.imread(str(ROOT / 'docs/images/people.jpg'))[:300]


@pytest.fixture(scope='module')
def text(inferencer, image):
    return page(inferencer, image, 'people.jpg')


# --- what the page knows ----------------------------------------------------


@needs_browser
def test_rows_of_every_layer_are_the_models(inferencer, image, text, tmp_path):
    outputs = look(inferencer, image)
    tokens = [0, 7, 111, 240]
    report = browse(tmp_path, text, f"""
      const tokens = {tokens};
      return layers.map((_, i) => tokens.map(t => Array.from(rowAt(i, t))));
    """)
    assert len(report) == len(outputs.layers) == 4
    for layer, rows in zip(outputs.layers, report):
        expected = layer.rows(0, torch.tensor(tokens)).numpy()
        assert np.abs(np.array(rows) - expected).max() < 2e-3 * expected.max()


DECODED = """
  return state.persons.map(p => ({
    candidates: p.candidates, score: p.score, map: Array.from(p.map),
    points: p.points.map(q => q && [...q.point, q.score, q.filled])}));
"""


def same_persons(report, expected):
    assert len(report) == len(expected.keypoints)
    for p, person in enumerate(report):
        assert person['score'] == pytest.approx(expected.scores[p], rel=1e-5)
        assert np.abs(person['map'] - expected.maps[p].ravel()).max() < 5e-3
        for k, point in enumerate(person['points']):
            if expected.keypoint_scores[p, k] == 0:
                assert point is None
                continue
            # filled ones are refined by heatmaps of 16 bits, often weak
            assert point[:2] == pytest.approx(
                expected.keypoints[p, k], abs=1. if point[3] else 1e-6)
            assert point[2] == pytest.approx(
                expected.keypoint_scores[p, k], abs=1e-4)
            assert point[3] == expected.filled[p, k]


@needs_browser
@pytest.mark.parametrize('options', [
    dict(), dict(matching='attraction', fill_missing=False),
    dict(score_threshold=.06, attraction_threshold=.02),
    dict(mask_threshold=.15, merge_threshold=.1), dict(size_exponent=.5)])
def test_it_groups_as_the_decoder_does(inferencer, image, text, tmp_path,
                                       options):
    outputs = look(inferencer, image)
    attention = outputs.layers[outputs.supervised]
    expected = decode(
        outputs.heatmaps,
        lambda tokens: attention.rows(0, torch.from_numpy(tokens)).numpy(),
        dataclasses.replace(inferencer.model.head.decoder.options, **options),
        content_box(outputs.metainfo))
    assert len(expected.keypoints) > 1
    same_persons(browse(tmp_path, text, f"""
      Object.assign(model.options, {json.dumps(options)});
      regroup();
      {DECODED}"""), expected)


@needs_browser
def test_a_click_finds_the_person_there(inferencer, image, text, tmp_path):
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
    report = browse(tmp_path, text, f"""
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
def test_the_assignment_is_the_best_of_all(text, tmp_path):
    rng = np.random.default_rng(0)
    gains = [rng.random(shape).round(3).tolist() for shape in (
        (1, 1), (2, 3), (3, 2), (4, 4), (5, 3), (3, 5), (1, 4))]
    report = browse(tmp_path, text, f'return {gains}.map(assign);')
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
def test_persons_are_merged_split_dropped_and_undone(text, tmp_path):
    report = browse(tmp_path, text, """
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
def test_a_pointer_finds_moves_and_shows(text, tmp_path):
    """By events, as a mouse makes them."""
    report = browse(tmp_path, text, """
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
      const chosen = state.chosen, rows = $('why').tBodies[0].rows.length;
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
                                                  tmp_path):
    found = browse(tmp_path, text, 'return annotations();')
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


@pytest.mark.parametrize('bits', [8, 16])
def test_numbers_are_within_half_a_step(bits):
    import base64
    values = np.random.default_rng(0).normal(size=500).astype(np.float32)
    found = quantised(values, bits)
    whole = np.frombuffer(base64.b64decode(found['content']),
                          f'<i{bits // 8}')
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
    assert [layer['q']['bits'] for layer in content['layers']] == [
        8, 8, 8, 16, 8, 8]


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

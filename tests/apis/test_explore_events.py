"""The page as users use it: by slider, keyboard, mouse and touch."""
import dataclasses

import cv2
import numpy as np
import pytest
import torch
from explored import DECODED, needs_browser, same_persons
from factories import ROOT
from shared.browser import PHONE

from mmpose_ssa.apis.explore import look, page
from mmpose_ssa.apis.inferencer import SSAInferencer
from mmpose_ssa.apis.local_visualizer import DRAW_THR
from mmpose_ssa.decoding import decode
from mmpose_ssa.decoding.coordinates import content_box

NOSE = 0
pytestmark = [pytest.mark.usefixtures('mmpose'), needs_browser]

SLIDE = """
  const slider = $(%r);
  const before = canvas.toDataURL();
  slider.value = %r;
  slider.dispatchEvent(new Event('input'));
  const shown = $(slider.id + '-value').value;
"""


@pytest.mark.parametrize('slider, value, shown, options', [
    ('t', .15, '0.15', dict(score_threshold=.15)),
    ('lambda', -1, '0.1', dict(attraction_threshold=.1)),
    ('sigma', .6, '0.6', dict(mask_threshold=.6))])
def test_sliders_group_as_the_decoder_with_these_options(
        inferencer, image, text, browse, slider, value, shown, options):
    report = browse(text, SLIDE % (slider, value) + f"""
      return {{shown, redrawn: before !== canvas.toDataURL(),
        persons: (() => {{ {DECODED} }})()}};""")
    assert report['shown'] == shown and report['redrawn']
    outputs = look(inferencer, image)
    attention = outputs.layers[outputs.supervised]

    def rows(tokens):
        return attention.rows(0, torch.from_numpy(tokens)).numpy()

    same_persons(report['persons'], decode(
        outputs.heatmaps, rows, dataclasses.replace(
            inferencer.model.head.decoder.options, **options),
        content_box(outputs.metainfo)))


PLACE = """
  const box = canvas.getBoundingClientRect();
  const [x, y] = placeOf(state.persons[%d], %d);
  return [box.left + (x + .5) * box.width / imageWidth,
    box.top + (y + .5) * box.height / imageHeight];
"""


def test_the_keyboard_alone(text, browse, browser):
    n = browse(text, "$('picture').focus(); return state.persons.length;")
    middle = browser.run('return [imageWidth / 2, imageHeight / 2, '
                         'model.options.token_stride / data.scale[0]];')
    browser.key('ArrowRight')
    browser.key('ArrowUp')
    assert browser.run('return state.pointer;') == pytest.approx(
        [middle[0] + middle[2], middle[1] - middle[2]])
    # Enter finds whom the page's own click finds there
    browser.run(f'state.pointer = placeOf(state.persons[1], '
                f'{NOSE}); follow();')
    browser.key('Enter')
    assert browser.run('return state.chosen;') == 1
    browser.key('s')
    assert browser.run('return state.persons.length;') == n + 1
    browser.key('m')
    assert browser.run("return [state.merging, $('merge').getAttribute("
                       "'aria-pressed')];") == [True, 'true']
    browser.key('Escape')
    assert browser.run('return [state.merging, state.chosen];') == [False, -1]
    # the list is reached by Tab, and chosen from by Enter
    browser.run("$('persons').children[0].focus();")
    browser.key('Enter')
    browser.key('Delete')
    assert browser.run('return state.persons.length;') == n
    browser.key('z')
    browser.key('z')
    assert browser.run("return [state.persons.length, $('undo').disabled];"
                       ) == [n, True]


def test_a_mouse_hovers_and_clicks(text, browse, browser):
    browse(text)
    x, y = browser.run(PLACE % (1, NOSE))
    still = browser.run('return canvas.toDataURL();')
    browser.mouse('Moved', x, y)
    hovered = browser.run('await new Promise(requestAnimationFrame);'
                          'return [canvas.toDataURL(), state.pointer];')
    assert hovered[0] != still
    assert hovered[1] == pytest.approx(browser.run(
        f'return placeOf(state.persons[1], {NOSE});'), abs=1)
    browser.click(x, y)
    assert browser.run('return state.chosen;') == 1
    # why: each keypoint's attraction to every person
    table = browser.run("""
      const rows = [...$('why-table').rows].map(
        row => [...row.cells].map(cell => cell.textContent));
      return {rows, persons: state.persons.length, expected: state.persons[1]
        .candidates.filter(c => c >= 0).map(c => state.persons.map(
          p => 100 * attractionTo(c, p.candidates, rowOf, model.candidates)))};
    """)
    head, *rows = table['rows']
    assert head == ['keypoint', 'score', 'margin', *(
        str(i + 1) for i in range(table['persons']))]
    assert len(rows) == len(table['expected']) > 3
    for row, expected in zip(rows, table['expected']):
        found = [float(cell) for cell in row[3:]]
        assert found == pytest.approx(expected, abs=.006)
        assert float(row[2]) == pytest.approx(
            expected[1] - max(expected[:1] + expected[2:]), abs=.006)
    assert sum(row[4] == max(row[3:], key=float) for row in rows) > (
        len(rows) / 2)  # most attend most to their own


def test_a_phone_by_touch(text, browse, browser):
    layout = browse(text, """
      const box = canvas.getBoundingClientRect();
      return {wide: document.documentElement.scrollWidth, box: box.width,
        bottom: box.bottom, least: Math.min(...[...document.querySelectorAll(
          'button, #persons li')].map(b => b.getBoundingClientRect().height))};
    """, **PHONE)
    assert layout['wide'] <= 390 and 300 < layout['box'] <= 390
    assert layout['bottom'] < 844 / 2 + 20  # the panel is seen below
    assert layout['least'] >= 40  # what a finger hits
    x, y = browser.run(PLACE % (0, NOSE))
    browser.touch((x - 30, y - 30), (x, y))
    assert browser.run('return state.pointer;') == pytest.approx(
        browser.run(f'return placeOf(state.persons[0], {NOSE});'), abs=1)
    assert browser.run('return state.chosen;') == 0


def test_dark_mode_is_legible(text, browse):
    found = [browse(text, """
      state.chosen = 0; refresh();
      const light = element => {
        const parts = getComputedStyle(element).color.match(/[\\d.]+/g);
        return parts.slice(0, 3).reduce((sum, v) => sum + Number(v), 0) / 765;
      };
      const ground = getComputedStyle(document.body).backgroundColor.match(
        /[\\d.]+/g).reduce((sum, v) => sum + Number(v), 0) / 765;
      return [ground, ...[...document.querySelectorAll(
        'h1, h2, .hint, label, td, th')].map(light)];
    """, dark=dark) for dark in (False, True)]
    (white, *on_white), (black, *on_black) = found
    assert white > .9 and black < .15
    assert max(on_white) < .6 and min(on_black) > .5


def test_clicks_with_the_photo_weights(browse, browser):
    """On each keypoint's place: the person that the decoder has there."""
    found = SSAInferencer('photos', device='cpu')
    file = ROOT / 'data/coco_photos/val/000000100624.jpg'
    image = cv2.imread(str(
        file if file.is_file() else ROOT / 'docs/images/people.jpg'))
    outputs = look(found, image)
    attention = outputs.layers[outputs.supervised]
    expected = decode(
        outputs.heatmaps,
        lambda tokens: attention.rows(0, torch.from_numpy(tokens)).numpy(),
        found.model.head.decoder.options, content_box(outputs.metainfo))
    same_persons(browse(page(found, image, 'photo.jpg'), DECODED), expected)
    shown = np.flatnonzero(expected.scores >= DRAW_THR)
    assert len(shown)
    for person in shown:
        sure = (expected.keypoint_scores[person] > 0) & ~(
            expected.filled[person])
        kind = int(np.argmax(expected.keypoint_scores[person] * sure))
        browser.click(*browser.run(PLACE % (person, kind)))
        assert browser.run('return state.chosen;') == person
        browser.key('Escape')

"""The command: its tables, JSON and chart, and what it says to mistakes."""
import json

import cv2
import numpy as np
import pytest
from factories import refusal

from mmpose_ssa import cli

NAMES = ['nose', 'left_eye', 'right_eye']
POINTS = np.array([(50, 90), (80, 10), (20, 10)], float)
# AP of results that find one of two persons: 51 of 101 points of the curve
HALF = 51 / 101


def person(points, **more):
    flat = np.column_stack([points, np.full(3, 2)]).ravel().tolist()
    return dict(dict(image_id=1, category_id=1, keypoints=flat), **more)


@pytest.fixture
def files(tmp_path):
    """Two persons; results of the second one, good and with the eyes inverted.

    The second results also have somebody in the background.
    """
    truth = [person(POINTS + 200 * i, id=i, iscrowd=0, area=1e4,
                    num_keypoints=3, bbox=[0, 0, 100, 100]) for i in (1, 2)]
    good = person(POINTS + 400, score=.9)
    inverted = person(POINTS[[0, 2, 1]] + 400, score=.9)
    ghost = person(POINTS + 900, score=.5)
    contents = {
        'truth.json': dict(
            images=[dict(id=1)], annotations=truth, categories=[
                dict(id=1, name='person', keypoints=NAMES)]),
        'one.keypoints.json': [good],
        'two.keypoints.json': [inverted, ghost],
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def command(*arguments):
    cli.main(['diagnose', *map(str, arguments)])


def both(files):
    return [files / name for name in (
        'one.keypoints.json', 'two.keypoints.json', 'truth.json')]


def cells(text, title):
    """Label -> cells, of the table below a title."""
    table = text.split(title)[1].split('\n\n')[1]
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in table.splitlines()]
    assert len({len(line) for line in table.splitlines()}) == 1  # even
    return {row[0]: row[1:] for row in rows}


def test_the_tables(capsys, files):
    command(*both(files))
    text = capsys.readouterr().out
    shares = cells(text, 'Share of the labelled')
    assert shares[''] == ['good', 'jitter', 'inversion', 'swap', 'miss']
    assert shares['one'] == ['100.0', '0.0', '0.0', '0.0', '0.0']
    assert shares['two'] == ['33.3', '0.0', '66.7', '0.0', '0.0']
    unmatched = cells(text, 'without a match')
    # OKS 1/3 is no match at 0.5: the inverted one counts twice, and the ghost
    assert unmatched['one'] == ['0', '0', '1', '1']
    assert unmatched['two'] == ['2', '2', '2', '2']
    gains = cells(text, 'fixing each kind alone')
    assert gains[''] == ['AP', 'miss', 'swap', 'inversion', 'jitter', 'score',
                         'false positive', 'false negative']
    assert gains['one'] == ['50.5', *['0.0'] * 6, '49.5']
    assert gains['two'] == ['0.0', '0.0', '0.0', '50.5', '0.0', '0.0', '0.0',
                            '100.0']
    assert cells(text, 'one after the other')['two'] == [
        '0.0', '0.0', '0.0', '50.5', '50.5', '50.5', '50.5', '100.0']
    assert cells(text, 'two: share of each')['left_eye'] == [
        '1', '0.0', '0.0', '100.0', '0.0', '0.0']
    assert cells(text, 'one: share of each')['nose'][:2] == ['1', '100.0']


def test_the_json_holds_what_the_tables_say(capsys, files):
    command(*both(files), '--out', files / 'out/there',
            '--labels', 'first', 'second')
    text = (files / 'out/there/diagnosis.md').read_text()
    assert text == capsys.readouterr().out[:-1]
    saved = json.loads((files / 'out/there/diagnosis.json').read_text())
    assert list(saved) == ['first', 'second']
    assert saved['first']['ap'] == pytest.approx(HALF)
    second = saved['second']
    assert second['shares']['inversion'] == pytest.approx(2 / 3)
    assert second['keypoints']['right_eye'] == dict(
        good=0, jitter=0, inversion=1, swap=0, miss=0)
    assert second['ap_gains']['inversion'] == pytest.approx(HALF)
    assert second['ap_cumulative']['false negative'] == 1
    assert second['false_positives'] == {
        f'{.5 + .05 * t:.2f}': 2 for t in range(10)}
    assert second['background'] == [0, 1] and second['overlooked'] == [1, 2]
    assert second['matched'] == [dict(
        result=0, annotation_id=2,
        errors=dict(left_eye='inversion', right_eye='inversion'))]


def heights(picture, color):
    """Heights in pixels of the bars of a colour, from left to right."""
    hit = np.abs(picture.astype(int) - color).sum(axis=2) < 30
    columns = np.flatnonzero(hit.sum(axis=0) > 20)  # not the legend's
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    return [int(np.median(hit[:, group].sum(axis=0))) for group in groups]


def test_the_chart_has_a_bar_for_each_share_and_gain(files):
    command(*both(files), '--out', files)
    picture = cv2.imread(str(files / 'diagnosis.png'))
    # matplotlib's first two colours
    good, negative = heights(picture, (180, 119, 31))
    share, inverted, gain, other = heights(picture, (14, 127, 255))
    assert share / good == pytest.approx(1 / 3, abs=.02)
    assert inverted / good == pytest.approx(2 / 3, abs=.02)
    assert gain / other == pytest.approx(HALF, abs=.02)
    assert negative / other == pytest.approx(1 - HALF, abs=.02)


def test_other_areas_and_sigmas(capsys, files):
    one, _, truth = both(files)
    text = truth.read_text().replace('"area": 10000.0', '"area": 900', 1)
    truth.write_text(text.replace('nose', 'tail'))
    sigmas = ['--sigmas', .1, .1, .1]
    command(one, truth, *sigmas)
    assert cells(capsys.readouterr().out, 'alone')['one'][0] == '100.0'
    # the small one, not found, counts as well
    command(one, truth, *sigmas, '--area-range', 0, 1e10)
    assert cells(capsys.readouterr().out, 'alone')['one'][0] == '50.5'


@pytest.mark.parametrize('change, message', [
    (dict(results='[]'), 'one.keypoints.json: the results are empty'),
    (dict(results='[{"image'), 'one.keypoints.json is not JSON (Unterm'),
    (dict(results=None), 'one.keypoints.json does not exist'),
    (dict(truth='{}'), "truth.json: 'images' must be"),
    (dict(truth='[]'), 'are results and annotations interchanged?'),
    (dict(results=json.dumps([person(POINTS, image_id=9, score=1)])),
     'one.keypoints.json: results for 1 images that are not annotated, such '
     'as [9]'),
    (dict(arguments=['--sigmas', '1', '1']), '3 keypoints need as many'),
    (dict(arguments=['--area-range', '1', '2']), 'has an area in [1.0, 2.0]'),
    (dict(arguments=['--labels', 'a', 'b']), '1 results need as many differ'),
    (dict(arguments=['--out', cli.__file__]), 'File exists'),
])
def test_mistakes_are_told_with_their_cure(capsys, files, change, message):
    one, _, truth = both(files)
    truth.write_text(change.get('truth', truth.read_text()))
    one.write_text(change.get('results', one.read_text()) or '')
    if 'results' in change and change['results'] is None:
        one.unlink()
    assert message in refusal(capsys, cli.main, 'diagnose', one, truth,
                              *change.get('arguments', []))


def test_annotations_alone_are_not_enough(capsys, files):
    assert 'ANNOTATIONS' in refusal(capsys, cli.main, 'diagnose',
                                    files / 'truth.json')

"""The page of annotations and training targets."""
import base64
import json
import re

import cv2
import numpy as np
import pytest
from annotations.test_fuzz import good_file
from damage import FAST, damaged
from factories import TINY, content, person, rectangle, write_scenes
from hypothesis import given, settings

from mmpose_ssa.apis.data_report import check_data
from mmpose_ssa.apis.data_sheet import (SIDE, choose_images, draw_annotations,
                                        draw_targets, write_sheet)
from mmpose_ssa.apis.visualizer import Skeleton, person_colors
from mmpose_ssa.models.codec import AttentionGrouping

pytestmark = pytest.mark.usefixtures('mmpose')
TWO = Skeleton(['a', 'b'], [], np.full((2, 3), 255), np.zeros((0, 3)))


def pictures(page):
    """The decoded pictures of a page."""
    return [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)
            for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"',
                                   page)]


@pytest.fixture
def evil(tmp_path):
    """A data set whose file and its image are named to be HTML."""
    name = '<b>"&amp;\'.png'
    cv2.imwrite(str(tmp_path / name), np.full((40, 80, 3), 60, np.uint8))
    given = content([person(box=(10, 10, 30, 30), area=3e3)], {1: (40, 80)})
    given['images'][0]['file_name'] = name
    file = tmp_path / '<script>.json'
    file.write_text(json.dumps(given))
    return check_data(file, tmp_path)


def test_the_page_is_self_contained_and_escaped(evil, tmp_path):
    path = tmp_path / 'deep/sheet.html'
    write_sheet(evil, path)
    page = path.read_text()
    assert '<b>' not in page and '<script>' not in page
    assert '&lt;b&gt;&quot;&amp;amp;&#x27;.png' in page
    assert '&lt;script&gt;.json' in page
    assert not re.findall(r'(?:src|href)="(?!data:)|url\(|@import', page)
    assert 'have an area that is not that of their mask' in page
    assert '<li class="suspect">1: area</li>' in page
    picture, = pictures(page)
    assert picture.shape == (SIDE // 2, SIDE, 3)


def test_files_that_cannot_be_shown(evil, tmp_path):
    for file in tmp_path.glob('*.png'):
        file.write_bytes(b'no image')
    report = check_data(evil.ann_file, tmp_path)
    write_sheet(report, tmp_path / 's.html')
    page = (tmp_path / 's.html').read_text()
    assert 'cannot be shown' in page and pictures(page) == []
    assert '<li class="refused">unreadable</li>' in page


def test_of_a_file_that_cannot_be_read_there_are_no_pictures(tmp_path):
    (tmp_path / 'a.json').write_text('[]')
    write_sheet(check_data(tmp_path / 'a.json', tmp_path), tmp_path / 's.html')
    assert 'COCO&#x27;s format' in (tmp_path / 's.html').read_text()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('data'), train=12)


def drawn(root, changes=()):
    file = root / 'annotations/person_keypoints_train2017.json'
    given = json.loads(file.read_text())
    for place, change in dict(changes).items():
        given['annotations'][place].update(change)
    other = root / 'changed.json'
    other.write_text(json.dumps(given))
    return check_data(other, root / 'train2017', TINY), given


def test_targets_stand_beside_the_annotations(scenes, tmp_path):
    report, _ = drawn(scenes)
    write_sheet(report, tmp_path / 's.html', 3)
    assert not report.trial or not report.trial.refused
    page = (tmp_path / 's.html').read_text()
    assert [p.shape for p in pictures(page)] == [(SIDE, SIDE, 3)] * 6
    assert 'class="cards wide"' in page


def test_images_of_findings_come_first(scenes):
    last = json.loads((scenes / 'annotations/person_keypoints_train2017.json'
                       ).read_text())['annotations'][-1]['image_id']
    report, given = drawn(scenes)
    assert choose_images(report, 3)[0] != last
    report, _ = drawn(scenes, {-1: dict(area=1e6)})
    chosen = choose_images(report, 3)
    assert chosen[0] == last and len(set(chosen)) == 3
    assert len(choose_images(report, 99)) == len(
        {ann['image_id'] for ann in given['annotations']})


def test_a_part_of_a_combined_data_set_has_no_targets(scenes, tmp_path):
    report, _ = drawn(scenes)
    report.trial.dataset.pipeline.transforms = []
    write_sheet(report, tmp_path / 's.html', 2)
    assert not report.trial or not report.trial.refused
    assert len(pictures((tmp_path / 's.html').read_text())) == 2


def test_what_the_pipeline_refuses_is_told(scenes, tmp_path):
    report, _ = drawn(scenes)
    steps = report.trial.dataset.pipeline.transforms
    steps[3].encoder = AttentionGrouping((64, 64), (16, 16), 8,
                                         num_keypoints=5, order=range(5),
                                         edges=[(k, k + 1) for k in range(4)])
    write_sheet(report, tmp_path / 's.html', 2)
    refused = report.findings[0]
    assert report.is_refused and len(refused.ids) == 2
    assert '17 keypoints per person, but the codec' in refused.remedy
    assert 'refuses 2 of the images' in (tmp_path / 's.html').read_text()


# --- pictures ---------------------------------------------------------------


def test_an_annotation_is_drawn_where_it_is():
    """Twice as large: mask, box, both keypoints, the hidden one hollow."""
    ann = person([(20, 30, 2), (40, 50, 1)], kinds=2, box=(10, 20, 60, 80),
                 segmentation=[rectangle(10, 20, 60, 80)])
    h, w = SIDE // 2, SIDE // 4
    image = np.full((h, w, 3), 100, np.uint8)
    drawn = draw_annotations(image, [ann], TWO)
    assert drawn.shape == (SIDE, SIDE // 2, 3)
    assert (image == 100).all()
    color = person_colors(1)[0]
    assert drawn[100, 20].tolist() == color.tolist()  # box, its left side
    mixed = np.round(.65 * 100 + .35 * color.astype(float))
    assert drawn[90, 100].tolist() == mixed.tolist()
    assert (drawn[200:, :] == 100).all()
    assert drawn[60, 40].tolist() == [255] * 3
    assert drawn[100, 80].tolist() == [0] * 3  # v = 1


def test_ids_are_written_if_asked():
    ann = person([(20, 30)], kinds=2, box=(10, 20, 60, 80), number=8)
    image = np.full((SIDE, SIDE, 3), 100, np.uint8)
    plain, named, other = (
        draw_annotations(image, [ann], TWO, which) for which in
        ([], [8], [9]))
    assert (plain == other).all()
    changed = np.argwhere((plain != named).any(axis=2))
    assert 0 < len(changed) < 600
    assert (changed.min(0) >= [18, 8]).all()  # at the corner of the box
    assert (changed.max(0) <= [44, 34]).all()


def test_targets_are_drawn_where_they_are():
    results = dict(
        img=np.full((SIDE, SIDE, 3), 100, np.uint8),
        instance_masks=np.zeros((1, 4, 4), np.uint8),
        heatmap_mask=np.ones((1, 4, 4), np.uint8),
        heatmaps=np.zeros((2, 4, 4), np.float32))
    results['instance_masks'][0, 0, 1] = 1
    results['heatmap_mask'][0, 2, 2] = 0
    results['heatmaps'][1, 3, 0] = .5
    drawn = draw_targets(results)
    q = SIDE // 4
    cells = drawn[q // 2::q, q // 2::q]
    color = np.round(.55 * 100 + .45 * person_colors(1)[0].astype(float))
    assert cells[0, 1].tolist() == color.tolist()
    assert cells[2, 2].tolist() == [25] * 3
    assert cells[3, 0].tolist() == [177] * 3  # half way to 255
    cells[0, 1] = cells[2, 2] = cells[3, 0] = 100
    assert (cells == 100).all()
    assert (results['img'] == 100).all()


@settings(FAST, max_examples=100)
@given(damaged(good_file()))
def test_damaged_data_get_a_page(tmp_path_factory, file):
    """Or are no JSON at all; images are those of the good file."""
    folder = tmp_path_factory.mktemp('damaged')
    cv2.imwrite(str(folder / '1.png'), np.zeros((40, 40, 3), np.uint8))
    cv2.imwrite(str(folder / '2.png'), np.zeros((30, 40, 3), np.uint8))
    (folder / 'a.json').write_text(json.dumps(file))
    report = check_data(folder / 'a.json', folder)
    write_sheet(report, folder / 's.html')
    assert not report.trial or not report.trial.refused
    page = (folder / 's.html').read_text()
    assert page.count('<figure>') == min(
        24, len(choose_images(report, 24))) and page.endswith('</html>\n')

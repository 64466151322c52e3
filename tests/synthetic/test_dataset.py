"""Drawn people: what is annotated is what is drawn."""
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmpose_ssa.synthetic import dataset
from mmpose_ssa.synthetic.annotation import (MIN_LABELLED_HEIGHT,
                                             MIN_LABELLED_SHARE, overlapping,
                                             polygons_of)
from mmpose_ssa.synthetic.dataset import draw_scene, write_dataset

SIZE = 256


@pytest.fixture(scope='module')
def scenes():
    return [draw_scene((3, i), SIZE) for i in range(100)]


@pytest.fixture(scope='module')
def people(scenes):
    """(annotation, silhouette, visible, yaw) of every person."""
    return [person for scene in scenes for person in zip(
        scene.annotations, scene.silhouettes, scene.visible, scene.yaws)]


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Folder of the data set of `write`, and what it returned. Read only."""
    root = tmp_path_factory.mktemp('drawn')
    return root, write(root)


@pytest.fixture
def data(drawn, tmp_path):
    """A copy of that data set."""
    return Path(shutil.copytree(drawn[0], tmp_path / 'data'))


def keypoints(annotation):
    return np.array(annotation['keypoints'], float).reshape(17, 3)


def rasterise(polygons, shape):
    rles = coco_mask.frPyObjects(polygons, *shape)
    return coco_mask.decode(coco_mask.merge(rles)) > 0


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def write(root, **settings):
    return write_dataset(root, **{**dict(train=4, val=2, size=96, seed=5,
                                         workers=1), **settings})


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob('*')) if path.is_file()}


# ------------------------------------------------------------------- masks

def test_polygon_of_a_pixel_is_its_square():
    mask = np.zeros((5, 6), bool)
    mask[3, 2] = True
    polygon, = polygons_of(mask, simplify=0)
    points = np.array(polygon).reshape(-1, 2)
    assert np.abs(points.mean(0) - (2.5, 3.5)).max() < .15
    assert np.abs(points.min(0) - (2, 3)).max() <= .25
    assert np.abs(points.max(0) - (3, 4)).max() <= .25


def test_polygons_of_rectangle_run_along_its_edges():
    mask = np.zeros((20, 30), bool)
    mask[4:15, :12] = True  # touches the image's border
    polygon, = polygons_of(mask)
    points = np.array(polygon).reshape(-1, 2)
    assert points.min(0).tolist() == [0, 4]
    assert points.max(0).tolist() == [12, 15]
    assert (rasterise([polygon], mask.shape) == mask).all()


def test_polygons_keep_holes_and_separate_regions():
    mask = np.zeros((60, 80), np.uint8)
    cv2.circle(mask, (30, 30), 25, 1, -1)
    cv2.circle(mask, (22, 28), 8, 0, -1)
    cv2.circle(mask, (42, 32), 6, 0, -1)
    mask[10:50, 65:75] = 1
    polygons = polygons_of(mask > 0)
    drawn = rasterise(polygons, mask.shape)
    assert len(polygons) == 2
    assert not drawn[28, 22] and not drawn[32, 42]
    assert iou(drawn, mask > 0) > .97


def test_polygons_of_nothing_are_none():
    assert polygons_of(np.zeros((8, 8), bool)) == []


def test_polygons_rasterise_to_the_visible_mask(people):
    scores = [iou(rasterise(a['segmentation'], mask.shape), mask)
              for a, _, mask, _ in people if mask.sum() > 32**2]
    assert len(scores) > 100
    assert min(scores) >= .95


def test_area_and_bbox_are_those_of_the_mask(people):
    for annotation, _, mask, _ in people:
        tolerance = 6 + .04 * mask.sum()
        assert abs(annotation['area'] - mask.sum()) <= tolerance
        ys, xs = np.nonzero(mask)
        box = np.array([xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1])
        assert np.abs(np.array(annotation['bbox']) - box).max() <= 2


def test_visible_regions_are_disjoint_parts_of_silhouettes(scenes):
    hidden = 0
    for scene in scenes:
        assert not (scene.visible & ~scene.silhouettes).any()
        assert scene.visible.sum(0).max(initial=0) <= 1
        hidden += (scene.silhouettes & ~scene.visible).sum()
    assert hidden > 0


def test_nearer_people_hide_farther_ones(scenes):
    """The list runs from far to near: no one hides a later one."""
    for scene in scenes:
        later = np.zeros(scene.image.shape[:2], bool)
        for silhouette, visible in zip(scene.silhouettes[::-1],
                                       scene.visible[::-1]):
            assert not (visible & later).any()
            later |= silhouette


# --------------------------------------------------------------- keypoints

def test_seen_keypoints_lie_on_the_visible_person(people):
    seen = 0
    for annotation, _, visible, _ in people:
        near = cv2.dilate(visible.astype(np.uint8), np.ones((3, 3)))
        points = keypoints(annotation)
        points = points[points[:, 2] == 2]
        columns, rows = np.round(points[:, :2]).astype(int).T
        assert near[rows, columns].all()
        seen += len(points)
    assert seen > 1000


def test_keypoints_hidden_by_others_are_occluded(people):
    """Where somebody stands in front, a labelled keypoint has v=1."""
    occluded = 0
    for annotation, silhouette, visible, _ in people:
        points = keypoints(annotation)
        points = points[points[:, 2] > 0]
        columns, rows = np.round(points[:, :2]).astype(int).T
        behind = (silhouette & ~visible)[rows, columns]
        assert (points[behind, 2] == 1).all()
        occluded += behind.sum()
    assert occluded > 100


def test_keypoints_are_inside_or_absent(people):
    absent = 0
    for annotation, silhouette, _, _ in people:
        points = keypoints(annotation)
        labelled = points[:, 2] > 0
        assert set(points[:, 2]) <= {0, 1, 2}
        assert (points[~labelled] == 0).all()
        assert (points[labelled, :2] >= 0).all()
        assert (points[labelled, :2] <= SIZE - 1).all()
        assert annotation['num_keypoints'] == labelled.sum()
        cut = silhouette[:, [0, -1]].any() or silhouette[[0, -1]].any()
        absent += cut and not labelled[5:].all()
    assert absent > 20  # people cut by the border lose keypoints


def test_left_and_right_follow_the_view(people):
    """Seen from the front, the left shoulder is right of the right one."""
    gaps = {True: [], False: []}
    for annotation, _, _, yaw in people:
        points = keypoints(annotation)
        upright = points[5:7, 1].mean() < points[11:13, 1].mean()
        frontal = np.cos(np.radians(yaw))
        if (points[[5, 6, 11, 12], 2] > 0).all() and upright \
                and abs(frontal) > .8:
            height = np.ptp(points[[5, 6, 11, 12], 1])
            gaps[frontal > 0].append((points[5, 0] - points[6, 0]) / height)
    front, back = np.array(gaps[True]), np.array(gaps[False])
    assert len(front) > 40 and len(back) > 20
    assert (front > 0).all()
    assert (back < 0).all()


def test_faces_are_labelled_on_front_views_only(people):
    for annotation, _, _, yaw in people:
        face = keypoints(annotation)[:3, 2]
        if abs(yaw - 180) < 20 and np.cos(np.radians(yaw)) < 0:
            # A head turns by some 18 degrees (one sigma): never this far.
            assert (face == 0).all()
    front = [keypoints(a)[:3, 2].all() for a, _, visible, yaw in people
             if abs(yaw) < 30 and a['num_keypoints'] > 14]
    assert np.mean(front) > .9


def test_small_and_hidden_people_have_no_keypoints(people):
    none = [a for a, _, _, _ in people if not a['num_keypoints']]
    for annotation, silhouette, _, _ in people:
        small = annotation['bbox'][3] < MIN_LABELLED_HEIGHT
        covered = annotation['area'] < MIN_LABELLED_SHARE * silhouette.sum()
        if small or covered:
            assert not any(annotation['keypoints'])
            assert annotation['num_keypoints'] == 0
    assert none


# ------------------------------------------------------------------ scenes

def test_a_third_of_the_people_overlap(scenes):
    share = np.concatenate([overlapping(s.silhouettes) for s in scenes])
    assert share.mean() >= 1 / 3
    assert share.mean() < .9  # and some stand alone


def test_overlap_wants_two_percent_of_the_smaller():
    masks = np.zeros((3, 20, 20), bool)
    masks[0, :, :10] = masks[1, :10, 9:19] = masks[2, 19:, 9:] = True
    # 10 of 100 px; 1 of 11 px; the same without the first: apart.
    assert overlapping(masks).tolist() == [True, True, True]
    assert overlapping(masks[1:]).tolist() == [False, False]
    masks[1] = False
    masks[1, :, 9:] = True
    masks[1, 4:, 9] = False  # 4 of 200 px, then 3
    assert overlapping(masks[:2]).tolist() == [True, True]
    masks[1, 3, 9] = False
    assert overlapping(masks[:2]).tolist() == [False, False]
    assert overlapping(masks[:0]).shape == (0, )


def test_numbers_and_sizes_of_people(scenes, people):
    counts = np.array([len(s.silhouettes) for s in scenes])
    assert (counts == 0).any()
    assert 2 < counts.mean() < 3
    tall = [np.ptp(np.nonzero(s.any(1))[0]) for _, s, _, _ in people]
    assert .35 * SIZE < np.median(tall) < .9 * SIZE
    assert min(tall) < .25 * SIZE and max(tall) > .8 * SIZE


def test_scale_follows_the_image_size():
    """People are measured in images, not in pixels: it is the same scene."""
    compared = 0
    for i in range(12):
        small, large = (draw_scene((9, i), size) for size in (96, 288))
        assert small.yaws.tolist() == large.yaws.tolist()
        shares = [s.silhouettes.mean((1, 2)) for s in (small, large)]
        # An edge's half pixel weighs more in the small one.
        np.testing.assert_allclose(*shares, rtol=.25)
        for one, three in zip(small.annotations, large.annotations):
            one, three = keypoints(one), keypoints(three)
            both = (one[:, 2] > 0) & (three[:, 2] > 0)
            gaps = 3 * one[both, :2] - three[both, :2]  # both to a tenth
            assert np.abs(gaps).max(initial=0) < .21
            compared += both.sum()
    assert compared > 200


def test_number_and_height_can_be_limited():
    areas = {}
    for least in (.25, .9):
        scenes = [draw_scene((8, i), 96, max_people=2, min_height=least)
                  for i in range(30)]
        assert max(len(scene.silhouettes) for scene in scenes) == 2
        areas[least] = np.median([mask.sum() for scene in scenes
                                  for mask in scene.silhouettes])
    # Median standing heights of 0.64 and 0.9: twice the area, less what the
    # border cuts.
    assert areas[.9] > 1.4 * areas[.25]


@pytest.mark.parametrize('most', range(1, 6))
def test_each_limit_is_reached_and_repeats(most):
    numbers = set()
    for seed in range(60):
        scene = draw_scene((8, seed), 64, max_people=most)
        numbers.add(len(scene.silhouettes))
        if seed < 5:
            again = draw_scene((8, seed), 64, max_people=most)
            assert scene.image.tobytes() == again.image.tobytes()
            assert scene.annotations == again.annotations
    assert max(numbers) == most


def test_crowd_is_uncompressed_rle_of_tiny_people(scenes):
    crowds = [(s, a) for s in scenes for a in s.annotations if a['iscrowd']]
    assert len(crowds) > 2
    for scene, crowd in crowds:
        rle = crowd['segmentation']
        assert isinstance(rle['counts'], list)
        assert sum(rle['counts']) == SIZE**2
        region = coco_mask.decode(coco_mask.frPyObjects(rle, SIZE, SIZE)) > 0
        assert region.shape == scene.image.shape[:2]
        assert region.sum() == crowd['area']
        assert not (region & scene.visible.any(0)).any()
        x, y, w, h = (int(v) for v in crowd['bbox'])
        assert region[y:y + h, x:x + w].sum() == region.sum()
        assert region[y].any() and region[:, x].any()
        assert region[y + h - 1].any() and region[:, x + w - 1].any()
        assert not any(crowd['keypoints']) and crowd['num_keypoints'] == 0


def test_scene_is_a_function_of_its_seed():
    one, same, other = (draw_scene(s, 96) for s in (11, 11, 12))
    assert (one.image == same.image).all()
    assert one.annotations == same.annotations
    assert (one.image != other.image).any()


# ---------------------------------------------------------------- data set

def test_same_bytes_whatever_the_number_of_workers(drawn, tmp_path):
    cv2.blur(np.zeros((2000, 2000)), (9, 9))  # OpenCV's threads are running
    write(tmp_path, workers=2)
    one, two = contents(drawn[0]), contents(tmp_path)
    assert len(one) == 4 + 2 + 2
    assert one == two


def test_more_images_leave_the_first_as_they_are(drawn, tmp_path):
    write(tmp_path, train=6)
    few, many = contents(drawn[0]), contents(tmp_path)
    images = [name for name in few if name.endswith('.jpg')]
    assert len(images) == 6
    assert all(many[name] == few[name] for name in images)


def test_no_image_is_drawn_twice(drawn, tmp_path):
    """Neither within a split, nor in both, nor from another seed."""
    write(tmp_path, seed=6)
    images = [data for root in (drawn[0], tmp_path)
              for name, data in contents(root).items()
              if name.endswith('.jpg')]
    assert len(set(images)) == len(images) == 12


def test_coco_reads_it(drawn):
    root, result = drawn
    persons = 0
    for split, number in (('train', 4), ('val', 2)):
        coco = COCO(root / f'annotations/person_keypoints_{split}2017.json')
        assert len(coco.imgs) == number
        for image in coco.imgs.values():
            pixels = cv2.imread(
                str(root / f'{split}2017' / image['file_name']))
            assert pixels.shape == (image['height'], image['width'], 3)
        for annotation in coco.anns.values():
            mask = coco.annToMask(annotation)
            assert mask.sum() == annotation['area']
            persons += not annotation['iscrowd']
        category, = coco.cats.values()
        assert tuple(category['keypoints']) == dataset.KEYPOINT_NAMES
    assert result['persons'] == persons > 0
    assert result['images'] == result['drawn'] == 6


def test_rerun_draws_only_what_is_missing(drawn, data):
    before = contents(data)
    assert write(data) == {**drawn[1], 'drawn': 0}
    next((data / 'val2017').iterdir()).unlink()
    calls = []
    assert write(data, progress=lambda *x: calls.append(x))['drawn'] == 2
    assert calls == [(1, 2), (2, 2)]
    assert contents(data) == before


def test_interrupted_run_leaves_no_annotations(drawn, tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, progress=stop)
    assert not list(tmp_path.rglob('*.json'))
    write(tmp_path)
    assert contents(tmp_path) == contents(drawn[0])


def test_interrupted_change_of_settings_leaves_no_annotations(data):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(data, seed=6, progress=stop)
    assert not list(data.rglob('*.json'))


def test_other_settings_replace_the_old_images(data, tmp_path):
    write(data, train=2, seed=6)
    write(tmp_path / 'fresh', train=2, seed=6)
    assert contents(data) == contents(tmp_path / 'fresh')


def test_annotations_of_others_are_not_touched(tmp_path):
    path = tmp_path / 'annotations' / 'person_keypoints_train2017.json'
    path.parent.mkdir()
    path.write_text(json.dumps(dict(info=dict(description='COCO 2017'))))
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match='choose another folder'):
        write(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize('name, value', [
    ('train', -1), ('val', 1.5), ('size', 63), ('size', 96.), ('seed', -2),
    ('seed', None), ('workers', 0), ('train', True), ('max_people', 0),
    ('max_people', 6), ('max_people', True), ('min_height', .1),
    ('min_height', 1.5)])
def test_bad_argument_names_value_and_cure(tmp_path, name, value):
    with pytest.raises(ValueError, match=f'{name} is {value!r}: give'):
        write(tmp_path, **{name: value})
    assert not contents(tmp_path)


def test_more_people_than_are_ever_drawn_are_refused():
    with pytest.raises(ValueError, match='max_people is 6: give a whole number'
                       ' between 1 and 5'):
        draw_scene(0, 64, max_people=6)


def test_bad_scene_size():
    with pytest.raises(ValueError, match='size is 10: give'):
        draw_scene(0, 10)

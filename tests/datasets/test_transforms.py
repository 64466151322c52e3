"""The paper's affine and the masks, through MMPose's real pipeline."""
import copy
from unittest.mock import MagicMock

import cv2
import factories
import numpy as np
import pytest
from factories import COCO_MINI, rectangle
from mmengine.dataset import Compose
from mmpose.datasets import CocoDataset
from mmpose.datasets.transforms import (BottomupRandomAffine,
                                        KeypointConverter, LoadImage,
                                        RandomFlip)
from scipy.stats import kstest

from mmpose_ssa.datasets.transforms import (GeneratePersonMasks,
                                            SSARandomAffine, SSARandomFlip)

SIDE, CELLS = 128, 32


def annotation(ann_id, polygon, points, **extra):
    """A person whose first keypoints are the given ``_img`` points."""
    edges = np.reshape(polygon, (-1, 2))
    return factories.person(
        np.reshape(points, (-1, 2)), ann_id, box=[*edges.min(0),
                                                  *edges.max(0)],
        **{'segmentation': [list(polygon)], **extra})


def results_of(annotations, **extra):
    """What reaches the masks after an affine that changed nothing."""
    points = np.float32([a['keypoints'] for a in annotations])
    points = points.reshape(-1, 17, 3)
    return dict(
        raw_ann_info=annotations, keypoints=points[..., :2],
        keypoints_visible=np.minimum(points[..., 2], 1), img_id=1,
        img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE),
        warp_mat=np.float32([[1, 0, 0], [0, 1, 0]]),
        input_size=(SIDE, SIDE)) | extra


def drawn(*boxes):
    """A map that is 1 inside boxes given in pixels."""
    cells = np.zeros((CELLS, CELLS), np.uint8)
    for x0, y0, x1, y1 in boxes:
        cells[y0 // 4:y1 // 4, x0 // 4:x1 // 4] = 1
    return cells


@pytest.fixture(scope='module')
def lit_dataset(tmp_path_factory):
    """One image, black but for a white person with three keypoints."""
    folder = tmp_path_factory.mktemp('lit')
    polygon = np.array([[70, 30], [130, 60], [120, 120], [60, 110]])
    image = np.zeros((150, 200, 3), np.uint8)
    # cv2 draws in index coordinates and paints the boundary too
    cv2.fillPoly(image, [polygon], (255, 255, 255))
    cv2.imwrite(str(folder / '1.png'), image)
    edges = (polygon + .5).ravel().tolist()
    person = annotation(1, edges, [[95, 80], [85, 60], [110, 100]])
    return write_dataset(folder, [person], (150, 200))


def write_dataset(folder, annotations, shape):
    path = factories.write_annotations(folder, annotations, {1: shape})
    return CocoDataset(
        ann_file=str(path), data_prefix=dict(img=str(folder)),
        data_mode='bottomup', pipeline=[])


def pipeline(w, h):
    return Compose([
        LoadImage(), SSARandomAffine((w, h)), SSARandomFlip(),
        GeneratePersonMasks((w // 4, h // 4))])


@pytest.mark.parametrize('w, h', [(SIDE, SIDE), (160, 96), (96, 160)])
def test_light_keypoint_and_mask_land_together(lit_dataset, w, h):
    steps, flips, inside = pipeline(w, h), set(), 0
    np.random.seed(0)
    for _ in range(30):
        r = steps(lit_dataset.get_data_info(0))
        flips.add(r['flip'])
        light = cv2.resize(r['img'][..., 0], (w // 4, h // 4),
                           interpolation=cv2.INTER_AREA) >= 128
        mask = r['instance_masks'][0] > 0
        assert (light & mask).sum() / (light | mask).sum() > .9
        points = r['keypoints'][0][r['keypoints_visible'][0] > 0]
        for x, y in points[((points >= 0) & (points < [w - 1, h - 1])).all(1)]:
            assert r['img'][round(y), round(x), 0] == 255
            assert mask[int(y / 4), int(x / 4)]
            inside += 1
    assert flips == {False, True} and inside > 60


def drawn_affines(number=600, **options):
    """Scale, rotation and shift, recovered from the matrices alone."""
    step = SSARandomAffine((64, 64), **options)
    image = np.zeros((45, 60, 3), np.uint8)
    np.random.seed(0)
    warps = np.stack([
        step(dict(img=image, img_shape=(45, 60)))['warp_mat']
        for _ in range(number)])
    linear = warps[:, :, :2]
    zoom = np.sqrt(np.linalg.det(linear))  # input pixels per image pixel
    center = np.linalg.solve(linear, (32 - warps[:, :, 2])[..., None])[..., 0]
    angle = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    return zoom, angle, center - [30, 22.5]


def is_uniform(values, low, high):
    assert values.min() >= low - 1e-3 and values.max() <= high + 1e-3
    return kstest(values, 'uniform', (low, high - low)).pvalue > .01


def test_affine_is_the_papers():
    zoom, angle, shift_img = drawn_affines()
    crop = 64 / zoom
    assert is_uniform(crop / 45, .75, 1.5)  # of the short side
    assert is_uniform(angle, -30, 30)
    for axis in range(2):
        assert is_uniform(shift_img[:, axis] * zoom, -40, 40)


def test_translation_as_higherhrnet_reads_it():
    zoom, _, shift_img = drawn_affines(translate_unit='crop')
    crop = 64 / zoom
    for axis in range(2):
        assert is_uniform(shift_img[:, axis] / crop, -.2, .2)


@pytest.mark.parametrize('unit, shift', [
    ('input', (40, 40)), ('crop', (.2 * 160, .2 * 96))])
def test_translation_of_an_input_that_is_not_square(unit, shift):
    step = SSARandomAffine((160, 96), translate_unit=unit, rotate_factor=0)
    image = np.zeros((50, 70, 3), np.uint8)
    np.random.seed(3)
    out = step(dict(img=image, img_shape=(50, 70)))
    np.random.seed(3)  # whether to shift, by how much, whether to scale, ...
    drawn = 2 * np.random.rand(3)[1:] - 1
    middle = out['warp_mat'] @ [35, 25, 1]
    assert middle == pytest.approx([80, 48] - drawn * shift, abs=1e-3)
    # one scale: the crop has the shape of the input
    assert out['warp_mat'][0, 0] == pytest.approx(out['warp_mat'][1, 1])


@pytest.mark.parametrize('share', [0., .5, 1.])
def test_crops_around_people(share):
    """One of the two with labelled keypoints, or the middle of the image."""
    step = SSARandomAffine((64, 64), max_translate=0, rotate_factor=0,
                           around_people=share)
    boxes = np.float32([[0, 0, 20, 10], [4, 4, 8, 8], [40, 20, 60, 40]])
    visible = np.zeros((3, 17))
    visible[[0, 2], 5] = 1
    image = np.zeros((45, 60, 3), np.uint8)
    np.random.seed(0)
    middles = []
    for _ in range(300):
        warp = step(dict(
            img=image, img_shape=(45, 60), bbox=boxes.copy(),
            keypoints=np.zeros((3, 17, 2), np.float32),
            keypoints_visible=visible))['warp_mat']
        middle = np.linalg.solve(warp[:, :2], 32 - warp[:, 2])
        middles.append(tuple(middle.round(2).tolist()))
    found = {place: middles.count(place) / 300 for place in set(middles)}
    expected = {(30., 22.5): 1 - share, (10., 5.): share / 2,
                (50., 30.): share / 2}
    assert set(found) == {place for place in expected if expected[place]}
    for place, often in found.items():
        assert often == pytest.approx(expected[place], abs=.08)


def test_crops_around_nobody_show_the_middle():
    step = SSARandomAffine((64, 64), max_translate=0, rotate_factor=0,
                           around_people=1.)
    warp = step(dict(img=np.zeros((45, 60, 3), np.uint8), img_shape=(45, 60),
                     bbox=np.zeros((1, 4), np.float32),
                     keypoints=np.zeros((1, 17, 2), np.float32),
                     keypoints_visible=np.zeros((1, 17))))['warp_mat']
    assert warp @ [30, 22.5, 1] == pytest.approx([32, 32], abs=1e-4)


def test_affine_can_be_switched_off_and_keeps_itself():
    step = SSARandomAffine((64, 64), max_translate=0, scale_factor=(1, 1),
                           rotate_factor=0)
    before = set(vars(step))
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    result = step(dict(img=image, img_shape=(64, 64)))
    assert np.array_equal(result['img'], image)
    assert result['warp_mat'] == pytest.approx(
        np.float64([[1, 0, 0], [0, 1, 0]]), abs=1e-6)
    assert set(vars(step)) == before


def test_affine_refuses():
    with pytest.raises(ValueError, match="'pixel'"):
        SSARandomAffine((64, 64), translate_unit='pixel')
    with pytest.raises(TypeError, match=r"\['clip_border'\].*pad_val"):
        SSARandomAffine((64, 64), clip_border=True)


@pytest.mark.parametrize('size', [(64, 64), (160, 96), (96, 160)])
def test_keypoints_boxes_and_areas_are_warped_as_mmpose_warps_them(size, rng):
    """The base class with the numbers that were drawn."""
    points = rng.uniform(-20, 200, (3, 17, 2)).astype(np.float32)
    given = dict(
        img=rng.integers(0, 256, (90, 130, 3), np.uint8), img_shape=(90, 130),
        keypoints=points, keypoints_visible=np.ones((3, 17)),
        bbox=rng.uniform(0, 90, (3, 4)).astype(np.float32),
        area=np.float32([100, 2000, 3]))
    for seed in range(10):
        step = SSARandomAffine(size)
        np.random.seed(seed)
        ours = step(copy.deepcopy(given))
        np.random.seed(seed)
        translate, scale, rotate, shear = step._get_transform_params()
        crop = step._fix_aspect_ratio(scale * [130, 90], size[0] / size[1])
        drawn = translate * crop / size / [130, 90], scale, rotate, shear
        theirs = BottomupRandomAffine(size)
        theirs._get_transform_params = MagicMock(return_value=drawn)
        theirs = theirs(copy.deepcopy(given))
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert np.array_equal(ours[key], theirs[key]), key


def test_the_flip_is_mmposes_but_for_the_order_in_memory(rng):
    directions = ['horizontal', 'vertical', 'diagonal']
    steps = [flip([.25, .25, .25], directions)
             for flip in (RandomFlip, SSARandomFlip)]
    seen = set()
    for seed in range(20):
        image = rng.integers(0, 256, (16, 16, 3), np.uint8)
        points = rng.random((2, 17, 2)) * 16
        outcomes = []
        for step in steps:
            np.random.seed(seed)
            outcomes.append(step(dict(
                img=image.copy(), img_shape=(16, 16), keypoints=points.copy(),
                keypoints_visible=np.ones((2, 17)), input_size=(16, 16),
                flip_indices=list(range(17))[::-1])))
        theirs, ours = outcomes
        assert theirs.keys() == ours.keys()
        for key in theirs:
            assert np.array_equal(theirs[key], ours[key]), key
        assert ours['img'].flags.c_contiguous
        seen.add(ours['flip_direction'])
    assert seen == {*directions, None}


@pytest.mark.parametrize('direction, point', [
    ('horizontal', (640 - 1 - 10, 102)), ('vertical', (10, 384 - 1 - 102)),
])
def test_a_wide_input_is_mirrored_about_its_middle(direction, point):
    """Image, keypoint and box go where the point does."""
    image = np.zeros((384, 640, 3), np.uint8)
    image[102, 10] = 255
    results = dict(
        img=image, img_shape=(384, 640), flip_indices=[0],
        keypoints=np.array([[[10., 102]]]), keypoints_visible=np.ones((1, 1)),
        bbox=np.array([[10., 102, 10, 102]]))
    for size in ({}, dict(input_size=(640, 384))):
        out = SSARandomFlip(1., direction)(dict(results, **size))
        assert out['keypoints'].tolist() == [[[*point]]]
        assert out['bbox'].tolist() == [[*point, *point]]
        assert np.argwhere(out['img'][..., 0]).tolist() == [[*point[::-1]]]
        assert out.keys() == {*results, *size, 'flip', 'flip_direction'}
        assert out.get('input_size') == size.get('input_size')


def test_a_person_at_the_border_of_a_wide_input():
    """From x = 10 to 629, through all steps that augment."""
    person = annotation(1, rectangle(8, 88, 20, 120), [[10, 102]])
    results = results_of([person], img_shape=(384, 640), ori_shape=(384, 640))
    image = np.zeros((384, 640, 3), np.uint8)
    image[88:120, 8:20] = 255
    out = Compose([
        SSARandomAffine((640, 384), max_translate=0, scale_factor=(1, 1),
                        rotate_factor=0),
        SSARandomFlip(prob=1.), GeneratePersonMasks((160, 96))])(
            dict(results, img=image, flip_indices=list(range(17)),
                 bbox=np.float32([[8, 88, 20, 120]])))
    assert out['input_size'] == (640, 384)
    assert out['keypoints'][0, 0] == pytest.approx([629, 102])
    assert np.array_equal(out['img'], image[:, ::-1])
    corners = out['bbox'][0]
    assert corners.min(0) == pytest.approx([619, 88])
    assert corners.max(0) == pytest.approx([631, 120])
    mask = np.zeros((96, 160), np.uint8)
    mask[22:30, 155:158] = 1
    assert np.array_equal(out['instance_masks'][0], mask)


def test_an_image_of_one_channel_keeps_it():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    flipped = SSARandomFlip(prob=1.)(dict(img=image, img_shape=(2, 3)))
    assert np.array_equal(flipped['img'], image[:, ::-1])


def test_who_supervises_and_what_is_valid():
    boxes = dict(labelled=(0, 0, 40, 40), small=(48, 0, 68, 20),
                 unlabelled=(0, 64, 64, 128), crowd=(64, 64, 128, 128))
    # Runs go down the columns: 64 columns and half of one are empty first
    counts = [64 * SIDE + 64] + [64] * 127
    persons = [
        annotation(1, rectangle(*boxes['labelled']), [[20, 20]]),
        annotation(2, rectangle(*boxes['small']), [[58, 10]]),
        annotation(3, rectangle(*boxes['unlabelled']), []),
        annotation(4, rectangle(*boxes['crowd']), [[96, 96]], iscrowd=1,
                   segmentation=dict(size=[SIDE, SIDE], counts=counts)),
    ]
    results = results_of(persons)
    keys, annotations = set(results), copy.deepcopy(persons)
    out = GeneratePersonMasks((CELLS, CELLS))(results)
    none = drawn()
    expected = [drawn(boxes['labelled']), drawn(boxes['small']), none, none]
    assert out['instance_masks'].dtype == np.uint8
    assert np.array_equal(out['instance_masks'], expected)
    invalid = drawn(boxes['small'], boxes['unlabelled'], boxes['crowd'])
    assert np.array_equal(out['heatmap_mask'], 1 - invalid[None])
    assert set(results) == keys and persons == annotations
    # 20 x 20 = 400 square pixels are enough if one asks for less
    out = GeneratePersonMasks((CELLS, CELLS), min_area=400)(results)
    invalid = drawn(boxes['unlabelled'], boxes['crowd'])
    assert np.array_equal(out['heatmap_mask'], 1 - invalid[None])


def test_size_is_that_of_the_image_not_of_the_input():
    # 40 x 40 image pixels are 20 x 20 input pixels: still not small
    person = annotation(1, rectangle(0, 0, 40, 40), [[20, 20]])
    half = np.float32([[.5, 0, -.25], [0, .5, -.25]])
    out = GeneratePersonMasks((CELLS, CELLS))(
        results_of([person], warp_mat=half, area=np.float32([400])))
    assert out['heatmap_mask'].all()
    # the padding beside the image is valid, and 40 / 2 / 4 = 5 cells
    assert np.array_equal(out['instance_masks'][0], drawn((0, 0, 20, 20)))


def test_a_flipped_mask_is_mirrored():
    person = annotation(1, rectangle(0, 0, 40, 40), [[20, 20]])
    out = GeneratePersonMasks((CELLS, CELLS))(
        results_of([person], flip=True, flip_direction='horizontal'))
    assert np.array_equal(out['instance_masks'][0], drawn((88, 0, 128, 40)))


def test_an_image_without_persons():
    results = results_of([])
    for key in ('keypoints', 'keypoints_visible'):
        del results[key]
    out = GeneratePersonMasks((CELLS, CELLS))(results | {'raw_ann_info': None})
    assert out['instance_masks'].shape == (0, CELLS, CELLS)
    assert out['heatmap_mask'].shape == (1, CELLS, CELLS)
    assert out['heatmap_mask'].all()


@pytest.mark.parametrize('segmentation', [None, []])
def test_a_missing_segmentation(segmentation):
    person = annotation(7, rectangle(0, 0, 20, 20), [[9, 9]],
                        segmentation=segmentation)
    with pytest.raises(ValueError, match='annotation 7 of image 1.*naive'):
        GeneratePersonMasks((CELLS, CELLS))(results_of([person]))
    out = GeneratePersonMasks((CELLS, CELLS), missing='empty')(
        results_of([person]))
    assert not out['instance_masks'].any() and out['heatmap_mask'].all()


@pytest.mark.parametrize('extra, words', [
    (dict(keypoints=np.zeros((2, 17, 2))), '1 raw_ann_info but 2 persons'),
    (dict(warp_mat=np.eye(3)), r'\(3, 3\)'),
    (dict(flip=True, flip_direction='vertical'), "'vertical'"),
    (dict(img_shape=(64, 64)), r'\(128, 128\) and is \(64, 64\)'),
])
def test_masks_refuse(extra, words):
    person = annotation(7, rectangle(0, 0, 20, 20), [[9, 9]])
    with pytest.raises(ValueError, match=words):
        GeneratePersonMasks((CELLS, CELLS))(results_of([person], **extra))


def test_keypoints_of_another_data_set():
    """Of its three types the first and the last become 4 and 0 of five."""
    persons = [annotation(1, rectangle(0, 0, 40, 40), [[20, 20]]),
               annotation(2, rectangle(64, 0, 128, 64), [])]
    persons[0]['keypoints'] = [0, 0, 0, 0, 0, 0, 20, 20, 1]
    persons[1]['keypoints'] = [0, 0, 0, 80, 9, 2, 0, 0, 0]  # not converted
    points = np.float32([p['keypoints'] for p in persons]).reshape(2, 3, 3)
    results = results_of([]) | dict(
        raw_ann_info=persons, keypoints=points[..., :2],
        keypoints_visible=np.minimum(points[..., 2], 1))
    converted = KeypointConverter(5, [(0, 4), (2, 0)])(results)
    assert converted['keypoints_visible'].shape == (2, 5, 2)
    out = GeneratePersonMasks((CELLS, CELLS))(converted)
    assert np.array_equal(out['instance_masks'],
                          [drawn((0, 0, 40, 40)), drawn()])
    # Whom no type is left is left out; so are the types that do not exist
    valid = 1 - drawn((64, 0, 128, 64))
    expected = np.multiply.outer([1, 0, 0, 0, 1], valid)
    assert out['heatmap_mask'].dtype == np.uint8
    assert np.array_equal(out['heatmap_mask'], expected)


def test_a_damaged_polygon_is_named():
    person = annotation(7, rectangle(0, 0, 20, 20), [[9, 9]],
                        segmentation=[[1, 2, 3, 4]])
    with pytest.raises(ValueError, match=r'annotation 7 .*\[1, 2, 3, 4\]'):
        GeneratePersonMasks((CELLS, CELLS))(results_of([person]))
    with pytest.raises(ValueError, match="'none'"):
        GeneratePersonMasks((CELLS, CELLS), missing='none')


@pytest.mark.skipif(not COCO_MINI.is_dir(), reason=f'{COCO_MINI} is absent')
def test_keypoints_lie_in_the_masks_of_real_persons():
    dataset = CocoDataset(
        ann_file=str(COCO_MINI / 'annotations/person_keypoints_val2017.json'),
        data_prefix=dict(img=str(COCO_MINI / 'val2017')),
        data_mode='bottomup', pipeline=[])
    steps, hits, own, others = pipeline(512, 512), 0, 0, 0
    np.random.seed(1)
    for i in range(len(dataset)):
        r = steps(dataset.get_data_info(i))
        cells = np.floor((r['keypoints'] + .5) / 4).astype(int)
        inside = ((cells >= 0) & (cells < 128)).all(-1)
        use = inside & (r['keypoints_visible'] > 0)
        for person, mask in enumerate(r['instance_masks']):
            x, y = cells[person][use[person]].T
            hits, own = hits + len(x), own + mask[y, x].sum()
            others += mask[::-1, ::-1][y, x].sum()  # a point mirrored away
    # Annotators put wrists and ankles on outlines, and guess hidden ones
    assert hits > 100 and own / hits > .75
    assert others / hits < .5

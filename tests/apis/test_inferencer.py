"""Images in; pictures, attention and COCO results out."""
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS

from mmpose_ssa.apis.inferencer import (inference_bottomup, load_model,
                                        pictures, write_predictions)
from mmpose_ssa.apis.visualizer import (Skeleton, draw_attention, draw_persons,
                                        draw_skeleton, draw_star, paint_mask,
                                        person_colors, sample_keypoints,
                                        side_by_side)

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / 'tests/data/ssa_tiny_64.py')
SIZES = {'7.png': (50, 91), 'tall.png': (200, 40), 'dot.png': (3, 2)}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights whose heatmaps have peaks."""
    torch.manual_seed(0)
    model = MODELS.build(dict(Config.fromfile(TINY).model, _scope_='mmpose'))
    torch.nn.init.normal_(model.head.final_layer.weight, std=.05)
    path = tmp_path_factory.mktemp('weights') / 'random.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return str(path)


@pytest.fixture(scope='module')
def nobody(checkpoint, tmp_path_factory):
    """Weights whose heatmaps are 0."""
    weights = torch.load(checkpoint)
    for name in ('weight', 'bias'):
        weights['state_dict'][f'head.final_layer.{name}'].zero_()
    path = tmp_path_factory.mktemp('weights') / 'zero.pth'
    torch.save(weights, path)
    return str(path)


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for name, (h, w) in SIZES.items():
        picture = np.full((h, w, 3), 90, np.uint8)
        cv2.circle(picture, (w // 2, h // 2), h // 3, (40, 90, 220), -1)
        cv2.imwrite(str(folder / name), picture)
    return [str(folder / name) for name in SIZES]


@pytest.fixture(scope='module')
def model(checkpoint):
    return load_model(TINY, checkpoint)


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['predict.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/predict.py'), run_name='__main__')


# --- the command ------------------------------------------------------------


def test_results_are_those_of_the_model(monkeypatch, tmp_path, model, images,
                                        checkpoint):
    command(monkeypatch, *images, '--config', TINY, '--checkpoint',
            checkpoint, '--out', tmp_path / 'out')
    results = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert {r['image_id'] for r in results} >= {7, 'tall'}
    for path, (h, w) in zip(images, SIZES.values()):
        name = Path(path).name
        found = inference_bottomup(model, path)[0].pred_instances
        here = [r for r in results if r['file_name'] == name]
        assert len(here) == len(found.masks)
        for p, result in enumerate(here):
            assert result['category_id'] == 1
            points = np.reshape(result['keypoints'], (17, 3))
            assert points[:, :2] == pytest.approx(found.keypoints[p])
            assert points[:, 2] == pytest.approx(found.keypoint_scores[p])
            assert result['keypoint_scores'] == pytest.approx(points[:, 2])
            assert result['score'] == pytest.approx(points[:, 2].mean())
            seen = points[points[:, 2] > 0, :2]
            assert result['bbox'] == pytest.approx(
                [*seen.min(axis=0), *np.ptp(seen, axis=0)], abs=1e-4)
            mask = coco_mask.decode(result['segmentation'])
            assert mask.shape == (h, w)
            assert np.array_equal(mask, coco_mask.decode(found.masks[p]))
        stem = tmp_path / 'out' / Path(name).stem
        assert cv2.imread(f'{stem}_persons.jpg').shape == (h, w, 3)
        assert cv2.imread(f'{stem}_attention.jpg').shape[0] == 360 + 24


def test_images_without_people(tmp_path, images, nobody):
    model = load_model(TINY, nobody)
    assert write_predictions(model, images[:1], str(tmp_path)) == []
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []
    assert (tmp_path / '7_persons.jpg').is_file()
    image = cv2.imread(images[0])
    drawn = pictures(model, image, inference_bottomup(model, image)[0], 0.)
    assert np.array_equal(drawn['persons'], image)
    assert np.array_equal(drawn['attention'],
                          side_by_side([image], ['persons']))


def test_the_pictures_show_what_was_found(model, images):
    image = cv2.imread(images[0])
    sample = inference_bottomup(model, image)[0]
    found = sample.pred_instances
    # Rows of a softmax over 8 x 15 tokens (50 x 91 pixels become 64 x 120)
    attention = found.keypoint_attention
    assert attention.shape == (len(found.masks), 17, 8, 15)
    missing = found.keypoint_scores == 0
    assert missing.any() and not missing.all()
    assert attention.sum((2, 3)) == pytest.approx(
        (~missing).astype(float), abs=1e-5)
    drawn = pictures(model, image, sample, kpt_thr=0.)
    union = np.any([coco_mask.decode(rle) for rle in found.masks], axis=0)
    changed = (drawn['persons'] != image).any(axis=2)
    assert changed[union].mean() > .9
    hidden = pictures(model, image, sample, kpt_thr=1e9)
    assert np.array_equal(hidden['persons'], image)
    panels = 1 + min(4, (~missing).sum())
    assert drawn['attention'].shape[1] == panels * (round(91 * 360 / 50) + 6)


def test_another_skeleton(tmp_path, images):
    meta = dict(from_file='configs/_base_/datasets/crowdpose.py')
    links = parse_pose_metainfo(dict(meta))['skeleton_links']
    cfg = Config.fromfile(TINY)
    cfg.train_dataloader.dataset.metainfo = meta
    cfg.model.head.out_channels = 14
    cfg.model.head.decoder.update(
        num_keypoints=14, order=list(range(14)), edges=links)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, _scope_='mmpose'))
    torch.nn.init.normal_(model.head.final_layer.weight, std=.05)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'crowd.pth')
    model = load_model(cfg, str(tmp_path / 'crowd.pth'))
    results = write_predictions(model, images[:1], str(tmp_path), kpt_thr=0)
    assert results and all(len(r['keypoints']) == 42 for r in results)
    assert Skeleton.from_meta(model.dataset_meta).names[12:] == [
        'top_head', 'neck']


def test_the_data_set_of_the_checkpoint_counts(tmp_path, checkpoint):
    weights = torch.load(checkpoint)
    weights['meta'] = dict(dataset_meta=dict(dataset_name='mine'))
    torch.save(weights, tmp_path / 'mine.pth')
    model = load_model(TINY, str(tmp_path / 'mine.pth'))
    assert model.dataset_meta == dict(dataset_name='mine')


# --- what it refuses --------------------------------------------------------


def test_missing_files_are_named(model, images, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist: gi'):
        load_model(TINY, 'no.pth')
    with pytest.raises(FileNotFoundError, match=r'no\.py'):
        load_model('no.py', images[0])
    with pytest.raises(FileNotFoundError, match=r'no\.jpg does not exist'):
        write_predictions(model, ['no.jpg'], str(tmp_path))


def test_a_call_without_an_image(monkeypatch, model, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, '--config', TINY, '--checkpoint', 'x', '--out',
                'y')
    assert 'required: IMAGE' in capsys.readouterr().err
    with pytest.raises(ValueError, match='no image given'):
        write_predictions(model, [], 'y')


def test_mistakes_are_told_with_their_cure(monkeypatch, tmp_path, capsys,
                                           checkpoint, images):
    (tmp_path / 'file').touch()
    for words, config, weights, more in (
            ('no.pth does not exist', TINY, 'no.pth', []),
            ('no.py does not exist', 'no.py', checkpoint, []),
            ('random.pth cannot be read as a config', checkpoint, TINY, []),
            ("device 'foo' cannot be used", TINY, checkpoint,
             ['--device', 'foo']),
            ('file is not a folder', TINY, checkpoint,
             ['--out', tmp_path / 'file'])):
        with pytest.raises(SystemExit) as stop:
            command(monkeypatch, images[0], '--config', config, '--checkpoint',
                    weights, '--out', tmp_path / 'out', *more)
        assert stop.value.code == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_two_images_of_one_name(model, tmp_path):
    with pytest.raises(ValueError, match="named '1' and would overwrite"):
        write_predictions(model, ['a/1.jpg', 'b/1.jpg'], str(tmp_path))


def test_weights_of_another_model(tmp_path, checkpoint):
    weights = torch.load(checkpoint)
    del weights['state_dict']['neck.projection.weight']
    torch.save(weights, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'(?s)other\.pth does not fit the '
                       r'model of .*ssa_tiny_64\.py: .*neck\.projection'):
        load_model(TINY, str(tmp_path / 'other.pth'))


def test_the_config_given_is_not_changed(checkpoint):
    cfg = Config.fromfile(TINY)
    before = cfg.to_dict()
    load_model(cfg, checkpoint)
    assert cfg.to_dict() == before


# --- drawing ----------------------------------------------------------------

LEFT, RIGHT = (0, 255, 0), (255, 128, 0)  # RGB
ARMS = Skeleton(['l', 'l2', 'r', 'r2'], [(0, 1), (2, 3)],
                np.array([LEFT, LEFT, RIGHT, RIGHT]), np.array([LEFT, RIGHT]))


def grey(h=60, w=80):
    return np.full((h, w, 3), 100, np.uint8)


def test_a_mask_is_painted_inside_and_nowhere_else():
    image, mask = grey(), np.zeros((60, 80), np.uint8)
    mask[10:30, 20:50] = 1
    painted = paint_mask(image, mask, (200, 0, 100), opacity=.25)
    assert (image == 100).all()
    assert np.array_equal((painted != image).any(axis=2), mask > 0)
    # 0.75 * 100 + 0.25 * (200, 0, 100), and the colour itself on the edge
    assert (painted[11:29, 21:49] == (125, 75, 100)).all()
    for edge in (painted[10, 20:50], painted[29, 20:50], painted[10:30, 20]):
        assert (edge == (200, 0, 100)).all()


def test_left_and_right_have_their_colours():
    points = np.array([[10, 10], [10, 50], [70, 10], [70, 50.]])
    shown = np.ones(4, bool)
    drawn = draw_skeleton(grey(), points, shown, ARMS)
    # smoothed lines are some per cent darker
    assert drawn[30, 10] == pytest.approx(LEFT[::-1], abs=30)
    assert drawn[30, 70] == pytest.approx(RIGHT[::-1], abs=30)
    assert (drawn[:, 20:60] == 100).all()
    # a link needs both of its ends, a point itself alone
    shown[1] = False
    drawn = draw_skeleton(grey(), points, shown, ARMS)
    assert (drawn[20:56, :20] == 100).all()
    assert tuple(drawn[10, 10]) == LEFT[::-1]


def test_only_what_exceeds_the_threshold_is_drawn():
    points = np.array([[[10, 10], [10, 50], [0, 0], [0, 0.]],
                       [[70, 10], [70, 50], [0, 0], [0, 0.]]])
    scores = np.array([[.9, .5, 0, 0], [.2, .2, 0, 0]])
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 5:55, 5:15] = masks[1, 5:55, 65:75] = 1
    drawn = draw_persons(grey(), points, scores, masks, ARMS, kpt_thr=.2)
    assert (drawn[:, 15:] == 100).all()
    assert tuple(drawn[5, 5]) == tuple(person_colors(2)[0])
    both = draw_persons(grey(), points, scores, masks, ARMS, kpt_thr=.1)
    assert tuple(both[5, 65]) == tuple(person_colors(2)[1])
    assert np.array_equal(both[:, :40], drawn[:, :40])


def test_colours_are_far_apart():
    colors = person_colors(6).astype(int)
    distance = np.abs(colors[:, None] - colors).sum(axis=2)
    assert distance[~np.eye(6, dtype=bool)].min() > 60
    assert np.array_equal(person_colors(30)[:6], colors)
    assert person_colors(0).shape == (0, 3)


def test_a_keypoint_of_each_person_first():
    scores = np.array([[.1, .9, 0], [.8, 0, 0], [.3, .2, .4]])
    assert sample_keypoints(scores) == [(0, 1), (1, 0), (2, 2), (0, 0)]
    assert sample_keypoints(scores, 99)[4:] == [(2, 0), (2, 1)]
    assert sample_keypoints(np.zeros((0, 3))) == []


def test_redder_is_higher_and_the_star_is_at_the_keypoint():
    attention = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (120, 1))
    drawn = draw_attention(grey(120, 200), attention, (50.4, 29.7))
    hue = cv2.cvtColor(drawn[100:101], cv2.COLOR_BGR2HSV)[0, :, 0].astype(int)
    assert hue[0] == 120 and hue[-1] == 0  # from blue to red
    assert np.diff(hue).max() <= 1 and np.diff(hue[::20]).max() <= 0
    assert tuple(drawn[30, 50]) == (255, 255, 255)
    white = np.argwhere((drawn == 255).all(axis=2))
    assert np.abs(white - [30, 50]).max() <= 7


def test_a_star_has_five_points():
    star = draw_star(np.zeros((101, 101, 3), np.uint8), (50, 50), 40)
    angles = np.radians(np.arange(0, 360, 72) - 90)
    for angle in angles:
        for turn, bright in ((0, True), (np.pi / 5, False)):
            x = round(50 + 30 * np.cos(angle + turn))
            y = round(50 + 30 * np.sin(angle + turn))
            assert star[y, x].all() == bright


def test_panels_stand_side_by_side():
    panels = [np.full((50, 100, 3), value, np.uint8) for value in (10, 200)]
    strip = side_by_side(panels, ['a', ''], height=25)
    assert strip.shape == (25 + 24, 2 * (50 + 6), 3)
    assert (strip[24:, :50] == 10).all() and (strip[24:, 56:-6] == 200).all()
    assert (strip[:24, 56:] == 255).all()
    assert (strip[:24, :50] < 128).any()  # the caption

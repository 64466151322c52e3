"""Images in; pictures, attention and COCO results out."""
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from factories import CONFIGS, ROOT, TINY, TOPDOWN, random_model, save_weights
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS

import mmpose_ssa
from mmpose_ssa.apis.inferencer import SSAInferencer, _above, bundled
from mmpose_ssa.apis.visualizer import side_by_side
from mmpose_ssa.engine.loading import load_estimator

TINY = str(TINY)
SIZES = {'7.png': (50, 91), 'tall.png': (200, 40), 'dot.png': (3, 2)}

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights that find keypoints of some types and miss others."""
    return save_weights(random_model(bias=-.05),
                        tmp_path_factory.mktemp('weights') / 'random.pth')


@pytest.fixture(scope='module')
def nobody(tmp_path_factory):
    """Weights whose heatmaps are 0."""
    return save_weights(random_model(std=0.),
                        tmp_path_factory.mktemp('weights') / 'zero.pth')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for name, (h, w) in SIZES.items():
        picture = np.full((h, w, 3), 90, np.uint8)
        cv2.circle(picture, (w // 2, h // 2), h // 3, (40, 90, 220), -1)
        cv2.imwrite(str(folder / name), picture)
    return [str(folder / name) for name in SIZES]


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return SSAInferencer(TINY, checkpoint, 'cpu')


# --- results ----------------------------------------------------------------


def check_persons(persons, sample, size):
    """Results of one image are what the model says."""
    found = sample.pred_instances
    assert len(persons) == len(found.masks)
    for p, result in enumerate(persons):
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
        assert mask.shape == size
        assert np.array_equal(mask, coco_mask.decode(found.masks[p]))


def test_results_come_image_by_image(inferencer, images, tmp_path):
    array = cv2.imread(images[0])
    iterator = inferencer([images[1], array, Path(images[2])],
                          return_vis=True, kpt_thr=0., draw_thr=0.)
    results = list(iterator)
    assert [r['path'] for r in results] == [images[1], None, images[2]]
    assert list(tmp_path.iterdir()) == []
    for result, name in zip(results, ('tall.png', '7.png', 'dot.png')):
        assert result['visualization'].shape == (*SIZES[name], 3)
    sample = inferencer.infer(array)
    check_persons(results[1]['predictions'], sample, SIZES['7.png'])
    assert np.array_equal(results[1]['visualization'],
                          inferencer.draw_persons(array, sample, 0.))
    for person in results[1]['predictions']:
        assert person['image_id'] == 1 and 'file_name' not in person
    for person in results[0]['predictions']:
        assert (person['image_id'], person['file_name']) == (
            'tall', 'tall.png')
    plain, = inferencer(array)
    assert plain == dict(path=None, predictions=[
        dict(person, image_id=0) for person in results[1]['predictions']])


def test_persons_of_low_scores_are_left_out(inferencer, images):
    everything = [person for result in inferencer(images)
                  for person in result['predictions']]
    scores = sorted(person['score'] for person in everything)
    middle = scores[len(scores) // 2]
    some = [person for result in inferencer(images, person_thr=middle)
            for person in result['predictions']]
    assert some == [p for p in everything if p['score'] >= middle]
    assert 0 < len(some) < len(scores)
    none, = inferencer(images[0], person_thr=scores[-1] * 1.01,
                       return_vis=True)
    assert none['predictions'] == []
    assert np.array_equal(none['visualization'], cv2.imread(images[0]))


def test_image_ids_of_an_annotation_file(inferencer, images):
    ids = {Path(images[0]).name: 42}
    first, second = inferencer(images[:2], image_ids=ids, on_error='skip')
    assert {p['image_id'] for p in first['predictions']} == {42}
    assert 'tall.png is not an image of the annotation' in second['error']
    with pytest.raises(ValueError, match='tall.png is not an image'):
        list(inferencer(images[:2], image_ids=ids))


def test_who_hides_is_counted_among_those_who_are_left():
    found = InstanceData(
        keypoints=np.zeros((3, 2, 2)), keypoint_scores=np.ones((3, 2)),
        bbox_scores=np.array([.9, .1, .5]),
        keypoints_hidden_by=np.array([[1, 2], [0, -1], [0, 1]]))
    some = _above(found, .3)
    assert some.bbox_scores.tolist() == [.9, .5]
    assert some.keypoints_hidden_by.tolist() == [[-1, 1], [0, -1]]
    assert found.keypoints_hidden_by.tolist() == [[1, 2], [0, -1], [0, 1]]


def test_a_damaged_image_is_skipped_on_demand(inferencer, images, tmp_path):
    bad = tmp_path / 'bad.png'
    bad.write_text('no image')
    first, none, last = inferencer([images[0], bad, images[1]],
                                   on_error='skip', out_dir=tmp_path / 'out')
    assert none['path'] == str(bad) and none['predictions'] == []
    assert 'bad.png cannot be read' in none['error']
    kept = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert kept == first['predictions'] + last['predictions']
    assert not list(tmp_path.glob('out/bad*'))
    with pytest.raises(ValueError, match="on_error.*'ignore'"):
        inferencer(images, on_error='ignore')


def test_an_array_of_a_wrong_shape_costs_no_image_of_its_batch(
        inferencer, images, tmp_path):
    grey = np.zeros((40, 40), np.uint8)
    inputs = [cv2.imread(images[0]), grey]
    found = inferencer(inputs, batch_size=2, out_dir=tmp_path)
    first = next(found)
    with pytest.raises(TypeError, match=r'\(40, 40\)'):
        next(found)
    assert json.loads((tmp_path / 'predictions.json').read_text()) == \
        first['predictions'] != []
    _, none = inferencer(inputs, batch_size=2, on_error='skip')
    assert '(40, 40)' in none['error']


def test_ids_and_crosses_as_the_config_says(inferencer):
    assert inferencer.track_options.birth_thr == .2
    assert not inferencer.draw_hidden
    photos = SSAInferencer(
        device='cpu', cfg_options={'visualizer.draw_hidden': True})
    assert photos.track_options.birth_thr == .1 and photos.draw_hidden


def test_what_is_done_is_kept_where_it_stops(inferencer, images, tmp_path):
    (tmp_path / 'bad.png').write_text('no image')
    iterator = inferencer([images[0], tmp_path / 'bad.png', images[1]],
                          out_dir=tmp_path / 'out')
    first = next(iterator)
    with pytest.raises(ValueError, match='bad.png cannot be read'):
        next(iterator)
    kept = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert kept == first['predictions'] and kept


def test_the_bundled_model_finds_people(tmp_path, monkeypatch, inferencer):
    """From any folder, without an argument; here on those of its own kind."""
    from factories import write_scenes
    scenes = write_scenes(tmp_path, train=1, val=3, size=160, max_people=2)
    monkeypatch.chdir(tmp_path)
    found = mmpose_ssa.SSAInferencer('demo')
    cuda = torch.cuda.is_available()
    assert next(found.model.parameters()).is_cuda == cuda
    truth = json.loads((
        scenes / 'annotations/person_keypoints_val2017.json').read_text())
    people = truth['annotations']
    results = [person for result in found('val2017')
               for person in result['predictions'] if person['score'] > .3]
    ious = [max((coco_mask.iou([r['segmentation']], [coco_mask.merge(
        coco_mask.frPyObjects(ann['segmentation'], 160, 160))], [0])[0, 0]
        for r in results if r['image_id'] == ann['image_id']), default=0)
        for ann in people]
    assert np.mean(np.array(ious) > .5) > .5


def test_the_bundled_model_for_photos_is_the_first_choice(images):
    found = mmpose_ssa.SSAInferencer(device='cpu')
    assert found.model.cfg.filename.endswith('ssa_photos.py')
    result, = found(images[0])
    assert result['path'] == images[0]


def test_a_batch_gives_what_single_images_give(tmp_path):
    """Images of several sizes, and one that cannot be read, in order."""
    from factories import write_scenes
    files = []
    for size in (160, 200):
        scenes = write_scenes(tmp_path / str(size), train=1, val=3, size=size,
                              max_people=3)
        files += sorted(map(str, scenes.glob('val2017/*')))
    bad = tmp_path / 'bad.png'
    bad.write_text('no image')
    inputs = [files[0], files[3], str(bad), *files[1:]]
    found = SSAInferencer('demo', device='cpu')
    alone = list(found(inputs, on_error='skip'))
    together = list(found(inputs, on_error='skip', batch_size=3))
    assert [r['path'] for r in together] == inputs
    assert sum(len(r['predictions']) for r in together) > 4
    for one, other in zip(alone, together):
        assert one.get('error') == other.get('error')
        assert len(one['predictions']) == len(other['predictions'])
        for p, q in zip(one['predictions'], other['predictions']):
            for key in ('keypoints', 'score', 'bbox'):
                assert p[key] == pytest.approx(q[key], abs=1e-3)
            for key in ('keypoints_filled', 'keypoints_hidden_by', 'image_id'):
                assert p[key] == q[key]
            assert coco_mask.iou([p['segmentation']], [q['segmentation']],
                                 [0])[0, 0] > .99
    with pytest.raises(ValueError, match='batch_size.*0'):
        found(files, batch_size=0)


def test_what_was_read_before_a_damaged_image_is_kept(inferencer, images,
                                                      tmp_path):
    (tmp_path / 'bad.png').write_text('no image')
    iterator = inferencer([images[0], tmp_path / 'bad.png', images[1]],
                          batch_size=3, out_dir=tmp_path / 'out')
    first = next(iterator)
    with pytest.raises(ValueError, match='bad.png cannot be read'):
        next(iterator)
    kept = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert kept == first['predictions'] and kept


def test_it_is_one_of_mmposes_inferencers(inferencer, images):
    from mmpose.apis import Pose2DInferencer
    assert isinstance(inferencer, Pose2DInferencer)
    result, = inferencer(images[0], return_datasamples=True)
    sample = inferencer.infer(cv2.imread(images[0]))
    assert np.array_equal(result['sample'].pred_instances.keypoints,
                          sample.pred_instances.keypoints)


def test_images_without_people(tmp_path, images, nobody):
    inferencer = SSAInferencer(TINY, nobody, 'cpu')
    result, = inferencer(images[0], out_dir=tmp_path)
    assert result == dict(path=images[0], predictions=[])
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []
    assert (tmp_path / '7_persons.jpg').is_file()
    assert not (tmp_path / '7_attention.jpg').exists()
    image = cv2.imread(images[0])
    sample = inferencer.infer(image)
    drawn = inferencer.draw_persons(image, sample, 0.)
    assert np.array_equal(drawn, image)
    assert np.array_equal(inferencer.draw_attention(image, sample, drawn),
                          side_by_side([image], ['persons']))


def test_the_pictures_show_what_was_found(inferencer, images):
    image = cv2.imread(images[0])
    sample = inferencer.infer(image)
    found = sample.pred_instances
    # Rows of a softmax over 8 x 15 tokens (50 x 91 pixels become 64 x 120)
    attention = found.keypoint_attention
    assert attention.shape == (len(found.masks), 17, 8, 15)
    missing = found.keypoint_scores == 0
    assert missing.any() and not missing.all()
    assert attention.sum((2, 3)) == pytest.approx(
        (~missing).astype(float), abs=1e-5)
    persons = inferencer.draw_persons(image, sample, kpt_thr=0.)
    union = np.any([coco_mask.decode(rle) for rle in found.masks], axis=0)
    assert (persons != image).any(axis=2)[union].mean() > .9
    hidden = inferencer.draw_persons(image, sample, kpt_thr=1e9)
    assert np.array_equal(hidden, image)
    panels = 1 + min(4, (~missing).sum())
    drawn = inferencer.draw_attention(image, sample, persons)
    assert drawn.shape[1] == panels * (round(91 * 360 / 50) + 6)


@pytest.mark.parametrize('name', ['ae_demo', 'dekr_demo'])
def test_models_without_masks(images, tmp_path, name):
    """Those compared with SSA; these two name their outputs differently."""
    cfg = Config.fromfile(CONFIGS / f'comparisons/{name}.py')
    torch.manual_seed(0)
    weights = save_weights(MODELS.build(cfg.model), tmp_path / 'random.pth')
    inferencer = SSAInferencer(cfg, weights, 'cpu')
    result, = inferencer(images[1], return_vis=True, kpt_thr=0., draw_thr=0.)
    image = cv2.imread(images[1])
    found = inferencer.infer(image).pred_instances
    assert len(result['predictions']) == len(found.keypoints) > 0
    for p, person in enumerate(result['predictions']):
        assert 'segmentation' not in person
        points = np.reshape(person['keypoints'], (17, 3))
        assert points[:, :2] == pytest.approx(found.keypoints[p])
        if name == 'dekr_demo':
            assert person['score'] == pytest.approx(
                points[:, 2].mean(), rel=1e-5)
        seen = points[points[:, 2] > 0, :2]
        assert person['bbox'] == pytest.approx(
            [*seen.min(axis=0), *np.ptp(seen, axis=0)], abs=1e-4)
    assert (result['visualization'] != image).any()
    assert np.array_equal(
        inferencer.draw_attention(image, inferencer.infer(image), image),
        side_by_side([image], ['persons']))


def test_keypoints_of_a_refiner_have_no_attention(tmp_path, checkpoint,
                                                  images):
    cfg = Config.fromfile(TINY)
    cfg.model.refiner = dict(
        config=str(TOPDOWN), checkpoint=save_weights(
            random_model(TOPDOWN, .5, 5.), tmp_path / 'topdown.pth'))
    cfg.test_dataloader.dataset.pipeline[0].keep_original = True
    inferencer = SSAInferencer(cfg, checkpoint, 'cpu')
    image = cv2.imread(images[0])
    sample = inferencer.infer(image)
    persons = inferencer.draw_persons(image, sample, 0.)
    with np.errstate(all='raise'):
        drawn = inferencer.draw_attention(image, sample, persons)
    assert drawn.shape[1] > persons.shape[1]
    result, = inferencer(images[0])
    for person, points in zip(result['predictions'],
                              sample.pred_instances.keypoints):
        assert np.reshape(person['keypoints'], (17, 3))[
            :, :2] == pytest.approx(points, abs=1e-3)


def test_another_skeleton(tmp_path, images):
    meta = dict(from_file='configs/_base_/datasets/crowdpose.py')
    links = parse_pose_metainfo(dict(meta))['skeleton_links']
    cfg = Config.fromfile(TINY)
    cfg.train_dataloader.dataset.metainfo = meta
    cfg.model.head.out_channels = 14
    cfg.model.head.decoder.update(
        num_keypoints=14, order=list(range(14)), edges=links)
    inferencer = SSAInferencer(
        cfg, save_weights(random_model(cfg), tmp_path / 'crowd.pth'), 'cpu')
    result, = inferencer(images[0], out_dir=tmp_path, kpt_thr=0)
    assert result['predictions']
    assert all(len(r['keypoints']) == 42 for r in result['predictions'])
    assert inferencer.skeleton.names[12:] == ['top_head', 'neck']


def test_the_data_set_of_the_checkpoint_counts(tmp_path, checkpoint):
    weights = torch.load(checkpoint, weights_only=False)
    model = load_estimator(Config.fromfile(TINY), checkpoint)
    mine = dict(model.dataset_meta, dataset_name='mine')
    weights['meta'] = dict(dataset_meta=mine)
    torch.save(weights, tmp_path / 'mine.pth')
    model = load_estimator(Config.fromfile(TINY), str(tmp_path / 'mine.pth'))
    assert model.dataset_meta['dataset_name'] == 'mine'


@pytest.mark.parametrize('change, words', [
    (dict(num_keypoints=14), 'num_keypoints is 14|keypoint_id2name'),
    (dict(sigmas=np.ones(3)), 'sigmas')])
def test_a_data_set_that_does_not_fit_is_refused(tmp_path, checkpoint, change,
                                                 words):
    weights = torch.load(checkpoint, weights_only=False)
    model = load_estimator(Config.fromfile(TINY), checkpoint)
    weights['meta'] = dict(dataset_meta=dict(model.dataset_meta, **change))
    torch.save(weights, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=f'dataset_meta is none.*({words})'):
        load_estimator(Config.fromfile(TINY), str(tmp_path / 'other.pth'))


def test_keypoints_of_another_model_are_refused(tmp_path, checkpoint):
    """All of CrowdPose's, which hold together, on 17 heatmaps."""
    weights = torch.load(checkpoint, weights_only=False)
    meta = parse_pose_metainfo(
        dict(from_file='configs/_base_/datasets/crowdpose.py'))
    weights['meta'] = dict(dataset_meta=meta)
    torch.save(weights, tmp_path / 'crowd.pth')
    with pytest.raises(ValueError, match='is 14, but the model.* has 17'):
        load_estimator(Config.fromfile(TINY), str(tmp_path / 'crowd.pth'))


def test_a_data_set_cannot_bring_images(tmp_path, checkpoint, images):
    weights = torch.load(checkpoint, weights_only=False)
    model = load_estimator(Config.fromfile(TINY), checkpoint)
    weights['meta'] = dict(dataset_meta=dict(
        model.dataset_meta, img=np.zeros((9, 9, 3), np.uint8),
        bbox=np.zeros((1, 4)), img_path='x.jpg'))
    torch.save(weights, tmp_path / 'more.pth')
    found = SSAInferencer(TINY, str(tmp_path / 'more.pth'), 'cpu')
    assert {'img', 'bbox', 'img_path'}.isdisjoint(found.model.dataset_meta)
    result, = found(images[0], return_vis=True)
    assert result['visualization'].shape == (*SIZES['7.png'], 3)


# --- inputs and files -------------------------------------------------------


def test_the_bundled_model_is_in_or_beside_the_package(monkeypatch, tmp_path):
    photos = 'configs/photos/ssa_photos.py', 'weights/ssa_photos.pth'
    demo = 'configs/demo/ssa_demo_plus.py', 'weights/ssa_demo.pth'
    assert bundled() == tuple(str(ROOT / name) for name in photos)
    assert bundled('demo') == tuple(str(ROOT / name) for name in demo)
    with pytest.raises(ValueError, match="'cats'.*demo, photos"):
        bundled('cats')
    package = tmp_path / 'site/mmpose_ssa'
    monkeypatch.setattr('mmpose_ssa.apis.inferencer.__file__',
                        str(package / 'apis/inferencer.py'))
    with pytest.raises(FileNotFoundError, match='give config and checkpoint'):
        bundled()
    wheel = [package / '.mim' / name for name in photos]
    for path in wheel:
        path.parent.mkdir(parents=True)
        path.touch()
    assert bundled() == tuple(map(str, wheel))


def test_the_public_name_is_lazy_and_listed():
    assert 'SSAInferencer' in dir(mmpose_ssa)
    assert mmpose_ssa.SSAInferencer is SSAInferencer
    with pytest.raises(AttributeError, match='nonsense'):
        mmpose_ssa.nonsense  # noqa: B018


# --- what it refuses --------------------------------------------------------


def test_missing_files_are_named(inferencer, images, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist'):
        SSAInferencer(TINY, 'no.pth', 'cpu')
    with pytest.raises(FileNotFoundError, match=r'no\.py'):
        SSAInferencer('no.py', images[0], 'cpu')
    for given in ('no.jpg', str(tmp_path / '*.jpg'), [images[0], 'no.jpg']):
        with pytest.raises(FileNotFoundError, match=r'\.jpg.* exist.* folder'):
            inferencer(given)


@pytest.mark.parametrize('inputs, error, words', [
    ([], ValueError, 'no image given'),
    ([3], TypeError, '3 is a int: .*path.*array'),
    ([None], TypeError, 'None is a NoneType'),
    (None, TypeError, 'None is a NoneType'),
])
def test_what_is_no_image(inferencer, inputs, error, words):
    with pytest.raises(error, match=words):
        inferencer(inputs)


def test_an_empty_folder(inferencer, tmp_path):
    with pytest.raises(ValueError, match=r'has no images .*\*\.png'):
        inferencer(tmp_path)


def test_a_config_needs_its_weights(checkpoint):
    for config, weights in ((TINY, None), (None, checkpoint)):
        with pytest.raises(ValueError, match='config.*checkpoint.*both'):
            SSAInferencer(config, weights)


def test_a_topdown_model(checkpoint):
    with pytest.raises(ValueError, match='topdown_tiny.*needs boxes.*SSA'):
        SSAInferencer(TOPDOWN, checkpoint, 'cpu')


def test_a_long_list_of_what_does_not_fit_is_cut(checkpoint):
    with pytest.raises(ValueError, match='does not fit') as told:
        load_estimator(
            Config.fromfile(CONFIGS / 'ssa/ssa_r50_640.py'), checkpoint)
    assert re.search(r'\.\.\. and \d+ more\)$', str(told.value))
    assert len(str(told.value)) < 1500


def test_weights_of_another_model(tmp_path, checkpoint):
    weights = torch.load(checkpoint, weights_only=False)
    del weights['state_dict']['neck.projection.weight']
    torch.save(weights, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'(?s)other\.pth .*'
                       r'ssa_tiny_64\.py.*neck\.projection'):
        SSAInferencer(TINY, str(tmp_path / 'other.pth'), 'cpu')


def test_the_config_given_is_not_changed(checkpoint):
    cfg = Config.fromfile(TINY)
    before = cfg.to_dict()
    SSAInferencer(cfg, checkpoint, 'cpu')
    assert cfg.to_dict() == before

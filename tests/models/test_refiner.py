"""The second look at each person, from a box's pixels to refined results."""
import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import oracle
import pycocotools.mask as coco_mask
import pytest
import torch
from factories import (CONFIGS, TINY, TOPDOWN, noise, person, random_model,
                       save_weights, write_annotations, write_images)
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_config
from mmengine.runner import Runner, load_checkpoint
from mmpose.apis import inference_bottomup
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, METRICS, MODELS
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.refinement import refine_keypoints
from mmpose_ssa.engine.checkpoints import CheckpointError, DownloadError
from mmpose_ssa.engine.loading import load_estimator
from mmpose_ssa.evaluation.oracle import AttentionOracle, decompose
from mmpose_ssa.models.refiner import Refiner

pytestmark = pytest.mark.usefixtures('mmpose')

TOPDOWN = str(TOPDOWN)
K = 17


@pytest.fixture(scope='module')
def topdown(tmp_path_factory):
    """Config and random weights of a small top-down model."""
    return dict(config=TOPDOWN, checkpoint=save_weights(
        random_model(TOPDOWN, std=.5, bias=5.),
        tmp_path_factory.mktemp('topdown') / 'topdown.pth'))


@pytest.fixture(scope='module')
def bottomup(tmp_path_factory):
    """Random weights of the tiny SSA, which miss some keypoints."""
    return save_weights(random_model(bias=-.05, attention_std=1.),
                        tmp_path_factory.mktemp('ssa') / 'ssa.pth')


def refined_config(refiner, **test_cfg):
    """The tiny SSA with a refiner."""
    cfg = Config.fromfile(TINY)
    cfg.model.refiner = refiner
    cfg.model.test_cfg.update(test_cfg)
    cfg.test_dataloader.dataset.pipeline[0].keep_original = True
    return cfg


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (70, 110, 3), dtype=np.uint8)


def noise_boxes(rng, number, h=70, w=110):
    corners = rng.uniform(0, [w / 2, h / 2], (number, 2))
    return np.hstack([corners, corners + rng.uniform(10, 40, (number, 2))])


# --- a box, its pixels, and back --------------------------------------------


@pytest.mark.parametrize('box, scale', [
    # 40 x 80 is padded to 50 x 100, and to the aspect 3 : 4: 75 x 100
    ((150, 60, 190, 140), 192 / 75),
    # 80 x 40 becomes 100 x 50, and 100 x 133.3; it leaves the image
    ((220, 10, 300, 50), 192 / 100),
])
def test_a_lit_pixel_is_found_in_image_coordinates(topdown, monkeypatch, box,
                                                   scale):
    spot = np.array([box[0] * .3 + box[2] * .7, box[1] * .6 + box[3] * .4])
    ys, xs = np.mgrid[:200, :300]
    light = np.exp(-((xs - spot[0])**2 + (ys - spot[1])**2) / (2 * 3**2))
    image = np.repeat((255 * light)[..., None], 3, axis=2).astype(np.uint8)
    refiner, seen = Refiner(**topdown), []

    def brightness(inputs):
        seen.append(inputs)
        return inputs.mean(1, keepdim=True)

    monkeypatch.setattr(refiner.model, 'extract_feat', brightness)
    monkeypatch.setattr(
        refiner.model.head, 'forward', lambda feats:
        torch.nn.functional.avg_pool2d(feats, 5, 4, 2).expand(-1, K, -1, -1))
    points, scores = refiner.predict(image, np.array([box], float))

    assert seen[0].shape == (1, 3, 256, 192)
    brightest = np.unravel_index(seen[0][0, 0].argmax(), (256, 192))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    assert_allclose(brightest[::-1], (spot - centre) * scale + [96, 128],
                    atol=.5 * scale + .6)
    # found to half a cell of 4 input pixels
    assert_allclose(points, np.tile(spot, (1, K, 1)), atol=2 / scale + .3)
    assert scores.shape == (1, K) and (scores > 0).all()


def test_33_persons_are_looked_at_in_two_calls(topdown, monkeypatch, rng,
                                               image):
    boxes = noise_boxes(rng, 33)
    results = {}
    for name, options in dict(chunks={}, whole=dict(batch_size=33)).items():
        refiner, sizes = Refiner(**topdown, **options), []
        forward = refiner.model.extract_feat
        monkeypatch.setattr(
            refiner.model, 'extract_feat', lambda x, forward=forward,
            sizes=sizes: (sizes.append(len(x)), forward(x))[1])
        results[name] = refiner.predict(image, boxes)
        assert sizes == ([32, 1] if name == 'chunks' else [33])
    for chunks, whole in zip(*results.values()):
        assert_allclose(chunks, whole, rtol=1e-4)
    assert np.ptp(results['whole'][0], axis=0).max() > 10  # no two alike


def test_the_refiners_flip_test(topdown, tmp_path, rng):
    """Averaged over both, the mirror image has mirrored keypoints of the
    other side. The crop is 192 x 256 image pixels and inside the image."""
    cfg = Config.fromfile(topdown['config'])
    cfg.model.test_cfg = dict(flip_test=True, flip_mode='heatmap',
                              shift_heatmap=False)
    flips = Refiner(cfg, topdown['checkpoint'])
    image = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    box = np.array([[200, 150, 200, 150]]) + np.array(
        [[-76.8, -102.4, 76.8, 102.4]])
    points, scores = flips.predict(image, box)
    turned, turned_scores = flips.predict(
        np.ascontiguousarray(image[:, ::-1]), box)
    sides = flips.model.dataset_meta['flip_indices']
    # the cell i of 4 pixels becomes 47 - i
    points[..., 0] = 400 - 4 - points[..., 0]
    # (rounding may turn the sign of a quarter of a cell)
    assert_allclose(turned, points[:, sides], atol=1.01)
    assert_allclose(turned_scores, scores[:, sides], rtol=1e-4)
    plain = Refiner(**topdown).predict(image, box)[1]
    assert np.abs(plain - scores).max() > 1e-3


def test_the_precision_around_does_not_matter(topdown, rng, image):
    refiner, boxes = Refiner(**topdown), noise_boxes(rng, 2)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = refiner.predict(image, boxes)
    for one, other in zip(inside, refiner.predict(image, boxes)):
        assert_array_equal(one, other)


def test_no_person_no_call(image):
    """Not even the files are read."""
    nothing = np.zeros((0, K, 2)), np.zeros((0, K)), [], np.zeros((0, 4))
    points, scores = Refiner('no.py', 'no.pth').refine(image, *nothing)
    assert points.shape == (0, K, 2) and scores.shape == (0, K)


# --- in the estimator -------------------------------------------------------


def by_hand(plain, image, refiner, fill, threshold):
    """Refined keypoints and scores, person by person."""
    sigmas = parse_pose_metainfo(
        dict(from_file='configs/_base_/datasets/coco.py'))['sigmas']
    found = []
    for rle, points, scores in zip(plain.masks, plain.keypoints,
                                   plain.keypoint_scores):
        y, x = np.nonzero(coco_mask.decode(rle))
        box = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], float)
        second, second_scores = refiner.predict(image, box)
        found.append(
            refine_keypoints(points, scores, second[0], second_scores[0],
                             len(x), sigmas, fill, threshold))
    return [np.array(arrays) for arrays in zip(*found)]


@pytest.mark.parametrize('fill, threshold', [
    (True, .75), (False, .75), (False, 1e-9), (True, 1e-9)])
def test_persons_are_refined_from_arrays(topdown, bottomup, image, fill,
                                         threshold):
    model = load_estimator(Config.fromfile(TINY), bottomup)
    plain = inference_bottomup(model, image)[0].pred_instances
    options = dict(fill_missing=fill)
    if threshold != .75:
        options.update(ks_threshold=threshold)
    model = load_estimator(refined_config(topdown, **options), bottomup)
    sample, = inference_bottomup(model, image)
    found = sample.pred_instances
    points, scores = by_hand(plain, image, Refiner(**topdown), fill, threshold)
    assert_allclose(found.keypoints, points, atol=1e-3)
    assert_allclose(found.keypoint_scores, scores, rtol=1e-4)
    assert_array_equal(found.keypoints_visible, found.keypoint_scores)

    missing = plain.keypoint_scores == 0
    assert missing.any() and not missing.all()
    if fill:
        assert (found.keypoint_scores > 0).all()
    else:
        assert not found.keypoints[missing].any()
        assert not found.keypoint_scores[missing].any()
    assert_array_equal(found.keypoint_scores[~missing],
                       plain.keypoint_scores[~missing])
    moved = (found.keypoints != plain.keypoints).any(axis=2)[~missing]
    assert not moved.all() and moved.any() == (threshold != .75)
    here = ~missing if not fill else np.ones_like(missing)
    for p in range(len(points)):
        assert_allclose(found.bboxes[p].reshape(2, 2), [
            points[p][here[p]].min(0), points[p][here[p]].max(0)], atol=1e-3)
    # the rest is as it was, and the pixels are gone
    assert_array_equal(found.bbox_scores, plain.bbox_scores)
    assert found.masks == plain.masks
    assert_array_equal(found.attention_maps, plain.attention_maps)
    assert 'ori_img' not in sample
    assert not any(isinstance(value, np.ndarray) and value.size > 999
                   for value in sample.metainfo.values())


def test_rescoring_counts_every_keypoint(topdown, bottomup, image):
    model = load_estimator(refined_config(topdown, rescore=True), bottomup)
    found = inference_bottomup(model, image)[0].pred_instances
    assert_allclose(found.bbox_scores, found.keypoint_scores.sum(1) / K)
    assert found.bbox_scores.max() > 1  # the refiner's scores are about 5


def test_mmposes_inferencer_takes_arrays_and_files(topdown, bottomup, image,
                                                   tmp_path):
    from mmpose.apis.inferencers import Pose2DInferencer
    cfg = refined_config(topdown)
    expected = inference_bottomup(load_estimator(cfg, bottomup),
                                  image)[0].pred_instances
    cfg.dump(tmp_path / 'config.py')
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    inferencer = Pose2DInferencer(str(tmp_path / 'config.py'), bottomup,
                                  device='cpu')
    for given in (image, str(tmp_path / 'image.png')):
        result, = inferencer(given, return_datasamples=True)
        sample, = result['predictions']
        assert_allclose(sample.pred_instances.keypoints, expected.keypoints,
                        atol=1e-3)
        assert 'ori_img' not in sample


def test_its_weights_are_not_those_of_the_model(topdown, bottomup, image):
    plain = load_estimator(Config.fromfile(TINY), bottomup)
    model = load_estimator(refined_config(topdown), bottomup)
    fresh = copy.deepcopy(model)
    inference_bottomup(model, image)
    for one in (model, fresh, copy.deepcopy(model)):
        assert one.state_dict().keys() == plain.state_dict().keys()
        assert len(list(one.parameters())) == len(list(plain.parameters()))
        assert len(list(one.modules())) == len(list(plain.modules()))
    weights = list(model.refiner.model.parameters())
    assert weights and not any(p.requires_grad for p in weights)
    model.train()
    assert not any(m.training for m in model.refiner.model.modules())
    # a copy, which averages weights, refines alike and on its own
    twin = copy.deepcopy(model.eval())
    first, = inference_bottomup(model, image)
    for one in (twin, fresh):
        second, = inference_bottomup(one, image)
        assert_array_equal(first.pred_instances.keypoints,
                           second.pred_instances.keypoints)
        assert one.refiner.model is not model.refiner.model


def test_it_runs_where_the_model_is(topdown, bottomup, image, monkeypatch):
    model, moved = load_estimator(refined_config(topdown), bottomup), []
    refiner = model.refiner.model
    to = refiner.to
    monkeypatch.setattr(refiner, 'to', lambda d: (moved.append(d), to(d))[1])
    inference_bottomup(model, image)
    assert moved == [next(model.parameters()).device]


@pytest.mark.gpu
def test_it_follows_the_model_to_a_gpu(topdown, bottomup, image):
    model = load_estimator(refined_config(topdown), bottomup)
    here, = inference_bottomup(model, image)
    there, = inference_bottomup(model.cuda(), image)
    assert all(p.is_cuda for p in model.refiner.model.parameters())
    assert_allclose(there.pred_instances.keypoint_scores,
                    here.pred_instances.keypoint_scores, rtol=1e-2)
    back, = inference_bottomup(model.cpu(), image)
    assert_array_equal(back.pred_instances.keypoints,
                       here.pred_instances.keypoints)


def test_missing_pixels_are_named(topdown, bottomup, image):
    cfg = refined_config(topdown)
    cfg.test_dataloader.dataset.pipeline = cfg.val_pipeline
    with pytest.raises(ValueError, match=r'original pixels.*'
                       r'LoadCheckedImage\(keep_original=True\).*ori_img'):
        inference_bottomup(load_estimator(cfg, bottomup), image)


def test_without_a_refiner_no_pixels_stay(bottomup, image):
    """Its refiner switched off, `--cfg-options model.refiner=None`."""
    model = load_estimator(refined_config(None), bottomup)
    assert 'ori_img' not in inference_bottomup(model, image)[0]


def without_people(model):
    for parameter in model.head.final_layer.parameters():
        torch.nn.init.zeros_(parameter)
    return model


def test_nobody_is_refined_where_nobody_is(topdown, bottomup, image):
    model = without_people(load_estimator(refined_config(topdown), bottomup))
    sample, = inference_bottomup(model, image)
    assert sample.pred_instances.keypoints.shape == (0, K, 2)
    assert sample.pred_instances.bboxes.shape == (0, 4)
    assert 'ori_img' not in sample


# --- in a runner ------------------------------------------------------------


@pytest.fixture
def data(tmp_path, rng):
    """Two images of noise with a person each; the folder."""
    sizes = {1: (64, 64), 2: (64, 64)}
    write_images(tmp_path, sizes, lambda h, w: noise(rng, h, w))
    write_annotations(tmp_path, [
        person(rng.uniform(10, 54, (K, 2)), i, i) for i in sizes], sizes)
    return tmp_path


def runner_config(cfg, data, name):
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.update(
            data_root=str(data), ann_file='persons.json',
            data_prefix=dict(img=''))
    cfg.merge_from_dict({
        'work_dir': str(data / name), 'experiment_name': f'{data}{name}',
        'visualizer.name': f'{data}{name}', 'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1, 'custom_hooks': [
            dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=.1)],
        'default_hooks.checkpoint.interval': 1})
    return cfg


def test_training_needs_no_refiner_and_testing_refines(topdown, bottomup,
                                                       data):
    """Training, validation included, with files that are not there; then
    results of a test are those of the images, one by one."""
    cfg = runner_config(
        refined_config(dict(config='no.py', checkpoint='no.pth')), data,
        'train')
    runner = Runner.from_cfg(cfg)
    runner.train()
    kept = torch.load(data / 'train/epoch_1.pth', weights_only=False)
    alone = MODELS.build(Config.fromfile(TINY).model)
    assert kept['state_dict'].keys() == alone.state_dict().keys()

    cfg = runner_config(refined_config(topdown), data, 'test')
    cfg.load_from = bottomup
    cfg.test_evaluator[0].outfile_prefix = str(data / 'refined')
    metrics = Runner.from_cfg(cfg).test()
    assert {'coco/AP', 'mask/AP'} <= set(metrics)
    results = json.loads((data / 'refined.keypoints.json').read_text())
    model = load_estimator(refined_config(topdown), bottomup)
    for i in (1, 2):
        found = inference_bottomup(
            model, cv2.imread(str(data / f'{i}.png')))[0].pred_instances
        here = [np.reshape(result['keypoints'], (K, 3)) for result in results
                if result['image_id'] == i]
        assert_allclose(np.array(here)[..., :2], found.keypoints, atol=1e-2)
        assert (np.array(here)[..., 2] > 0).all()


# --- the configs ------------------------------------------------------------

SSA = CONFIGS / 'ssa'
REFINED = sorted(path.stem for path in SSA.glob('*_refine?.py'))


def test_the_papers_refined_rows_have_a_config():
    assert {
        *(f'ssa_{name}_refine{i}' for i in (1, 2)
          for name in ('r101_640', 'r152_640', 'r101_800')),
        'ssa_r101_800_test-dev_refine2', 'ssa_r101_640_body-first_refine2',
        *(f'ssa_proxy_r50_576_layer{i}_refine2' for i in range(1, 6))
    } <= set(REFINED)


@pytest.mark.parametrize('name', REFINED)
def test_a_refined_config_tests_what_its_parent_trains(name):
    parent, _, number = name.rpartition('_refine')
    cfg, plain = (Config.fromfile(SSA / f'{stem}.py').to_dict()
                  for stem in (name, parent))
    refiner, switches = cfg['model'].pop('refiner'), cfg['model']['test_cfg']
    assert Path(refiner['config']).is_file() and refiner['checkpoint']
    assert switches.pop('fill_missing') == (number == '2')
    assert not switches.pop('rescore')
    cfg.pop('refiner', None)

    testing = cfg['test_dataloader']['dataset'].pop('pipeline')
    load, *others = plain['test_dataloader']['dataset'].pop('pipeline')
    assert testing == [dict(load, keep_original=True), *others]
    assert 'ori_img' in testing[-1]['meta_keys']
    for metrics in (cfg['test_evaluator'], plain['test_evaluator']):
        metrics[0].pop('outfile_prefix', None)
    assert cfg == plain  # validation carries no pixels


# --- what is refused --------------------------------------------------------


def test_missing_files_are_named(topdown):
    for config, checkpoint in (('no.py', topdown['checkpoint']),
                               (topdown['config'], 'no.pth')):
        with pytest.raises(FileNotFoundError, match=r'no\.p(y|th)'):
            assert Refiner(config, checkpoint).model


@pytest.mark.parametrize('setting, name', [
    ('config', 'no.py'), ('checkpoint', 'no.pth')])
def test_missing_files_are_named_with_the_setting(topdown, bottomup, image,
                                                  setting, name):
    """At the first image, though nobody is in it."""
    refiner = dict(topdown, **{setting: name})
    model = without_people(load_estimator(refined_config(refiner), bottomup))
    with pytest.raises(FileNotFoundError, match=f'refiner: .*{name}.*'
                       r'model\.refiner\.config.*model\.refiner\.checkpoint'):
        inference_bottomup(model, image)


@pytest.mark.parametrize('error, words', [
    (DownloadError('no route'), 'no route'),
    (PermissionError('locked'), 'permissions.*locked'),
    (CheckpointError('holds more'), 'holds more'),
])
def test_reasons_that_weights_are_not_read(topdown, bottomup, image,
                                           monkeypatch, error, words):
    def fail(*args, **kwargs):
        raise error

    model = load_estimator(refined_config(dict(
        topdown, checkpoint='https://localhost/a.pth')), bottomup)
    monkeypatch.setattr('mmpose_ssa.engine.loading.load_checkpoint', fail)
    with pytest.raises(ValueError, match=f'refiner: .*{words}.*'
                       r'model\.refiner\.config'):
        inference_bottomup(model, image)


def test_weights_of_another_model_are_named(topdown, bottomup):
    refiner = Refiner(topdown['config'], bottomup)
    with pytest.raises(ValueError, match=r'(?s)ssa\.pth.*topdown_tiny.*\.py.*'
                       r'neck\.projection'):
        assert refiner.model


@pytest.mark.parametrize('kind', ['SSAPoseEstimator', 'FasterRCNN', None])
def test_a_model_that_is_not_topdown_is_named(topdown, tmp_path, kind):
    cfg = Config.fromfile(topdown['config'])
    cfg.model.type = kind
    cfg.dump(tmp_path / 'other.py')
    refiner = Refiner(str(tmp_path / 'other.py'), topdown['checkpoint'])
    with pytest.raises(ValueError, match=rf'other\.py .*-down.* is {kind},'):
        assert refiner.model


def crowdpose(topdown, folder):
    cfg = Config.fromfile(topdown['config'])
    cfg.model.head.out_channels = 14
    cfg.train_dataloader.dataset.type = 'CrowdPoseDataset'
    return Refiner(
        cfg, save_weights(MODELS.build(cfg.model), folder / 'crowd.pth'))


def test_another_number_of_keypoints_is_named(topdown, bottomup, tmp_path,
                                              image):
    model = load_estimator(refined_config(topdown), bottomup)
    model.refiner = crowdpose(topdown, tmp_path)
    with pytest.raises(ValueError, match='num_keypoints 17, '
                       r'.*crowd\.pth has 14.*same keypoints'):
        inference_bottomup(model, image)


def test_another_skeleton_is_named(topdown, bottomup, image):
    model = load_estimator(refined_config(topdown), bottomup)
    model.dataset_meta = dict(model.dataset_meta, flip_indices=list(range(K)))
    with pytest.raises(ValueError, match=r'flip_indices \[0, 1, .*same key'):
        inference_bottomup(model, image)
    with pytest.raises(ValueError, match=r"names \['a', 'b'"):
        model.refiner.check_keypoints(K, names=list('abcdefghijklmnopq'))


def test_other_sigmas_are_named(topdown, bottomup, image):
    model = load_estimator(refined_config(topdown), bottomup)
    own = model.dataset_meta['sigmas']
    model.refiner.check_keypoints(K, sigmas=np.float32(own))
    model.dataset_meta = dict(model.dataset_meta, sigmas=own * 2)
    with pytest.raises(ValueError, match=r'sigmas \[0.052, .*'
                       r'\[0.026, .*same keypoints'):
        inference_bottomup(model, image)


def test_other_sigmas_of_a_data_set_are_named(topdown, bottomup, data):
    """In a runner's test the model knows no data set; its samples do."""
    cfg = runner_config(refined_config(topdown), data, 'test')
    model = MODELS.build(cfg.model).eval()
    load_checkpoint(model, bottomup, strict=True)
    options = cfg.test_dataloader.dataset
    coco = get_config('mmpose::_base_/datasets/coco.py').dataset_info
    wider = dict(coco, sigmas=[2 * sigma for sigma in coco.sigmas])
    same, other = (DATASETS.build(dict(options, metainfo=info))
                   for info in (coco, wider))
    with pytest.raises(ValueError, match=r'sigmas \[0.052, .*'
                       r'\[0.026, .*same keypoints'):
        model.test_step(pseudo_collate([other[0]]))
    sample, = model.test_step(pseudo_collate([same[0]]))
    scores = sample.pred_instances.keypoint_scores
    assert len(scores) and (scores > 0).all()  # filled, so refined


def test_it_is_loaded_once_and_only_to_test(topdown, bottomup, image,
                                            monkeypatch):
    loaded = []
    monkeypatch.setattr(
        'mmpose_ssa.models.refiner.load_estimator', lambda *args: (
            loaded.append(args[1]), load_estimator(*args))[1])
    model = load_estimator(refined_config(topdown), bottomup)
    assert loaded == []
    for _ in range(2):
        inference_bottomup(model, image)
    assert loaded == [topdown['checkpoint']]


def test_a_batch_size_of_0_is_named(topdown):
    with pytest.raises(ValueError, match='batch_size .* 0'):
        Refiner(**topdown, batch_size=0)


# --- what it can do at best -------------------------------------------------


class Truth(Refiner):
    """A stand-in that knows the annotated person of a box."""

    def __init__(self, dataset):
        super().__init__('-', '-')
        self.people = {
            cv2.imread(info['img_path']).tobytes(): info['raw_ann_info'] or []
            for info in map(dataset.get_data_info, range(len(dataset)))
        }
        self.model = SimpleNamespace(dataset_meta=dataset.metainfo)

    def predict(self, image, boxes, device='cpu'):
        people = [ann for ann in self.people[image.tobytes()]
                  if any(ann['keypoints'][2::3])]
        if not people:
            return np.zeros((len(boxes), K, 2)), np.zeros((len(boxes), K))
        points = np.array([ann['keypoints'] for ann in people], float)
        points = points.reshape(-1, K, 3)[
            [np.argmax([overlap(box, ann['bbox']) for ann in people])
             for box in boxes]]
        return points[..., :2], (points[..., 2] > 0).astype(float)


def overlap(box, xywh):
    """Intersection over union of x0, y0, x1, y1 and x, y, width, height."""
    other = np.array(xywh, float).reshape(2, 2).cumsum(0)
    box = np.reshape(box, (2, 2))
    shared = np.prod(np.maximum(
        np.minimum(box[1], other[1]) - np.maximum(box[0], other[0]), 0))
    return shared / (np.prod(box[1] - box[0]) + np.prod(xywh[2:]) - shared)


def evaluate(dataset, samples):
    """Keypoint AP as a test reports it."""
    metric = METRICS.build(dict(type='CocoMetric', score_mode='bbox',
                                nms_mode='none'))
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(samples))['coco/AP']


def degraded(instances, rng, missing=.3, jitter=.03):
    """Lose keypoints and move the others by a share of the mask's side."""
    bad = copy.deepcopy(instances)
    side = np.sqrt(coco_mask.area(bad.masks))[:, None, None]
    bad.keypoints = bad.keypoints + rng.normal(
        0, jitter, bad.keypoints.shape) * side
    kept = rng.random(bad.keypoint_scores.shape) >= missing
    kept[np.arange(len(kept)), bad.keypoint_scores.argmax(1)] = True
    bad.keypoint_scores = bad.keypoint_scores * kept
    bad.keypoints = bad.keypoints * (bad.keypoint_scores > 0)[..., None]
    return bad


def allowed(sample, truth, image, fill):
    """What the rule allows, spelled out keypoint by keypoint."""
    sample = copy.deepcopy(sample)
    found, sigmas = sample.pred_instances, truth.model.dataset_meta['sigmas']
    for p, rle in enumerate(found.masks):
        y, x = np.nonzero(coco_mask.decode(rle))
        box = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        (points, ), (known, ) = truth.predict(image, [box])
        for k in np.flatnonzero(known):
            distance = np.linalg.norm(points[k] - found.keypoints[p, k])
            near = distance**2 < -2 * np.log(.75) * len(x) * (
                2 * sigmas[k])**2
            if found.keypoint_scores[p, k] == 0 and fill:
                found.keypoints[p, k], found.keypoint_scores[p, k] = points[
                    k], 1
            elif found.keypoint_scores[p, k] > 0 and near:
                found.keypoints[p, k] = points[k]
        here = found.keypoints[p][found.keypoint_scores[p] > 0]
        found.bboxes[p] = [*here.min(0), *here.max(0)]
    return sample


@pytest.mark.slow
@pytest.mark.parametrize('first', ['ideal', 'degraded'])
def test_truth_raises_ap_to_what_the_rule_allows(coco_mini, first):
    """`pytest tests/models/test_refiner.py -m slow -k truth -rP` prints AP
    without refinement, with #1 and with #2."""
    cfg = oracle.test_config(oracle.make_parser().parse_args([
        str(CONFIGS / 'ssa/ssa_r101_640_refine2.py'), '--ann-file',
        str(coco_mini / 'annotations/person_keypoints_train2017.json'),
        '--img-dir', str(coco_mini / 'train2017')]))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    cfg.model.backbone.update(depth=18, init_cfg=None)  # the codec matters
    cfg.model.neck.in_channels = 512
    model = MODELS.build(cfg.model)
    rng, truth, plain = np.random.default_rng(0), Truth(dataset), []
    decompose(AttentionOracle(model),
              (pseudo_collate([item]) for item in dataset),
              {(True, True): SimpleNamespace(process=plain.extend)})
    pixels = [sample.pop('ori_img') for sample in plain]
    if first == 'degraded':
        for sample in plain:
            if len(sample.pred_instances.masks):
                sample.pred_instances = degraded(sample.pred_instances, rng)

    ap, best = {'none': evaluate(dataset, plain)}, {}
    model.refiner = truth
    for name, fill in (('#1', False), ('#2', True)):
        refined, model.test_cfg['fill_missing'] = [], fill
        for sample, image in zip(plain, pixels):
            again = copy.deepcopy(sample)
            again.set_metainfo(dict(ori_img=image))
            model.predict = lambda inputs, data_samples, again=again: [again]
            refined += model.test_step(pseudo_collate([dataset[0]]))
        ap[name] = evaluate(dataset, refined)
        best[name] = evaluate(dataset, [
            allowed(sample, truth, image, fill)
            for sample, image in zip(plain, pixels)])
    print(f'{first} first stage: AP', ap)
    assert ap['none'] < ap['#1'] < ap['#2']
    for name in best:
        assert ap[name] == pytest.approx(best[name], abs=1e-9)

"""The second look at each person, in the estimator and in a runner."""
import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split

import copy
import json

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from factories import TINY
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.apis import inference_bottomup
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from numpy.testing import assert_allclose, assert_array_equal
from refining import K, refined_config, runner_config, without_people

from mmpose_ssa.decoding.refinement import refine_keypoints
from mmpose_ssa.engine.loading import load_estimator
from mmpose_ssa.models.refiner import Refiner

pytestmark = pytest.mark.usefixtures('mmpose')


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


def test_nobody_is_refined_where_nobody_is(topdown, bottomup, image):
    model = without_people(load_estimator(refined_config(topdown), bottomup))
    sample, = inference_bottomup(model, image)
    assert sample.pred_instances.keypoints.shape == (0, K, 2)
    assert sample.pred_instances.bboxes.shape == (0, 4)
    assert 'ori_img' not in sample


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

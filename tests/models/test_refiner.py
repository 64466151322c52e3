"""The second look at each person: a box, its pixels, and what is refused."""
import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split

import numpy as np
import pytest
import torch
from factories import save_weights
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_config
from mmengine.runner import load_checkpoint
from mmpose.apis import inference_bottomup
from mmpose.registry import DATASETS, MODELS
from numpy.testing import assert_allclose, assert_array_equal
from refining import (K, noise_boxes, refined_config, runner_config,
                      without_people)

from mmpose_ssa.engine.checkpoints import CheckpointError, DownloadError
from mmpose_ssa.engine.loading import load_estimator
from mmpose_ssa.models.refiner import Refiner

pytestmark = pytest.mark.usefixtures('mmpose')


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

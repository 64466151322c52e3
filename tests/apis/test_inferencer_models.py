"""The models and data sets that the inferencer takes, and those it refuses."""
import re

import cv2
import numpy as np
import pytest
import torch
from factories import CONFIGS, ROOT, TOPDOWN, random_model, save_weights
from inferring import SIZES, TINY, checkpoint, images, inferencer, nobody
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS

from mmpose_ssa.apis.inferencer import SSAInferencer, bundled
from mmpose_ssa.apis.visualizer import side_by_side
from mmpose_ssa.engine.loading import load_estimator

__all__ = ['checkpoint', 'images', 'inferencer', 'nobody']
pytestmark = pytest.mark.usefixtures('mmpose')


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

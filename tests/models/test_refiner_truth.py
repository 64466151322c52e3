"""What a refiner that knows the truth gains: at best what the rule allows."""
import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split

import copy
from types import SimpleNamespace

import cv2
import numpy as np
import oracle
import pycocotools.mask as coco_mask
import pytest
from factories import CONFIGS
from mmengine.dataset import pseudo_collate
from mmpose.registry import DATASETS, METRICS, MODELS
from refining import K

from mmpose_ssa.evaluation.oracle import AttentionOracle, decompose
from mmpose_ssa.models.refiner import Refiner

pytestmark = pytest.mark.usefixtures('mmpose')


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
    """`pytest tests/models/test_refiner_truth.py -m slow -rP` prints AP
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

"""Testing computes what training does, and any batch what images alone do."""
import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn as nn
from factories import CONFIGS, DEMO, TINY, noise
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.models.estimator import FastEstimator

pytestmark = pytest.mark.usefixtures('mmpose')

HIGHERHRNET, DEKR, CID = (CONFIGS / f'comparisons/{name}.py' for name in (
    'higherhrnet_demo', 'dekr_demo', 'cid_hrnet_w32_512'))
EVERY = sorted(path for path in CONFIGS.rglob('*.py')
               if path.parent.name != '_base_')
# one of each kind of backbone
SOME = (DEMO, HIGHERHRNET, CID, CONFIGS / 'photos/ssa_photos.py',
        CONFIGS / 'demo/transpose_demo.py')
# (height, width); those of one size lie apart
SHAPES = (64, 64), (64, 130), (100, 64), (64, 130), (64, 64), (64, 250)


def build(cfg, **test_cfg):
    """A model whose norms have seen something and whose head sees peaks."""
    cfg.model.backbone.init_cfg = None
    cfg.model.test_cfg = dict(cfg.model.test_cfg, **test_cfg)
    model = MODELS.build(cfg.model).eval()
    for norm in norms(model).values():
        for tensor in (norm.running_mean, norm.bias.data):
            tensor.normal_(std=.1)
        for tensor in (norm.running_var, norm.weight.data):
            tensor.uniform_(.5, 1.5)
    if model.with_neck and hasattr(model.neck, 'layers'):
        # attention with some contrast
        nn.init.normal_(model.neck.layers[1].self_attn.in_proj_weight)
    for name, layer in model.head.named_modules():
        if isinstance(layer, nn.Conv2d) and 'final' in name:
            nn.init.normal_(layer.weight, std=.1)
    return model


def norms(model):
    return {name: module for name, module in model.named_modules()
            if isinstance(module, nn.BatchNorm2d)}


def batch_of(cfg, images, **changes):
    """Images through the test pipeline, without the step that reads them."""
    _, resize, pack = cfg.val_pipeline
    prepare = Compose([dict(resize, input_size=(64, 64), **changes), pack])
    return pseudo_collate([prepare(dict(
        img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2],
        img_id=i, id=[i], flip_indices=list(range(17))))
        for i, image in enumerate(images)])


def one_by_one(batch):
    return [{name: [value] for name, value in zip(batch, values)}
            for values in zip(*copy.deepcopy(batch).values())]


def equal(found, alone, close=assert_array_equal):
    """All that is predicted, masks and heatmaps too."""
    for field in ('pred_instances', 'pred_fields'):
        for name, value in alone.get(field, {}).items():
            other = found.get(field).get(name)
            if name == 'masks':
                assert other == value
            elif isinstance(value, np.ndarray):
                close(other, value)
            else:
                torch.testing.assert_close(other, value)


# --- any batch --------------------------------------------------------------


@pytest.mark.parametrize('path, options', [
    (TINY, {}), (TINY, dict(flip_test=True)), (HIGHERHRNET, {}),
    (HIGHERHRNET, dict(flip_test=True)),
    # their heads take one image
    (DEKR, {}), (CID, {}),
], ids=lambda value: getattr(value, 'stem', None))
@pytest.mark.parametrize('divisor', [1, 96])
def test_images_of_several_sizes_are_predicted_as_alone(rng, path, options,
                                                        divisor):
    cfg = Config.fromfile(path)
    cfg.model.data_preprocessor.pad_size_divisor = divisor
    model = build(cfg, **options)
    batch = batch_of(cfg, [noise(rng, *shape) for shape in SHAPES])
    assert len({image.shape for image in batch['inputs']}) == 4
    alone = [model.test_step(each)[0] for each in one_by_one(batch)]
    found = model.test_step(batch)
    assert [sample.img_id for sample in found] == list(range(len(SHAPES)))
    assert sum(len(sample.pred_instances) for sample in alone) > len(SHAPES)
    for i, (together, single) in enumerate(zip(found, alone)):
        # two of a size go through the network together, which rounds apart
        equal(together, single, assert_array_equal if i in (2, 5) else
              partial(assert_allclose, rtol=1e-3, atol=1e-3))


def test_training_takes_the_batch_as_it_is(monkeypatch):
    """Only testing has images of several sizes."""
    model = build(Config.fromfile(TINY))
    seen = []
    monkeypatch.setattr(model, 'loss', lambda *given: seen.append(given))
    inputs, samples = torch.zeros(2, 3, 64, 64), [object(), object()]
    model(inputs, samples, mode='loss')
    assert seen == [(inputs, samples)]


# --- what was trained -------------------------------------------------------


class NormReLU(nn.BatchNorm2d):
    """A batch norm with its activation, as timm's ``BatchNormAct2d``."""

    def forward(self, x):
        return torch.relu(super().forward(x))


def plain_heatmaps(model, image):
    """Module by module, with gradients, as in training."""
    feats = model.neck(model.backbone(image))
    return model.head(feats)


def with_norms(model, kind):
    """A copy whose backbone's norms are ``kind(norm)``."""
    made = copy.deepcopy(model)
    for name, norm in norms(made.backbone).items():
        parent, _, child = name.rpartition('.')
        setattr(made.backbone.get_submodule(parent), child, kind(norm))
    return made.eval()


def joined(norm):
    made = NormReLU(norm.num_features)
    made.load_state_dict(norm.state_dict())
    return made


def check_that_it_computes_what_its_modules_do(model, batch, step):
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    expected = plain_heatmaps(model, inputs.contiguous(
        memory_format=model.memory_format))
    found, = getattr(model, step)(batch)
    assert expected.std() > .01
    assert torch.equal(found.pred_fields.heatmaps, expected[0].detach())


@pytest.mark.parametrize('kind', [
    lambda norm: norm, joined, lambda norm: nn.Sequential(norm, nn.ReLU())])
@pytest.mark.parametrize('step', ['test_step', 'val_step'])
def test_testing_computes_what_the_modules_compute(rng, kind, step):
    cfg = Config.fromfile(TINY)
    model = with_norms(build(cfg, output_heatmaps=True), kind)
    check_that_it_computes_what_its_modules_do(
        model, batch_of(cfg, [noise(rng, 64, 96)]), step)


def test_a_norm_with_its_activation_is_a_norm_and_an_activation(rng):
    cfg = Config.fromfile(TINY)
    model = build(cfg, output_heatmaps=True)
    batch = batch_of(cfg, [noise(rng, 64, 96)])
    heatmaps = [
        with_norms(model, kind).test_step(copy.deepcopy(batch))[0]
        .pred_fields.heatmaps
        for kind in (joined, lambda norm: nn.Sequential(norm, nn.ReLU()),
                     lambda norm: norm)]
    assert torch.equal(*heatmaps[:2])
    assert (heatmaps[0] - heatmaps[2]).abs().max() > .01


@pytest.mark.parametrize('name', [
    'tf_efficientnet_lite0', 'test_efficientnet', 'test_resnet',
    'test_byobnet', 'test_convnext', 'test_nfnet'])
@pytest.mark.parametrize('step', ['test_step', 'val_step'])
def test_backbones_of_timm_compute_the_same(rng, name, step):
    """Whatever they have for norms and activations."""
    pytest.importorskip('timm')
    cfg = Config.fromfile(TINY)
    levels = (1, 2) if 'convnext' in name else (2, 3)
    cfg.model.backbone = dict(
        type='TimmBackbone', model_name=name, out_indices=levels,
        join_stride=8, join_channels=cfg.model.neck.in_channels)
    model = build(cfg, output_heatmaps=True)
    check_that_it_computes_what_its_modules_do(
        model, batch_of(cfg, [noise(rng, 64, 96)]), step)


def tensors(features):
    """All tensors that a head is given."""
    for part in features:
        if hasattr(part, 'rows'):  # attention
            yield from tensors(getattr(part, 'parts', None)
                               or (part.q, part.k))
        elif isinstance(part, torch.Tensor):
            yield part
        else:
            yield from tensors(part)


def assert_head_is_given_what_the_modules_compute(rng, path):
    cfg = Config.fromfile(path)
    if cfg.model.backbone.type == 'TimmBackbone':
        pytest.importorskip('timm')
        cfg.model.backbone.pretrained = None
    cfg.model.pop('refiner', None)  # looks at crops afterwards
    model = build(cfg, flip_test=False)
    seen = []
    model.head.predict = lambda feats, *_, **__: seen.append(feats)
    model.add_pred_to_datasample = lambda *given: given[-1]
    bottom_up = isinstance(model, FastEstimator)
    w, h = (128, 64) if bottom_up else cfg.codec.input_size
    image = torch.from_numpy(noise(rng, h, w)).permute(2, 0, 1)
    batch = dict(inputs=[image], data_samples=[PoseDataSample(
        metainfo=dict(input_size=(w, h)))])
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    model.test_step(batch)
    features = model.backbone(inputs.contiguous(memory_format=getattr(
        model, 'memory_format', torch.contiguous_format)))
    if model.with_neck:
        features = model.neck(features)
    found, expected = list(tensors(seen[0])), list(tensors(features))
    assert len(found) == len(expected) > 0
    for ours, plain in zip(found, expected):
        assert plain.std() > 1e-3 and torch.equal(ours, plain)


@pytest.mark.parametrize('path', SOME, ids=lambda path: path.stem)
def test_heads_are_given_what_the_modules_compute(rng, path):
    assert_head_is_given_what_the_modules_compute(rng, path)


@pytest.mark.slow
@pytest.mark.parametrize('path', EVERY, ids=lambda path: path.stem)
def test_the_head_of_every_config(rng, path):
    assert_head_is_given_what_the_modules_compute(rng, path)

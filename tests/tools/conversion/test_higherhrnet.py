"""HigherHRNet's outputs, its decoding, and the converter of its weights.

``data/higherhrnet_outputs.npz`` holds what the official code computes
(github.com/HRNet/HigherHRNet-Human-Pose-Estimation, commit aa23881), in double
precision: ``PoseHigherResolutionNet`` of a width of 4, with one module of one
block per stage and two blocks after the deconvolution, with the weights
``published_weights()`` below, on ``IMAGE``: both outputs (every third row
and column), and the heatmaps and tags of the flip test at the image's size
(every seventh). And what ``HeatmapParser.parse`` makes of ``scene()``, with
adjustment and refinement: keypoints, and scores, descending. The outputs have
standard deviations above 0.09, so that 1e-5 is four digits.
"""
import mmpose_ssa.register  # noqa: F401  before mmpose.apis  # isort: split
import convert_higherhrnet
import numpy as np
import pytest
import torch
from conversion import higherhrnet
from conversion.weights import renamed
from factories import CONFIGS, DATA, made_weight, patches, refusal
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from numpy.testing import assert_allclose

from mmpose_ssa.engine.unpickling import read

NUMBERS = np.load(DATA / 'higherhrnet_outputs.npz')
IMAGE = patches(8, 12, side=8)  # 64 x 96
PREFIXES = dict(zip(('official', 'half', 'mmpose'),
                    higherhrnet.PREFIXES))

pytestmark = pytest.mark.usefixtures('mmpose')


def config(width=4, keypoints=17):
    cfg = Config.fromfile(
        CONFIGS / 'comparisons/higherhrnet_w32_512.py')
    backbone, head = cfg.model.backbone, cfg.model.head
    backbone.init_cfg = None
    for branches in (2, 3, 4):
        backbone.extra[f'stage{branches}'].update(
            num_modules=1, num_blocks=(1, ) * branches,
            num_channels=tuple(width * 2**i for i in range(branches)))
    head.update(in_channels=width, deconv_out_channels=(width, ),
                num_blocks=2, num_keypoints=keypoints)
    if keypoints != 17:
        head.decoder.update(num_keypoints=keypoints,
                            order=list(range(keypoints)))
    return cfg


def published_weights(naming='official', **options):
    """What a published file holds, with random weights."""
    model = MODELS.build(config(**options).model)
    return {
        higherhrnet._published(
            name, *PREFIXES[naming]): made_weight(
                higherhrnet._published(name, '', ''), weight.shape)
        for name, weight in model.state_dict().items()
    }


def scene():
    """(17, 64, 96) heatmaps and (34, 64, 96) tags of the flip test.

    Six persons, some of whose keypoints are too weak to be found, in noise.
    """
    rng = np.random.RandomState(1)
    ys, xs = np.indices((64, 96))
    heatmaps = .05 * rng.uniform(size=(17, 64, 96))
    tags = np.full((2, 17, 64, 96), 99.)  # nobody's at the border
    tags[..., 3:-3, 3:-3] = rng.uniform(-3, 12, (2, 17, 58, 90))
    for person in range(6):
        for kind in range(17):
            x, y = rng.uniform(4, 91), rng.uniform(4, 59)
            squared = (xs - x)**2 + (ys - y)**2
            height = rng.uniform(0, 1) * (1 if person else .5)
            heatmaps[kind] = np.maximum(
                heatmaps[kind], height * np.exp(-squared / 8))
            tags[:, kind][:, squared < 9] = (
                2 * person + .4 * rng.standard_normal((2, 1)))
    return heatmaps, tags.reshape(34, 64, 96)


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """Files as published, by naming; config file of the model."""
    init_default_scope('mmpose')
    folder = tmp_path_factory.mktemp('published')
    torch.save(published_weights(), folder / 'official.pth')
    torch.save(dict(meta=dict(epoch=300),
                    state_dict=published_weights('mmpose')),
               folder / 'mmpose.pth')
    config().dump(folder / 'config.py')
    return folder


def convert(*arguments):
    convert_higherhrnet.main([str(argument) for argument in arguments])


# --- the official model -----------------------------------------------------


@pytest.mark.parametrize('naming', ['official', 'mmpose'])
@torch.no_grad()
def test_outputs_are_the_official_ones(published, tmp_path, capsys, naming):
    """File to file, through the command and MMPose's own loader."""
    out = tmp_path / 'new/higherhrnet.pth'
    convert(published / f'{naming}.pth', out, '--config',
            published / 'config.py')
    assert 'config.py' in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == [out.name]

    model = init_model(config(), str(out), 'cpu')
    (coarse, fine), tags = model.head.forward(model.extract_feat(IMAGE))
    assert coarse.shape == tags.shape == (1, 17, 16, 24)
    assert fine.shape == (1, 17, 32, 48)
    both = torch.cat([coarse, tags], dim=1)[0, :, ::3, ::3]
    assert_allclose(both, NUMBERS['coarse'], atol=1e-5)
    assert_allclose(fine[0, :, ::3, ::3], NUMBERS['fine'], atol=1e-5)
    assert NUMBERS['coarse'].std() > .09 and NUMBERS['fine'].std() > .09


def test_half_precision(tmp_path):
    """Convolutions in float16 between others' layers, on several GPUs."""
    published = {
        f'module.{name}': weight.half() if weight.dim() == 4 else weight
        for name, weight in published_weights('half').items()}
    assert 'module.1.conv1.weight' in published
    torch.save(published, tmp_path / 'published.pth')
    config().dump(tmp_path / 'config.py')
    convert(tmp_path / 'published.pth', tmp_path / 'out.pth',
            '--config', tmp_path / 'config.py')
    model = init_model(config(), str(tmp_path / 'out.pth'), 'cpu')
    for name, weight in model.state_dict().items():
        expected = published[
            'module.' + higherhrnet._published(name, '1.', '1.')]
        assert torch.equal(weight, expected.to(weight.dtype)), name
        assert weight.dtype in (torch.float32, torch.int64)


@torch.no_grad()
def test_the_flip_test_is_the_official_one():
    model = MODELS.build(config().model).eval()
    model.load_state_dict(renamed(
        published_weights(), model,
        higherhrnet.naming(published_weights())))
    sample = PoseDataSample(metainfo=dict(flip_indices=[
        0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]))
    feats = [model.extract_feat(IMAGE), model.extract_feat(IMAGE.flip(-1))]
    _, (maps, ) = model.head.predict(
        feats, [sample], dict(flip_test=True, output_heatmaps=True))
    assert maps.heatmaps.shape == (17, 64, 96)
    assert_allclose(maps.heatmaps[:, ::7, ::7], NUMBERS['flip_heatmaps'],
                    atol=1e-5)
    assert_allclose(maps.tags[:, ::7, ::7], NUMBERS['flip_tags'], atol=1e-5)


def test_persons_are_the_official_ones():
    codec = KEYPOINT_CODECS.build(
        dict(type='TagGrouping', input_size=(96, 64), heatmap_size=(24, 16)))
    heatmaps, tags = (torch.from_numpy(maps)[None] for maps in scene())
    keypoints, scores, persons = codec.batch_decode(heatmaps, tags)
    assert_allclose(persons[0], NUMBERS['scores'], atol=1e-6)
    assert_allclose(keypoints[0], NUMBERS['persons'][..., :2], atol=1e-5)
    assert_allclose(scores[0], NUMBERS['persons'][..., 2], atol=1e-6)
    found = (heatmaps[0].amax((1, 2)) > .1).all()  # of each type somebody's
    assert found and (scores[0] < .1).any()  # and there was much to fill


def test_the_numbers_tell_wrong_models_apart():
    """A wrong order of the concatenation, which no shape betrays."""
    model = MODELS.build(config().model).eval()
    weights = published_weights()
    model.load_state_dict(renamed(
        weights, model, higherhrnet.naming(weights)))
    deconv = model.head.deconv_layers[0][0][0].weight
    deconv.data = deconv.roll(4, 0)
    with torch.no_grad():
        (_, fine), _ = model.head.forward(model.extract_feat(IMAGE))
    assert np.abs(fine[0, :, ::3, ::3] - NUMBERS['fine']).max() > .1


# --- which config -----------------------------------------------------------


@pytest.mark.parametrize('naming', PREFIXES)
@pytest.mark.parametrize('width, keypoints, name', [
    (32, 17, 'higherhrnet_w32_512'), (48, 17, 'higherhrnet_w48_640'),
    (32, 14, 'higherhrnet_w32_512_crowdpose'),
    (48, 14, 'higherhrnet_w48_640_crowdpose')])
def test_width_and_keypoints_name_the_config(naming, width, keypoints, name):
    weights = published_weights(naming, width=width, keypoints=keypoints)
    name_of = higherhrnet.naming(weights)
    config = higherhrnet.config_of(weights, name_of)
    assert config.stem == name
    head = Config.fromfile(config).model.head
    assert head.in_channels == width
    assert head.get('num_keypoints', 17) == keypoints


def test_what_the_weights_do_not_tell_is_said(published, tmp_path, capsys,
                                              monkeypatch):
    monkeypatch.setattr(higherhrnet, 'config_of',
                        lambda *_: published / 'config.py')
    convert(published / 'official.pth', tmp_path / 'out.pth')
    said = capsys.readouterr().out
    assert 'Taken for config.' in said and '--config' in said


def test_other_keypoints_need_a_config(published, tmp_path, capsys):
    files = tmp_path / '14.pth', tmp_path / 'out.pth'
    torch.save(published_weights(keypoints=14), files[0])
    said = refusal(capsys, convert_higherhrnet.main, *files)
    assert 'w4 for 14 keypoints' in said and '--config' in said
    assert 'no.py does not exist' in refusal(
        capsys, convert_higherhrnet.main, *files, '--config', 'no.py')
    config(keypoints=14).dump(tmp_path / 'config.py')
    convert(*files, '--config', tmp_path / 'config.py')
    assert files[1].is_file()


# --- what it refuses --------------------------------------------------------


def without(weights):
    del weights['final_layers.1.bias']


def with_more(weights):
    weights['stage5.0.weight'] = torch.zeros(1)


def reshaped(weights):
    weights['conv1.weight'] = torch.zeros(32, 3, 3, 3)


def no_pose(weights):
    del weights['final_layers.0.weight']


def flat(weights):
    weights['final_layers.0.weight'] = torch.zeros(34)


def broken(weights):
    weights['conv1.weight'] *= float('nan')


@pytest.mark.parametrize('change, words', [
    (without, r'missing: 1 \(final_layers\.1\.bias\)'),
    (with_more, r'unexpected: 1 \(stage5\.0\.weight\)'),
    (reshaped, r'conv1\.weight \(32, 3, 3, 3\) .* \(64, 3, 3, 3\)'),
    (no_pose, r'official names .*conv1\.weight'),
    (flat, r'final_layers\.0\.weight \(34,\) .* \(34, 4, 1, 1\)'),
    (broken, 'not finite'),
])
def test_what_does_not_fit_is_named(published, tmp_path, change, words):
    weights = torch.load(published / 'official.pth')
    change(weights)
    torch.save(weights, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=words):
        higherhrnet.convert(str(tmp_path / 'other.pth'),
                                    str(tmp_path / 'out.pth'),
                                    str(published / 'config.py'))
    assert not (tmp_path / 'out.pth').exists()


def test_what_is_no_convolution_tells_no_config():
    weights = published_weights()
    flat(weights)
    with pytest.raises(ValueError, match=r'\(34,\)'):
        higherhrnet.config_of(weights, lambda name: name[5:])


@pytest.mark.parametrize('name, words', [
    ('comparisons/ae_demo', r'official\.pth .*ae_demo\.py: .*missing'),
    ('demo/ssa_demo', r'ssa_demo\.py has a SSAHead'),
    ('_base_/crowdpose', r'crowdpose\.py has no head'),
])
def test_configs_of_other_models(published, tmp_path, name, words):
    with pytest.raises(ValueError, match=words):
        higherhrnet.convert(str(published / 'official.pth'),
                                    str(tmp_path / 'out.pth'),
                                    str(CONFIGS / f'{name}.py'))
    assert not (tmp_path / 'out.pth').exists()


def test_a_folder_is_not_overwritten(published, tmp_path, capsys):
    assert f'{tmp_path} is a folder' in refusal(
        capsys, convert_higherhrnet.main, published / 'official.pth', tmp_path,
        '--config', published / 'config.py')
    assert not list(tmp_path.iterdir())


def test_weights_of_an_older_pytorch(published, tmp_path):
    """It did not count the batches."""
    weights = {
        f'module.{name}': weight
        for name, weight in torch.load(published / 'official.pth').items()
        if not name.endswith('num_batches_tracked')}
    torch.save(weights, tmp_path / 'old.pth')
    higherhrnet.convert(str(tmp_path / 'old.pth'),
                                str(tmp_path / 'out.pth'),
                                str(published / 'config.py'))
    new = read(str(tmp_path / 'out.pth'))['state_dict']
    assert_allclose(new['backbone.conv1.weight'],
                    weights['module.conv1.weight'])


@pytest.mark.parametrize('content, words', [
    (None, 'No such file'), (b'', 'damaged'),
    (b'PK\x03\x04 cut', 'damaged')])
def test_damaged_files(tmp_path, capsys, content, words):
    source = tmp_path / 'weights.pth'
    if content is not None:
        source.write_bytes(content)
    said = refusal(capsys, convert_higherhrnet.main, source,
                   tmp_path / 'out.pth')
    assert words in said and str(source) in said
    assert not (tmp_path / 'out.pth').exists()


def test_the_published_file_is_not_overwritten(published, capsys):
    source = published / 'official.pth'
    before = source.read_bytes()
    assert f'{source} would overwrite' in refusal(
        capsys, convert_higherhrnet.main, source, source)
    assert source.read_bytes() == before

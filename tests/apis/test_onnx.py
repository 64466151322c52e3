"""The exported model finds what the model finds, without PyTorch."""
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from factories import (CONFIGS, ROOT, TINY, TOPDOWN, random_model,
                       save_weights, write_scenes)
from mmengine.config import Config
from mmpose.registry import MODELS, TRANSFORMS

from mmpose_ssa import cli
from mmpose_ssa.apis.export import (ExportedNetwork, _check_model,
                                    _short_padding, compare, export)
from mmpose_ssa.apis.inferencer import SSAInferencer, bundled
from mmpose_ssa.apis.onnx import METADATA, OnnxInferencer, Resize
from mmpose_ssa.models.attention import TokenAttention

pytestmark = pytest.mark.usefixtures('mmpose')
onnx = pytest.importorskip('onnx', reason='needs the extra onnx')
pytest.importorskip('onnxruntime', reason='needs the extra onnx')
pytest.importorskip('onnxscript', reason='needs the extra onnx')


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Written by the command, which prints how exact it is."""
    path = tmp_path_factory.mktemp('onnx') / 'demo.onnx'
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.main(['export', '--model', 'demo', '--out', str(path)])
    said = re.fullmatch(
        rf"{path}: heatmaps equal PyTorch's within (\S+), attention within "
        r'(\S+)\n', printed.getvalue())
    assert 0 < max(map(float, said.groups())) < 1e-4
    return path


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for p, q in zip(ours, theirs):
        assert set(p) == set(q) - {'file_name'}
        for key in ('keypoints', 'keypoint_scores', 'bbox', 'score'):
            assert p[key] == pytest.approx(q[key], abs=1e-2)
        for key in ('keypoints_filled', 'keypoints_hidden_by', 'category_id'):
            assert p[key] == q[key]
        assert coco_mask.iou([p['segmentation']], [q['segmentation']],
                             [0])[0, 0] > .99


def test_the_persons_are_those_of_the_inferencer(exported, tmp_path):
    """On images of several sizes and shapes."""
    people = OnnxInferencer(exported, threads=1)
    reference = SSAInferencer('demo', device='cpu')
    count = 0
    for size, crop in ((160, 160), (200, 130), (320, 250)):
        scenes = write_scenes(tmp_path / str(size), train=1, val=2, size=size,
                              max_people=3)
        for file in sorted(scenes.glob('val2017/*')):
            image = cv2.imread(str(file))[:, :crop]
            result, = reference(image)
            ours = people(image)
            same(ours, result['predictions'])
            count += len(ours)
    assert count > 5


def test_the_example_of_the_guide_runs_without_torch(exported, tmp_path):
    page = (ROOT / 'docs/guide/export.md').read_text()
    example = re.search(r'```python\n(.*?)```', page, re.DOTALL)[1]
    assert len(example.splitlines()) <= 30
    block = """
import sys
for name in ('torch', 'mmengine', 'mmcv', 'mmpose', 'mmdet', 'xtcocotools'):
    sys.modules[name] = None
"""
    (tmp_path / 'docs').symlink_to(ROOT / 'docs')
    shutil.copy(exported, tmp_path / 'demo.onnx')
    done = subprocess.run(
        [sys.executable, '-c', block + example], text=True, check=True,
        stdout=subprocess.PIPE, cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.stdout == '3 persons\n'
    drawn = cv2.imread(str(tmp_path / 'people_found.png'))
    assert (drawn == (0, 255, 0)).all(axis=2).sum() > 300


def test_the_file_tells_keypoints_and_links(exported):
    people = OnnxInferencer(exported)
    options = SSAInferencer('demo', device='cpu').model.head.decoder.options
    assert people.options == options
    assert people.names[0] == 'nose' and len(people.names) == 17
    assert [15, 13] in people.links
    assert people.resize == Resize([160, 160], 8, 'expand', 4.)


# --- images become the same inputs ------------------------------------------


@pytest.mark.parametrize('kind, arguments', [
    ('SSAResize', dict(input_size=(64, 64), size_factor=16,
                       resize_mode='expand')),
    ('SSAResize', dict(input_size=(96, 64), size_factor=8,
                       resize_mode='expand', max_ratio=1.5)),
    ('BottomupResize', dict(input_size=(128, 64), size_factor=32,
                            resize_mode='fit'))])
@pytest.mark.parametrize('shape', [
    (64, 64), (50, 91), (200, 40), (3, 2), (1, 1), (480, 641), (20, 400)])
def test_inputs_equal_those_of_the_pipeline(kind, arguments, shape):
    image = np.random.default_rng(0).integers(
        0, 256, (*shape, 3)).astype(np.uint8)
    expected = TRANSFORMS.build(dict(arguments, type=kind))(
        dict(img=image, ori_shape=shape, img_shape=shape))
    ratio = 4. if kind == 'SSAResize' else None
    found, metainfo = Resize(**{'max_ratio': ratio, **arguments})(image)
    assert np.array_equal(found, expected['img'])
    for key in ('input_size', 'input_scale', 'input_center'):
        assert np.array_equal(metainfo[key], expected[key])


# --- what is exported -------------------------------------------------------


def test_heads_of_all_layers_are_the_mean_of_a_naive_model():
    cfg = Config.fromfile(TINY)
    cfg.model.neck.association = 'naive'
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    images = torch.rand(2, 3, 64, 80) * 255
    with torch.no_grad():
        _, q, k = ExportedNetwork(model)(images)
        pixels = model.data_preprocessor
        feats = model.extract_feat(
            (images.flip(1) - pixels.mean) / pixels.std)
    attention, grid = feats[0], feats[0].grid
    assert q.shape[1] == len(attention.parts) > 1
    tokens = torch.arange(grid[0] * grid[1])
    torch.testing.assert_close(
        TokenAttention(q, k, grid).rows(1, tokens),
        attention.rows(1, tokens), atol=1e-6, rtol=1e-5)


def test_a_wrong_file_is_noticed(exported):
    """Other weights in the same graph."""
    proto = onnx.load(str(exported))
    cfg, _ = bundled('demo')
    torch.manual_seed(0)
    network = ExportedNetwork(MODELS.build(Config.fromfile(cfg).model).eval())
    differences = compare(network, proto.SerializeToString(), 8)
    assert max(differences.values()) > 1e-2


@pytest.mark.parametrize('side', [31, 32, 33, 40, 41])
@pytest.mark.parametrize('kernel', [1, 2, 3, 5])
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_the_short_padding_is_timms(side, kernel, stride):
    padding = pytest.importorskip('timm.layers.padding')
    expected = padding.get_same_padding(side, kernel, stride, 1)
    with _short_padding():
        assert padding.get_same_padding(side, kernel, stride, 1) == expected


# --- what it refuses --------------------------------------------------------


def test_models_that_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match='FastEstimator has no attention'):
        _check_model(MODELS.build(Config.fromfile(
            CONFIGS / 'comparisons/ae_demo.py').model))
    cfg = Config.fromfile(TINY)
    cfg.model.test_cfg.flip_test = True
    weights = save_weights(random_model(), tmp_path / 'random.pth')
    with pytest.raises(ValueError, match='flip test.*flip_test=False'):
        export(cfg, weights, tmp_path / 'no.onnx')
    cfg = Config.fromfile(TINY)
    cfg.model.refiner = dict(config=str(TOPDOWN), checkpoint=save_weights(
        random_model(TOPDOWN), tmp_path / 'topdown.pth'))
    with pytest.raises(ValueError, match='refiner.*model.refiner=None'):
        export(cfg, weights, tmp_path / 'no.onnx')
    assert not (tmp_path / 'no.onnx').exists()


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match='onnxscript.*requirements/onnx'):
        export('a.py', 'b.pth', tmp_path / 'no.onnx')


def test_files_that_are_no_exported_model(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match='no.onnx.*mmpose-ssa export'):
        OnnxInferencer(tmp_path / 'no.onnx')
    (tmp_path / 'bad.onnx').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='bad.onnx cannot be read'):
        OnnxInferencer(tmp_path / 'bad.onnx')
    proto = onnx.load(str(exported))
    known = json.loads({p.key: p.value for p in proto.metadata_props}[
        METADATA])
    onnx.helper.set_model_props(
        proto, {METADATA: json.dumps(dict(known, format=99))})
    onnx.save(proto, str(tmp_path / 'future.onnx'))
    with pytest.raises(ValueError, match='future.onnx .*format is 99, not 1'):
        OnnxInferencer(tmp_path / 'future.onnx')
    del proto.metadata_props[:]
    onnx.save(proto, str(tmp_path / 'other.onnx'))
    with pytest.raises(ValueError, match='not written by `mmpose-ssa export'):
        OnnxInferencer(tmp_path / 'other.onnx')


DECODING = dict(token_stride=8)
RESIZE = dict(input_size=[64, 64], size_factor=8, resize_mode='expand')
KNOWN = dict(format=1, decoding=DECODING, resize=RESIZE, category_id=1,
             names=['a'] * 17, links=[[0, 16]])


@pytest.mark.parametrize('changes, words', [
    (dict(decoding=None), 'TypeError'), (dict(decoding=[]), 'TypeError'),
    (dict(decoding=dict(token_stride=0)), 'token_stride must be a whole'),
    (dict(decoding=dict(score_threshold=float('nan'))), 'score_threshold'),
    (dict(decoding=dict(other=1)), 'other'), (dict(resize='x'), 'TypeError'),
    (dict(resize=dict(RESIZE, input_size=[10**6, 64])), 'input_size is 1000'),
    (dict(resize=dict(RESIZE, input_size=[64, 0])), 'input_size is 0'),
    (dict(resize=dict(RESIZE, input_size=64)), 'TypeError'),
    (dict(resize=dict(RESIZE, size_factor=0)), 'size_factor is 0'),
    (dict(resize=dict(RESIZE, max_ratio=1e9)), 'max_ratio'),
    (dict(resize=dict(RESIZE, resize_mode='x')), "resize_mode is 'x'"),
    (dict(category_id='x'), 'category_id'), (dict(names=['a']), '17 keypoi'),
    (dict(names=[1] * 17), '17 keypoints'), (dict(links=[[0, 17]]), '17 ke'),
    (dict(links=[[0]]), 'ValueError'), (dict(links=5), 'TypeError')])
def test_metadata_that_cannot_be_are_named(changes, words):
    model = OnnxInferencer.__new__(OnnxInferencer)
    model._take(KNOWN, 'a.onnx')
    assert (model.options.token_stride, model.resize.size_factor) == (8, 8)
    with pytest.raises(ValueError, match=f'a.onnx does not say .*{words}'):
        model._take({**KNOWN, **changes}, 'a.onnx')
    with pytest.raises(ValueError, match='a.onnx does not say .*KeyError'):
        model._take({key: KNOWN[key] for key in KNOWN if key not in changes},
                    'a.onnx')

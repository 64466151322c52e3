"""Export a model to ONNX: heatmaps, and what its attention is computed from.

The attention itself would be L x L numbers; decoding needs some rows, which
:mod:`.onnx` computes from queries and keys. Normalisation of the pixels is
part of the exported network.
"""
import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Tuple, Union
from unittest import mock

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from .. import __version__
from ..engine.loading import load_estimator, read_config
from ..files import write_whole
from ..models.attention import Attention, MeanAttention, TokenAttention
from ..models.estimator import SSAPoseEstimator
from .onnx import FORMAT, METADATA, Resize
from .results import category_of

NEEDED = ('onnx', 'onnxruntime', 'onnxscript')
OUTPUTS = ('heatmaps', 'q', 'k')
TOLERANCE = 1e-3  # on heatmaps and on attention, whose rows sum to 1


class ExportedNetwork(nn.Module):
    """From BGR pixels to heatmaps, queries and keys.

    Args:
        model: The estimator, in evaluation mode.
    """

    def __init__(self, model: SSAPoseEstimator) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Compute what is decoded.

        Args:
            images: (B, 3, H, W) BGR from 0 to 255, float32.

        Returns:
            Heatmaps (B, K, H/4, W/4); queries and keys (B, heads, L, d), of a
            naive model those of all layers one after the other.
        """
        pixels = self.model.data_preprocessor
        if pixels._channel_conversion:
            images = images[:, [2, 1, 0]]
        feats = self.model.extract_feat((images - pixels.mean) / pixels.std)
        parts = _parts(feats[0])
        q, k = (torch.cat([getattr(part, name) for part in parts], dim=1)
                for name in 'qk')
        return self.model.head(feats), q, k


def _parts(attention: Attention) -> List[TokenAttention]:
    """A mean over layers is one over all their heads: they have as many."""
    if isinstance(attention, MeanAttention):
        return [part for mean in attention.parts for part in _parts(mean)]
    assert isinstance(attention, TokenAttention)
    return [attention]


def export(config: Union[str, Config], checkpoint: str,
           path: Union[str, Path]) -> Dict[str, float]:
    """Write an SSA model as ONNX, for inputs of any size and number.

    Args:
        config: The config, or its file.
        checkpoint: File or address of its weights.
        path: The file to write.

    Returns:
        Largest difference between PyTorch and ONNX Runtime over inputs of
        three sizes, of the heatmaps and of the attention's rows.

    Raises:
        ImportError: If ONNX or ONNX Runtime is not installed.
        OSError: If the file cannot be written.
        ValueError: If it is not an SSA model, it tests in a way that is not
            exported, or the results differ; then nothing is written.
    """
    _check_packages()
    import onnx
    cfg = read_config(config)
    resize = _resize(cfg)
    model = load_estimator(cfg, str(checkpoint), 'cpu')
    _check_model(model)
    network = ExportedNetwork(model).eval()
    stride = model.head.decoder.token_stride
    with _short_padding(), _quietly():
        program = torch.onnx.export(
            network, (torch.zeros(2, 3, 8 * stride, 10 * stride), ),
            dynamo=True, verbose=False, opset_version=18,
            input_names=['images'], output_names=OUTPUTS,
            dynamic_shapes=dict(images={
                0: torch.export.Dim('batch', min=1, max=4096),
                2: stride * torch.export.Dim('rows', min=2, max=4096),
                3: stride * torch.export.Dim('columns', min=2, max=4096)}))
    assert program is not None
    proto = program.model_proto
    meta = model.dataset_meta
    onnx.helper.set_model_props(proto, {METADATA: json.dumps(dict(
        format=FORMAT, version=__version__,
        decoding=dataclasses.asdict(model.head.decoder.options),
        resize=resize._asdict(),
        category_id=category_of(
            meta, cfg.test_dataloader.dataset.get('person')),
        names=[meta['keypoint_id2name'][i]
               for i in range(meta['num_keypoints'])],
        links=[list(link) for link in meta['skeleton_links']]))})
    content = proto.SerializeToString()
    differences = compare(network, content, stride)
    if not max(differences.values()) < TOLERANCE:
        raise ValueError(
            'the exported model gives other results, nothing was written: '
            f'{differences}')
    write_whole(content, path)
    return differences


def compare(network: ExportedNetwork, content: bytes,
            stride: int) -> Dict[str, float]:
    """Largest differences over noise of three sizes; see :func:`export`."""
    import onnxruntime
    session = onnxruntime.InferenceSession(
        content, providers=['CPUExecutionProvider'])
    heatmaps, attention = [0.], [0.]
    generator = torch.Generator().manual_seed(0)
    for batch, rows, columns in ((1, 16, 16), (3, 9, 14), (1, 2, 31)):
        images = 255 * torch.rand(batch, 3, rows * stride, columns * stride,
                                  generator=generator)
        with torch.no_grad():
            ours = network(images)
        theirs = [torch.from_numpy(output) for output in session.run(
            None, dict(images=images.numpy()))]
        heatmaps.append((ours[0] - theirs[0]).abs().max().item())
        grid, tokens = (rows, columns), torch.arange(rows * columns)
        a, b = (TokenAttention(q, k, grid).rows(0, tokens)
                for _, q, k in (ours, theirs))
        attention.append((a - b).abs().max().item())
    return dict(heatmaps=float(np.max(heatmaps)),
                attention=float(np.max(attention)))


def _check_packages() -> None:
    from importlib.util import find_spec
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f'exporting needs {", ".join(missing)}: run `pip '
                          'install -r requirements/onnx.txt`')


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, SSAPoseEstimator):
        raise ValueError(f'{type(model).__name__} has no attention to group '
                         'keypoints by: give the config of an SSA model')
    if model.refiner is not None:
        raise ValueError('a refiner is not exported: give the config without '
                         'it, or --cfg-options model.refiner=None')
    if model.test_cfg.get('flip_test', False):
        raise ValueError('the flip test is not exported: set '
                         '--cfg-options model.test_cfg.flip_test=False')


def _resize(cfg: Config) -> Resize:
    """The step of the test pipeline that makes inputs of images."""
    for step in cfg.test_dataloader.dataset.pipeline:
        if step['type'] in ('SSAResize', 'BottomupResize'):
            ours = step['type'] == 'SSAResize'
            return Resize(
                tuple(step['input_size']), step.get('size_factor', 32),
                step.get('resize_mode', 'fit'),
                step.get('max_ratio', 4.) if ours else None)
    raise ValueError('the test pipeline has no SSAResize: give the config of '
                     'an SSA model')


@contextlib.contextmanager
def _short_padding() -> Iterator[None]:
    """timm's padding of stride-2 convolutions in symbols that stay short.

    timm writes it by a rounded quotient. With sizes as symbols that grows
    from layer to layer: EfficientNet-Lite0 took five minutes, and takes one.
    """
    padding = sys.modules.get('timm.layers.padding')
    if padding is None:
        yield
        return
    theirs = padding.get_same_padding

    def get_same_padding(x, kernel_size: int, stride: int, dilation: int):
        reach = (kernel_size - 1) * dilation + 1
        if stride == 2 and reach >= 2:
            return reach - 2 + x % 2
        return theirs(x, kernel_size, stride, dilation)

    with mock.patch.object(padding, 'get_same_padding', get_same_padding):
        yield


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's own words about its steps."""
    import io
    import warnings
    with contextlib.redirect_stdout(io.StringIO()), \
            warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


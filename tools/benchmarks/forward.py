"""Forward pass compared with other models and the machine's peak.

One image, random weights, without flip test and without decoding. Rates are
multiply-adds (MAC) per second, of the forward as of the matrix product.
"""
import copy
import shutil
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Callable, ContextManager, Dict, List, Tuple

import torch
import torch.nn as nn
from mmengine.config import Config
from mmpose.registry import MODELS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mmpose_ssa.evaluation.complexity import count

from .report import Table
from .stopwatch import Times, alternate, ratio, seconds

CONFIGS = Path(__file__).parents[2] / 'configs'
# the first is asked for its options, the second is what others are compared to
MODELS_COMPARED = ('ssa/ssa_r101_640', 'comparisons/higherhrnet_w48_640',
                   'comparisons/dekr_hrnet_w48_640',
                   'comparisons/ae_hrnet_w32_512', 'ssa/ssa_r101_800')
SMALL_MODELS = ('demo/ssa_demo', 'comparisons/higherhrnet_demo',
                'comparisons/dekr_demo', 'comparisons/ae_demo')
Outputs = Tuple[Tensor, Tensor]  # heatmaps, attention rows
Context = Callable[[], ContextManager]


def measure(quick: bool) -> List[Table]:
    """Compare models with each other, and the first one's options.

    Args:
        quick: Small models and matrices, one repeat, nothing compiled.
    """
    names = SMALL_MODELS if quick else MODELS_COMPARED
    sides = (256, 512) if quick else (1024, 2048, 4096)
    repeats = 1 if quick else 5
    return [models_table(names, sides, repeats),
            options_table(names[0], repeats, compiled=not quick)]


def models_table(names: Tuple[str, ...], sides: Tuple[int, ...],
                 repeats: int) -> Table:
    """Time forwards and matrix products in turn.

    Args:
        names: Of configs; the second is what the others are compared to.
        sides: Of the square matrices.
        repeats: Rounds.
    """
    built = {name: build(name) for name in names}
    macs = {name: count(model, size)['macs']
            for name, (model, size) in built.items()}
    functions: Dict[str, Callable] = {
        name: partial(forward, model, image_of(size))
        for name, (model, size) in built.items()}
    products = {f'product of {side}': side**3 for side in sides}
    functions.update({
        name: _product(side) for name, side in zip(products, sides)})
    times = alternate(functions, repeats, label='models')
    best = min(products, key=lambda p: median(times[p]) / products[p])
    return Table(
        'Forward passes of one image',
        'Each as it is tested: channels last, no gradients, no flip '
        'test. The last column compares multiply-adds per second with '
        f'those of the fastest float32 matrix product ({best} x '
        f'{sides[list(products).index(best)]}) in the same rounds.',
        ('model', 's', f'time / {Path(names[1]).name}', 'GMAC', 'GMAC/s',
         'rate / matrix product'),
        [_row(name, count_, times, names[1], best, products[best])
         for name, count_ in (*macs.items(), (best, products[best]))])


def _row(name: str, macs: int, times: Times, base: str, best: str,
         best_macs: int) -> list:
    spent = median(times[name])
    rate = macs / best_macs / ratio(times, name, best)
    return [Path(name).name, spent, ratio(times, name, base), macs / 1e9,
            macs / 1e9 / spent, rate]


def _product(side: int) -> Callable[[], Tensor]:
    """A float32 matrix product that allocates nothing."""
    a, b, out = (torch.rand(side, side) for _ in range(3))
    return partial(torch.mm, a, b, out=out)


def options_table(name: str, repeats: int, compiled: bool) -> Table:
    """Time one model with options on and off, and compare what it gives.

    Args:
        name: Of the config.
        repeats: Rounds.
        compiled: With ``torch.compile``, where there is a C++ compiler.
    """
    model, size = build(name)
    image = image_of(size)
    take_statistics(model, image)
    functions = options(model, image)
    if compiled and shutil.which('g++'):
        functions['channels last, torch.compile'] = _compiled(model, image)
    first = {option: seconds(function)
             for option, function in functions.items()}
    times = alternate(functions, repeats, label='options')
    expected = outputs(next(iter(functions.values())))
    base = next(iter(functions))
    rows = []
    for option, function in functions.items():
        found = outputs(function)
        rows.append([option, median(times[option]),
                     ratio(times, option, base), first[option],
                     *map(scientific, deviations(found, expected))])
    return Table(
        f'Options of {Path(name).name}',
        'Deviations are the largest differences from the first row, as a part '
        'of the largest heatmap value and of the largest attention; attention '
        'rows are those of 64 tokens. Weights are random, but the norms have '
        "the image's statistics and residual branches a fifth of their "
        'weight, without which rounding grows from block to block.',
        ('option', 's', 'time / first', 'first call, s', 'heatmaps differ by',
         'attention differs by'), rows)


def scientific(value: float) -> str:
    return '0' if value == 0 else f'{value:.0e}'


def options(model: nn.Module, image: Tensor) -> Dict[str, Callable]:
    """Forwards that differ in one option each, by name; plain float32 first.

    Args:
        model: An :class:`FastEstimator`.
        image: (1, 3, H, W).
    """
    contiguous = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    contiguous.memory_format = torch.contiguous_format
    bfloat16 = partial(torch.autocast, 'cpu', torch.bfloat16)
    contexts = {
        'channels last': (),
        'channels last, inference_mode': (torch.inference_mode, ),
        'channels last, dense attention': (_dense_attention, ),
        'channels last, bfloat16': (bfloat16, )}
    return {
        'float32, contiguous': partial(forward, contiguous, image),
        **{name: partial(forward, model, image, *given)
           for name, given in contexts.items()}}


def _dense_attention() -> ContextManager:
    """Attention with its L x L matrix, where PyTorch (2.3) can be told so."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        return nullcontext()
    return sdpa_kernel(SDPBackend.MATH)


def _compiled(model: nn.Module, image: Tensor) -> Callable[[], tuple]:
    function = torch.compile(partial(_raw, model))
    return lambda: _called(function, image)


def forward(model: nn.Module, image: Tensor, *contexts: Context) -> tuple:
    """Heatmaps (or what else the head gives) and what the neck gives."""
    return _called(partial(_raw, model), image, *contexts)


def _called(function: Callable, image: Tensor, *contexts: Context) -> tuple:
    with torch.no_grad(), ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        return function(image)


def _raw(model: nn.Module, image: Tensor) -> tuple:
    feats = model.extract_feat(image)
    return model.head.forward(feats), feats[0]


def outputs(function: Callable[[], tuple]) -> Outputs:
    """Heatmaps, and the attention of 64 tokens spread over the grid."""
    heatmaps, attention = function()
    tokens = torch.linspace(0, attention.q.shape[2] - 1, 64).long()
    with torch.no_grad():
        return heatmaps.float(), attention.rows(0, tokens)


def deviations(found: Outputs, expected: Outputs) -> List[float]:
    """Largest differences, as parts of the largest expected value."""
    return [((f - e).abs().max() / e.abs().max()).item()
            for f, e in zip(found, expected)]


def build(name: str) -> Tuple[nn.Module, Tuple[int, int]]:
    """A model with random weights, and the size (W, H) of its input.

    Args:
        name: Of the config, below ``configs/``.
    """
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval(), cfg.codec.input_size


def take_statistics(model: nn.Module, image: Tensor) -> None:
    """Keep a random ResNet from blowing up rounding errors.

    The norms get the statistics of an image, so that activations keep their
    scale, and residual branches a fifth of their weight. With all of it a
    random network of 101 layers is chaotic: float32's rounding becomes 5e-4 of
    the result, bfloat16's 0.5, where a trained small one has 3e-6 and 0.03.
    """
    for module in model.modules():
        last = getattr(module, 'norm3', getattr(module, 'norm2', None))
        if isinstance(last, _BatchNorm):
            nn.init.constant_(last.weight, 0.2)
        if isinstance(module, _BatchNorm):
            module.momentum = 1.  # nothing of what was before
    forward(model.train(), image)
    model.eval()


def image_of(size: Tuple[int, int]) -> Tensor:
    """(1, 3, H, W) of noise, always the same, normalised."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, *size[::-1], generator=generator)

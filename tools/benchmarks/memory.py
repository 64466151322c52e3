"""Memory of training against the number of tokens.

What is counted is what PyTorch's allocator hands out while a step runs: its
highest level, above what was there before (weights and inputs). It is exact to
the byte and the same in every run. The process's resident memory is not: it
begins with the libraries' hundreds of MiB and keeps what has been freed. A
counter of tensors would miss what a kernel takes for itself, which is just
where a fused attention and its substitute differ. What libraries take past the
allocator (scratch of convolutions on CPUs) is not counted.
"""
import json
import tempfile
from pathlib import Path
from typing import Callable, List, NamedTuple, Tuple

import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from mmpose_ssa.models.encoder import SSATransformer, TokenAttention
from mmpose_ssa.models.head import SSAHead
from mmpose_ssa.models.losses import AttentionMaskLoss

from .dense import dense_from, keep_matrices, kept_matrix
from .report import Table
from .stopwatch import seconds

CONFIGS = Path(__file__).parents[2] / 'configs'
MIB = 2**20
VISIBLE = 12  # keypoints of a person of COCO, typically
TYPES = 17
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


class Input(NamedTuple):
    """A square input: side in pixels and stride r of the tokens."""
    side: int
    stride: int

    @property
    def grid(self) -> Tuple[int, int]:
        return (self.side // self.stride, ) * 2

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1]


INPUTS = (Input(320, 16), Input(640, 16), Input(800, 16), Input(640, 8),
          Input(800, 8), Input(1024, 8))
# More takes minutes, and more memory than a small machine has.
MOST_TOKENS_DENSE, MOST_TOKENS_DROPPED = 10000, 6400
WHOLE = (('ssa/ssa_r101_640', Input(640, 16)),
         ('ssa/ssa_r101_1024', Input(1024, 16)),
         ('ssa/ssa_r101_s8_640', Input(640, 8)),
         ('ssa/ssa_r101_s8_640', Input(1024, 8)))


def measure(quick: bool) -> List[Table]:
    """Memory of the encoder's step, of the supervision, of whole networks.

    Args:
        quick: Small inputs and a small network.
    """
    torch.manual_seed(0)
    inputs = (Input(64, 16), Input(128, 16)) if quick else INPUTS
    whole = (('demo/ssa_demo', Input(160, 8)), ) if quick else WHOLE
    peak_memory(training_step(*network(inputs[0]), inputs[0]))  # warm up
    return [steps_table(inputs), supervision_table(inputs), whole_table(whole)]


# --- the tables --------------------------------------------------------------


def steps_table(inputs: Tuple[Input, ...]) -> Table:
    """A training step of neck and head, beside the dense encoder's."""
    rows = []
    for size in tqdm(inputs, desc='steps', leave=False):
        ours, spent = peak_memory(training_step(*network(size), size))
        dropped = dense = dense_spent = None
        if size.tokens <= MOST_TOKENS_DROPPED:
            dropped, _ = peak_memory(
                training_step(*network(size, attn_drop=.1), size))
        if size.tokens <= MOST_TOKENS_DENSE:
            neck, head = network(size)
            keep_matrices(neck)
            dense, dense_spent = peak_memory(
                training_step(neck, head, size))
        rows.append([
            f'{size.tokens}', f'{size.side}², r = {size.stride}', ours,
            dropped, dense, dense and dense / ours, spent, dense_spent])
    return Table(
        'Memory of a training step',
        'Forward, both losses and backward of neck (d = 192, 6 layers) and '
        f'head, one image of 4 persons with {VISIBLE} visible keypoints each. '
        "MiB at the peak, by PyTorch's allocator, weights and backbone "
        'excluded. The dense encoder is `nn.MultiheadAttention` handing out '
        'its weights in every layer, of which the supervised one keeps them, '
        'without dropout on them; left out above '
        f"{MOST_TOKENS_DENSE} tokens, dropout on SSA's above "
        f'{MOST_TOKENS_DROPPED}.',
        ['tokens', 'input', 'SSA', 'SSA, attn_drop = 0.1', 'dense',
         'dense / SSA', 's', 's, dense'], rows)


def supervision_table(inputs: Tuple[Input, ...]) -> Table:
    """Rows, mask loss and gradients of queries and keys, alone."""
    rows = []
    for size in tqdm(inputs, desc='supervision', leave=False):
        for persons in (4, 30):
            ours, _ = peak_memory(supervision(size, persons, TokenAttention))
            dense = None
            if size.tokens <= MOST_TOKENS_DENSE:
                dense, _ = peak_memory(
                    supervision(size, persons, dense_from))
            rows.append([
                f'{size.tokens}', str(persons), str(persons * VISIBLE), ours,
                dense, dense and ours / dense])
    return Table(
        'Memory of the supervision',
        'From queries and keys to the mask loss and back to their gradients. '
        'MiB at the peak, gradients included. Dense: the L x L matrix, of '
        'which the rows are taken.',
        ['tokens', 'persons', 'rows', 'SSA', 'dense', 'SSA / dense'], rows)


def whole_table(networks: Tuple[Tuple[str, Input], ...]) -> Table:
    """A training step of whole networks."""
    rows = []
    for name, size in tqdm(networks, desc='whole networks', leave=False):
        peak, spent = peak_memory(whole_step(name, size))
        rows.append([f'`{name}`', f'{size.side}²', f'{size.tokens}', peak,
                     spent])
    return Table(
        'Memory of whole networks',
        'Forward, both losses and backward of one image of 4 persons, '
        'backbone included. MiB at the peak, weights and the state of the '
        'optimizer excluded.', ['config', 'input', 'tokens', 'MiB', 's'],
        rows)


# --- measuring ---------------------------------------------------------------


def peak_memory(function: Callable[[], object]) -> Tuple[float, float]:
    """The most memory that a call takes, above what is taken already.

    Args:
        function: Called once. Memory that was taken before and is given back
            meanwhile is not counted on CPUs.

    Returns:
        MiB, and seconds of the call.
    """
    if DEVICE == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        spent = seconds(function)
        return (torch.cuda.max_memory_allocated() - before) / MIB, spent
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / 'trace.json'
        with profile(activities=[ProfilerActivity.CPU],
                     profile_memory=True) as profiler:
            spent = seconds(function)
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())['traceEvents']
    return _highest(events) / MIB, spent


def _highest(events: List[dict]) -> int:
    """Bytes at the highest level of a trace, counted from its begin.

    The profiler's own total goes on from one trace to the next.
    """
    allocations = sorted(
        (event for event in events if event['name'] == '[memory]'),
        key=lambda event: event['ts'])
    if not allocations:
        return 0
    totals = [event['args']['Total Allocated'] for event in allocations]
    return max(0, max(totals) - totals[0] + allocations[0]['args']['Bytes'])


# --- what is measured --------------------------------------------------------


def network(size: Input,
            attn_drop: float = 0.) -> Tuple[SSATransformer, SSAHead]:
    """Neck and head of the paper's widths for that stride."""
    doublings = (size.stride // 4).bit_length() - 1
    neck = SSATransformer(2048, attn_drop=attn_drop)
    head = SSAHead(deconv_out_channels=(192, ) * doublings,
                   deconv_kernel_sizes=(4, ) * doublings)
    return tuple(part.to(DEVICE, memory_format=torch.channels_last)
                 for part in (neck, head))


def training_step(neck: SSATransformer, head: SSAHead,
                  size: Input) -> Callable[[], dict]:
    """Forward, losses and backward, also to the backbone's features.

    Args:
        neck: With matrices kept or not, see :func:`keep_matrices`.
        head: As :func:`network` gives it.
        size: Of the input.

    Returns:
        A function that does the step and returns the losses.
    """
    features = torch.randn(1, 2048, *size.grid, device=DEVICE).contiguous(
        memory_format=torch.channels_last).requires_grad_()
    samples = [sample(size, 4)]

    def step() -> dict:
        attention, encoded = neck([features])
        attention = kept_matrix(neck, attention)
        losses = head.loss((attention, encoded), samples)
        del attention, encoded
        sum(losses.values()).backward()
        return losses

    return step


def sample(size: Input, persons: int) -> PoseDataSample:
    """Targets of an image, as the codec makes them, at random."""
    cells = (size.side // 4, ) * 2
    weights = torch.zeros(persons, TYPES)
    weights[:, :VISIBLE] = 1
    fields = PixelData(
        heatmaps=torch.rand(TYPES, *cells),
        heatmap_mask=torch.ones(1, *cells, dtype=torch.uint8),
        instance_masks=torch.randint(2, (persons, *cells),
                                     dtype=torch.uint8))
    labels = InstanceData(
        keypoint_tokens=torch.randint(size.tokens, (persons, TYPES)),
        keypoint_weights=weights)
    return PoseDataSample(
        gt_fields=fields, gt_instance_labels=labels).to(DEVICE)


def supervision(size: Input, persons: int,
                attention: Callable) -> Callable[[], Tuple[Tensor, Tensor]]:
    """The mask loss from queries and keys, and their gradients.

    Args:
        size: Of the input.
        persons: Their number.
        attention: Makes it from q, k and grid: :class:`TokenAttention` or
            :func:`dense_from`.

    Returns:
        A function that returns both gradients.
    """
    q, k = (torch.randn(1, 1, size.tokens, 192, device=DEVICE)
            .requires_grad_() for _ in range(2))
    labels, fields = (getattr(sample(size, persons), name)
                      for name in ('gt_instance_labels', 'gt_fields'))
    loss = AttentionMaskLoss()

    def run() -> Tuple[Tensor, Tensor]:
        error = loss(
            attention(q, k, size.grid), [labels.keypoint_tokens],
            [labels.keypoint_weights], [fields.instance_masks])
        return torch.autograd.grad(error, [q, k])

    return run


def whole_step(name: str, size: Input) -> Callable[[], None]:
    """A training step of a config's network, without pretrained weights."""
    options = Config.fromfile(CONFIGS / f'{name}.py').model
    options.backbone.init_cfg = None
    model = MODELS.build(options).to(DEVICE).train()
    image = torch.randn(1, 3, size.side, size.side, device=DEVICE)
    samples = [sample(size, 4)]

    def step() -> None:
        model.parse_losses(model.loss(image, samples))[0].backward()

    return step

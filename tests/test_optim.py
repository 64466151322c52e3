"""Training in bfloat16 on a CPU."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS, OPTIM_WRAPPERS
from mmpose.structures import PoseDataSample

TINY = str(Path(__file__).parent / 'data/ssa_tiny_64.py')


@pytest.fixture
def model():
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(TINY).model)
    for parameter in model.head.parameters():  # larger than MMPose's 0.001
        torch.nn.init.normal_(parameter, std=.1)
    return model


def batch():
    """Two images of one person each, as the pipeline packs them."""
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(2):
        weights = torch.zeros(1, 17)
        weights[:, :5] = 1
        mask = torch.zeros(1, 16, 16, dtype=torch.uint8)
        mask[:, 4:12, 2:9] = 1
        samples.append(PoseDataSample(
            gt_instance_labels=InstanceData(
                keypoint_tokens=torch.arange(17)[None] + 20,
                keypoint_weights=weights),
            gt_fields=PixelData(
                heatmaps=torch.rand(17, 16, 16), instance_masks=mask,
                heatmap_mask=torch.ones(1, 16, 16, dtype=torch.uint8))))
    images = generator.integers(0, 256, (2, 3, 64, 64), np.uint8)
    return dict(inputs=list(torch.from_numpy(images)), data_samples=samples)


def step(model, wrapper, **options):
    """Losses and gradients of one training step, as MMEngine makes it."""
    torch.manual_seed(1)
    model.zero_grad()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type=wrapper, optimizer=optimizer, **options))
    dtypes, forward = [], model.head.forward

    def watched(feats):
        heatmaps = forward(feats)
        dtypes.append(heatmaps.dtype)
        return heatmaps

    model.head.forward = watched
    wrapper.zero_grad = lambda: None  # MMEngine clears them after the step
    losses = model.train_step(batch(), wrapper)
    model.head.forward = forward
    grads = {n: p.grad.clone() for n, p in model.named_parameters()}
    return losses, grads, dtypes


def test_a_step_in_bfloat16_is_one_in_float32_but_for_rounding(model):
    exact, exact_grads, dtypes = step(model, 'OptimWrapper')
    assert dtypes == [torch.float32]
    losses, grads, dtypes = step(model, 'CPUAmpOptimWrapper')
    assert dtypes == [torch.bfloat16]
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact[name].item(), rel=.01)
        assert loss.item() != exact[name].item()
    for name, grad in grads.items():
        assert grad.dtype == torch.float32, name
    flat, exact = (torch.cat([g.ravel() for g in gs.values()])
                   for gs in (grads, exact_grads))
    assert (flat - exact).norm() < .05 * exact.norm()


def test_gradients_accumulate_and_are_clipped_as_ever(model):
    _, once, _ = step(model, 'CPUAmpOptimWrapper')
    _, half, _ = step(model, 'CPUAmpOptimWrapper', accumulative_counts=2)
    name = 'head.final_layer.weight'
    assert torch.allclose(half[name], once[name] / 2, rtol=1e-3)
    _, clipped, _ = step(model, 'CPUAmpOptimWrapper',
                         clip_grad=dict(max_norm=1e-3))
    norm = torch.stack([g.norm() for g in clipped.values()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)

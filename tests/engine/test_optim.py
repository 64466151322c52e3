"""Training in mixed precision: bfloat16 on a CPU, fp16 too on a GPU."""
import json
import subprocess
import sys
from pathlib import Path

import mmpose
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS, OPTIM_WRAPPERS
from mmpose.structures import PoseDataSample

from mmpose_ssa.synthetic.dataset import write_dataset

DEMO = Path(__file__).parents[2] / 'configs/demo/ssa_demo.py'
TINY = str(Path(__file__).parents[1] / 'data/ssa_tiny_64.py')


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


# --- many steps -------------------------------------------------------------


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp('drawn')
    write_dataset(root, train=20, val=2, size=160, seed=0, workers=1,
                  max_people=3, min_height=.6)
    return root


def demo(drawn, work_dir, **options) -> Config:
    """The demo's network and data, 50 steps of 2 images in its warm-up."""
    cfg = Config.fromfile(DEMO)
    cfg.merge_from_dict({
        'work_dir': str(work_dir),
        'experiment_name': work_dir.name,
        'visualizer.name': work_dir.name,
        'train_dataloader': dict(
            batch_size=2, num_workers=0, persistent_workers=False),
        'train_dataloader.dataset.data_root': str(drawn),
        'train_cfg.max_epochs': 5,
        'default_hooks.logger.interval': 1,
        **options})
    for part in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[part] = None
    cfg.train_cfg.pop('val_interval')
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=5)
    cfg.param_scheduler = cfg.param_scheduler[:1]
    return cfg


def logged(work_dir) -> np.ndarray:
    """(steps, 2): the heatmap loss and the mask loss of every step."""
    log, = Path(work_dir).glob('*/vis_data/scalars.json')
    lines = map(json.loads, log.read_text().splitlines())
    return np.array([(line['loss_kpt'], line['loss_mask']) for line in lines])


def losses_of(drawn, work_dir, **optim_wrapper) -> np.ndarray:
    cfg = demo(drawn, work_dir)
    cfg.optim_wrapper.update(optim_wrapper)
    Runner.from_cfg(cfg).train()
    return logged(work_dir)


def assert_close_to(exact, losses):
    """Within 1 % at each of 50 steps, in which much is learned."""
    assert exact.shape == losses.shape == (50, 2)
    assert exact[-1, 1] < .7 * exact[0, 1]
    assert (losses != exact).any(axis=0).all()
    np.testing.assert_allclose(losses, exact, rtol=.01)


@pytest.mark.slow
def test_50_steps_in_bfloat16_lose_what_float32_loses(drawn, tmp_path):
    exact = losses_of(drawn, tmp_path / 'float32')
    losses = losses_of(drawn, tmp_path / 'bfloat16', type='CPUAmpOptimWrapper')
    assert_close_to(exact, losses)


@pytest.mark.gpu
@pytest.mark.parametrize('options', [
    dict(dtype='float16', loss_scale='dynamic'), dict(dtype='bfloat16')])
def test_50_steps_on_a_gpu_lose_what_float32_loses(drawn, tmp_path, options):
    exact = losses_of(drawn, tmp_path / 'float32')
    losses = losses_of(drawn, tmp_path / 'mixed', type='AmpOptimWrapper',
                       **options)
    assert_close_to(exact, losses)


@pytest.mark.gpu
def test_amp_of_the_command_line(drawn, tmp_path):
    """`mim train ... --amp` runs this script of MMPose."""
    script = Path(mmpose.__file__).parent / '.mim/tools/train.py'
    for name, options in (('plain', []), ('amp', ['--amp'])):
        cfg = demo(drawn, tmp_path / name)
        cfg.dump(tmp_path / f'{name}.py')
        subprocess.run([sys.executable, script, tmp_path / f'{name}.py',
                        *options], check=True)
    used = Config.fromfile(tmp_path / 'amp/amp.py')
    assert used.optim_wrapper.type == 'AmpOptimWrapper'
    assert used.optim_wrapper.loss_scale == 'dynamic'
    assert_close_to(logged(tmp_path / 'plain'), logged(tmp_path / 'amp'))


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_the_mask_loss_is_float32_on_a_gpu(model, dtype):
    """From queries and keys of half precision, the loss of exact ones."""
    model.cuda()
    data = model.data_preprocessor(batch(), training=True)
    with torch.autocast('cuda', dtype=dtype):
        attention, encoded = model.extract_feat(data['inputs'])
        losses = model.head.loss((attention, encoded), data['data_samples'])
    assert attention.q.dtype == dtype
    exact = type(attention)(attention.q.float(), attention.k.float(),
                            attention.grid)
    expected = model.head.loss((exact, encoded), data['data_samples'])
    for loss in losses.values():
        assert loss.dtype == torch.float32 and torch.isfinite(loss)
    torch.testing.assert_close(losses['loss_mask'], expected['loss_mask'],
                               rtol=1e-5, atol=0)

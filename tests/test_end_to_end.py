"""Training, testing and resuming through MMEngine's runner.

The model is as small as SSA gets: everything must fit together, and a resumed
run must continue exactly.
"""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from factories import CONFIGS, ROOT, TINY, write_scenes
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.registry import MODELS


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'), train=12, val=4)


def config(scenes, work_dir, name=None, **options):
    """The tiny model with augmentation and dropout, 3 batches an epoch."""
    cfg = Config.fromfile(TINY)
    base = Config.fromfile(CONFIGS / '_base_/ssa.py')
    pipeline = [{**step} for step in base.train_pipeline]
    for step in pipeline:
        step.update(
            {key: value for key, value in dict(
                input_size=(64, 64), heatmap_size=(16, 16),
                encoder=cfg.model.head.decoder).items() if key in step})
    cfg.merge_from_dict({
        'work_dir': str(work_dir),
        # MMEngine keeps one logger and one visualizer of each name
        'experiment_name': name or work_dir.name,
        'visualizer.name': name or work_dir.name,
        'model.neck.dropout': 0.1,
        'model.neck.attn_drop': 0.1,
        'train_dataloader.batch_size': 4,
        'train_dataloader.dataset.pipeline': pipeline,
        'train_cfg.max_epochs': 4,
        'train_cfg.val_interval': 2,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': 1,
        'optim_wrapper.optimizer.lr': 1e-3,
        **{f'{split}_dataloader.dataset.data_root': str(scenes)
           for split in ('train', 'val', 'test')},
        **options})
    return cfg


def train(cfg):
    """Train; the losses of every iteration and the runner."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    logs = sorted(Path(cfg.work_dir).glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for log in logs
             for line in log.read_text().splitlines()]
    return [(line['loss_kpt'], line['loss_mask'])
            for line in lines if 'loss_kpt' in line], runner


def test_train_test_and_resume(scenes, tmp_path):
    straight, runner = train(config(scenes, tmp_path / 'straight'))
    assert len(straight) == 4 * 3
    assert np.isfinite(straight).all() and np.min(straight) > 0

    again, _ = train(config(scenes, tmp_path / 'again'))
    assert again == straight

    half = config(scenes, tmp_path / 'half', **{'train_cfg.max_epochs': 2})
    train(half)
    rest = config(scenes, tmp_path / 'half', name='rest', resume=True)
    resumed, _ = train(rest)
    assert resumed == straight

    tested = config(scenes, tmp_path / 'tested',
                    load_from=str(tmp_path / 'straight/epoch_4.pth'))
    metrics = Runner.from_cfg(tested).test()
    assert {'coco/AP', 'mask/AP', 'mask/AR20'} <= set(metrics)
    logged = [json.loads(line) for log in
              (tmp_path / 'straight').glob('*/vis_data/scalars.json')
              for line in log.read_text().splitlines()]
    last = [line for line in logged if 'mask/AP' in line][-1]
    assert metrics['coco/AP'] == last['coco/AP']
    assert metrics['mask/AR20'] == last['mask/AR20']


def test_bad_validation_data_end_the_training_before_it_begins(
        scenes, tmp_path):
    name = 'annotations/person_keypoints_val2017.json'
    content = json.loads((scenes / name).read_text())
    del content['annotations'][0]['segmentation']
    (tmp_path / 'bad.json').write_text(json.dumps(content))
    cfg = config(scenes, tmp_path / 'bad', **{
        'val_dataloader.dataset.ann_file': str(tmp_path / 'bad.json')})
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match='bad.json .*without segmentation'):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize('w, h', [(96, 64), (64, 96)])
def test_inputs_that_are_not_square_train_and_test(scenes, tmp_path, w, h):
    cfg = config(scenes, tmp_path / 'wide', **{'train_cfg.max_epochs': 2})
    size = dict(input_size=(w, h), heatmap_size=(w // 4, h // 4))
    codec = dict(cfg.model.head.decoder, **size)
    cfg.model.head.decoder = codec
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for step in loader.dataset.pipeline:
            step.update({k: v for k, v in dict(size, encoder=codec).items()
                         if k in step})
    grids = set()
    runner = Runner.from_cfg(cfg)
    runner.model.neck.register_forward_hook(
        lambda neck, inputs, outputs: grids.add(outputs[0].grid))
    runner.train()
    assert runner.iter == 2 * 3
    # testing enlarges the square images until they cover the input
    assert grids == {(h // 8, w // 8), (12, 12)}


@pytest.mark.usefixtures('mmpose')
@pytest.mark.parametrize('change, words', [
    (lambda w: w.pop('neck.projection.weight'),
     r'missing keys.*neck\.projection\.weight'),
    (lambda w: w.update(stage5=w['head.final_layer.bias']),
     'unexpected key.*stage5'),
    (lambda w: w.update({'head.final_layer.bias': torch.zeros(14)}),
     r'size mismatch for head\.final_layer\.bias'),
    (lambda w: None, None)])
def test_weights_of_another_model_are_not_tested(scenes, tmp_path, change,
                                                 words):
    """Of several GPUs' training, whose names have a prefix."""
    weights = MODELS.build(Config.fromfile(TINY).model).state_dict()
    change(weights)
    torch.save({f'module.{name}': value for name, value in weights.items()},
               tmp_path / 'weights.pth')
    runner = Runner.from_cfg(config(
        scenes, tmp_path / 'test', load_from=str(tmp_path / 'weights.pth'),
        **{'train_cfg.max_epochs': 1}))
    if words is None:
        assert 'coco/AP' in runner.test()
        return
    words = r'(?s)weights\.pth does not hold.*ssa_tiny_64\.py.*' + words
    with pytest.raises(ValueError, match=words):
        runner.test()


@pytest.mark.usefixtures('mmpose')
def test_training_may_begin_with_a_part_of_a_model(scenes, tmp_path):
    weights = MODELS.build(Config.fromfile(TINY).model).state_dict()
    del weights['neck.projection.weight']
    torch.save(weights, tmp_path / 'weights.pth')
    losses, runner = train(config(
        scenes, tmp_path / 'part', load_from=str(tmp_path / 'weights.pth'),
        **{'train_cfg.max_epochs': 1}))
    assert len(losses) == 3
    assert 'coco/AP' in runner.test()  # nothing is missing any more


def test_the_attention_learns_the_masks(scenes, tmp_path):
    losses, _ = train(
        config(scenes, tmp_path / 'longer', **{
            'optim_wrapper.optimizer.lr': 5e-3,
            'train_cfg.max_epochs': 8,
            'train_cfg.val_interval': 8}))
    mask = np.array(losses)[:, 1]
    assert mask[-3:].mean() < 0.5 * mask[0]


@pytest.mark.parametrize('name, grid', [
    ('ssa_r101_s8_640', (80, 80)), ('ssa_r101_1024', (64, 64))])
def test_many_tokens_train_and_test(scenes, tmp_path, name, grid):
    """As the config has them, with fewer channels and layers."""
    cfg = Config.fromfile(CONFIGS / f'ssa/{name}.py')
    cfg.merge_from_dict({
        'work_dir': str(tmp_path), 'experiment_name': name,
        'visualizer.name': name,
        'model.backbone': dict(depth=50, base_channels=4, stem_channels=4,
                               init_cfg=None),
        'model.neck': dict(in_channels=128, embed_dims=8, num_layers=4,
                           feedforward_channels=8),
        'model.head.in_channels': 8,
        'model.head.deconv_out_channels':
        [8] * len(cfg.model.head.deconv_out_channels),
        'train_dataloader.batch_size': 1,
        'train_cfg': dict(max_epochs=1, val_interval=9),
        'default_hooks.logger.interval': 1,
        **{f'{split}_dataloader.{key}': value
           for split in ('train', 'val', 'test') for key, value in {
               'num_workers': 0, 'persistent_workers': False,
               'dataset.data_root': str(scenes),
               'dataset.indices': 2 if split == 'train' else 1}.items()}})
    runner = Runner.from_cfg(cfg)
    grids = set()
    runner.model.neck.register_forward_hook(
        lambda neck, inputs, outputs: grids.add(outputs[0].grid))
    runner.train()
    assert runner.iter == 2
    assert 'coco/AP' in runner.test()
    assert grids == {grid}
    log, = tmp_path.glob('*/vis_data/scalars.json')
    losses = [line for line in map(json.loads, log.read_text().splitlines())
              if 'loss_kpt' in line]
    assert len(losses) == 2
    assert all(np.isfinite(line[key]) and line[key] > 0
               for line in losses for key in ('loss_kpt', 'loss_mask'))


# --- batches ----------------------------------------------------------------


def scenes_of_shapes(folder, *widths):
    """Images of several shapes in turn: scenes with grey on their right."""
    write_scenes(folder, train=1, val=12, size=160, max_people=3)
    path = folder / 'annotations/person_keypoints_val2017.json'
    content = json.loads(path.read_text())
    for number, image in enumerate(content['images']):
        image['width'] = widths[number % len(widths)]
        file = str(folder / 'val2017' / image['file_name'])
        wide = np.full((160, image['width'], 3), 114, np.uint8)
        wide[:, :160] = cv2.imread(file)
        cv2.imwrite(file, wide)
    content['annotations'] = [  # RLEs are of the former size
        ann for ann in content['annotations']
        if isinstance(ann['segmentation'], list)]
    path.write_text(json.dumps(content))
    return folder


def test_any_test_batch_gives_the_figures_of_batch_1(tmp_path):
    """data_08: padding made tokens, and a third of AP was lost."""
    folder = scenes_of_shapes(tmp_path, 160, 240, 320)
    found = []
    for batch in (1, 4):
        cfg = Config.fromfile(CONFIGS / 'demo/ssa_demo_plus.py')
        cfg.merge_from_dict({
            'work_dir': str(tmp_path / f'batch_{batch}'),
            'experiment_name': f'batch_{batch}',
            'visualizer.name': f'batch_{batch}',
            'load_from': str(ROOT / 'weights/ssa_demo.pth'),
            'test_dataloader.batch_size': batch,
            'test_dataloader.num_workers': 0,
            'test_dataloader.persistent_workers': False,
            'test_dataloader.dataset.data_root': str(folder)})
        found.append(Runner.from_cfg(cfg).test())
    assert found[0] == found[1]
    assert found[0]['coco/AP'] > .1 and found[0]['mask/AP'] > .1

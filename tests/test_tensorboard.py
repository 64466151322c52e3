"""TensorBoard by one option: losses and AP arrive there."""
import pytest
from factories import DEMO, write_scenes
from mmengine.config import Config
from mmengine.runner import Runner

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('mmpose')]


def test_losses_and_ap_are_written(tmp_path):
    pytest.importorskip('tensorboard', reason='needs TensorBoard')
    from tensorboard.backend.event_processing.event_accumulator import \
        EventAccumulator
    scenes = write_scenes(tmp_path / 'data', train=8, val=2, size=160,
                          max_people=2)
    cfg = Config.fromfile(DEMO)
    cfg.merge_from_dict({
        'visualizer.vis_backends.0.type': 'TensorboardVisBackend',
        'visualizer.name': 'tensorboard', 'experiment_name': 'tensorboard',
        'work_dir': str(tmp_path / 'work'), 'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1, 'default_hooks.logger.interval': 1,
        'train_dataloader.batch_size': 4,
        **{f'{split}_dataloader.{key}': value
           for split in ('train', 'val', 'test') for key, value in (
               ('dataset.data_root', str(scenes)), ('num_workers', 0),
               ('persistent_workers', False))}})
    Runner.from_cfg(cfg).train()
    folder, = {path.parent for path in (tmp_path / 'work').rglob('*tfevents*')}
    written = EventAccumulator(str(folder)).Reload().Tags()['scalars']
    assert {'loss', 'loss_kpt', 'loss_mask', 'coco/AP', 'mask/AP'} <= set(
        written)

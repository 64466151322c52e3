"""A training of milliseconds, with all that MMEngine's trainings have."""
import itertools
import random
from pathlib import Path

import mmpose_ssa.register  # noqa: F401  before MMPose  # isort: split

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmpose_ssa.engine.reproducibility import SeedAugmentation

IMAGES = 10
# For names of experiments: MMEngine keeps records by them for the process
RUNS = itertools.count()


class Noise(BaseTransform):
    """Augmentation from both of the generators that pipelines draw from."""

    def transform(self, results: dict) -> dict:
        noise = np.random.rand(4) + random.random()
        return dict(
            inputs=torch.tensor(noise + results['number']).float(),
            data_samples=(results['sample_idx'], float(noise[0])))


class Numbers(BaseDataset):
    """Images whose only content is their number."""

    METAINFO = dict(colors=np.arange(3, dtype=np.uint8))

    def load_data_list(self) -> list:
        return [dict(number=float(i)) for i in range(IMAGES)]


class TinyModel(BaseModel):
    """Dropout between two layers, so that the model itself is random.

    Args:
        width: Of the hidden layer.
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, width), torch.nn.Dropout(0.5),
            torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1))

    def forward(self, inputs, data_samples, mode='tensor'):
        outputs = self.layers(torch.stack(inputs))
        if mode == 'loss':
            return dict(loss=outputs.square().mean())
        return [float(output) for output in outputs]


class Scores(BaseMetric):
    """Metrics that are told beforehand, one validation after the other."""

    def __init__(self, scores) -> None:
        super().__init__()
        self.scores = list(scores)

    def process(self, data_batch, data_samples) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list) -> dict:
        score = self.scores.pop(0)
        return dict(a=score, b=-score)


def pipeline():
    return [SeedAugmentation(), Noise()]


def small_runner(folder: Path, epochs: int = 2, *, scores=(), width: int = 8,
                 lr: float = 0.05, checkpoint=(), hooks=(),
                 **options) -> Runner:
    """A runner of 3 iterations an epoch, with the hooks of our configs.

    Args:
        folder: Its work_dir.
        epochs: To train.
        scores: Metric `a` of each validation; none, no validation.
        width: Of the model.
        lr: Of Adam.
        checkpoint: Arguments of `SafeCheckpointHook`.
        hooks: Custom hooks beside ours.
        **options: Of the runner.
    """
    loader = dict(num_workers=0,
                  sampler=dict(type='DefaultSampler', shuffle=True))
    validation = dict(
        val_dataloader=dict(loader, batch_size=5,
                            dataset=Numbers(pipeline=pipeline())),
        val_evaluator=[Scores(scores)], val_cfg=dict()) if scores else {}
    ours = ('RepeatableEpochs', 'StrictTesting', 'StrictResuming',
            'StopAtNonFiniteLoss', 'OneRunPerFolder')
    settings = dict(
        work_dir=str(folder),
        train_dataloader=dict(loader, batch_size=4,
                              dataset=Numbers(pipeline=pipeline())),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=lr)),
        param_scheduler=dict(type='MultiStepLR', milestones=[1, 3], gamma=0.5,
                             end=4),
        default_hooks=dict(checkpoint=dict(
            dict(interval=1, type='SafeCheckpointHook', rule='greater'),
            **dict(checkpoint))),
        custom_hooks=[dict(type=name) for name in ours] + list(hooks),
        randomness=dict(seed=3),
        experiment_name=f'{folder.name}_{next(RUNS)}',
        log_level='WARNING',
        default_scope='mmpose',
        **validation)
    settings.update(options)
    return Runner(dict(type=TinyModel, width=width), **settings)

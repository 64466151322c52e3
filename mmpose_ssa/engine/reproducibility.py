"""Training that repeats: two runs alike, and a resumed run like a whole one.

MMEngine seeds its generators once, when the runner is made, and stores no
generator state. A run resumed after epoch 2 therefore meets its third epoch
with fresh generators, and its losses differ from those of a run that never
stopped. Storing the states would not do either: each worker process holds its
own, and prefetching is ahead of the training.

So nothing is saved. Whatever is random in a training epoch is made a function
of numbers that a resumed run knows (the seed stands in every checkpoint):

=================================  ======================  ====================
what                               is a function of        is seeded by
=================================  ======================  ====================
the order of the images            seed, epoch             MMEngine's sampler
the augmentation of an image       seed, epoch, its index  `SeedAugmentation`
dropout and all else in the model  seed, epoch, rank       `RepeatableEpochs`
=================================  ======================  ====================

Augmentation then does not depend on the number of workers or of GPUs, nor on
what validation or other hooks draw in between. In a config::

    train_pipeline = [dict(type='SeedAugmentation'), dict(type='LoadImage'), …]
    custom_hooks = [*_base_.custom_hooks, dict(type='RepeatableEpochs')]

A GPU repeats to the bit only with ``randomness=dict(deterministic=True)``. To
train 2 epochs and later 2 more, state ``end`` in ``param_scheduler``: where it
is left out, MMEngine fills in ``max_epochs`` and resumes with the old value.
"""
import random
from typing import Iterator

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.datasets import CombinedDataset
from mmpose.datasets.transforms import KeypointConverter
from mmpose.registry import HOOKS, TRANSFORMS

CURE = ("put dict(type='SeedAugmentation') first in the training pipeline, or "
        'take RepeatableEpochs out of custom_hooks')


def seed_numpy_and_python(*entropy: int) -> None:
    """Seeds the global generators of numpy and Python.

    Args:
        *entropy: Non-negative integers. Unlike a sum of them, (0, 1) and
            (1, 0) give unrelated streams.
    """
    words = np.random.SeedSequence(entropy).generate_state(8)
    np.random.seed(words[:4])
    random.seed(words[4:].tobytes())


def seed_everything(*entropy: int) -> None:
    """Seeds numpy, Python and PyTorch on all devices; see above."""
    seed_numpy_and_python(*entropy)
    word = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(word))


@TRANSFORMS.register_module()
class SeedAugmentation(BaseTransform):
    """Seeds what follows in the pipeline by (seed, epoch, index of the image).

    To be the first step of the training pipeline. Until `RepeatableEpochs` has
    named an epoch it changes nothing, so that a pipeline can be tried without
    a runner. It seeds the global generators of numpy and Python, from which
    the steps of mmcv and MMPose draw, not PyTorch's.

    Required Keys:

        - sample_idx
    """

    def __init__(self) -> None:
        # Shared memory: persistent workers are copies made in the first epoch.
        self.seed_and_epoch = torch.tensor([-1, -1]).share_memory_()

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Called in the main process before the workers fetch the epoch."""
        self.seed_and_epoch.share_memory_()  # lost by a deepcopy
        self.seed_and_epoch.copy_(torch.tensor([seed, epoch]))

    def transform(self, results: dict) -> dict:
        """Leaves ``results`` as they are.

        Raises:
            KeyError: If the data set gives its samples no ``sample_idx``.
        """
        seed, epoch = self.seed_and_epoch.tolist()
        if epoch >= 0:
            seed_numpy_and_python(seed, epoch, results['sample_idx'])
        return results

    def __repr__(self) -> str:
        seed, epoch = self.seed_and_epoch.tolist()
        return f'{self.__class__.__name__}(seed={seed}, epoch={epoch})'


@HOOKS.register_module()
class RepeatableEpochs(Hook):
    """Makes each training epoch a function of the seed and its number.

    The seed is ``randomness.seed`` of the config or, where that is None, the
    one that MMEngine draws and stores in the checkpoints.
    """

    def before_train(self, runner: Runner) -> None:
        """Hands the seed to the sampler.

        Raises:
            TypeError: If the training is not counted in epochs.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise TypeError(
                'RepeatableEpochs needs an EpochBasedTrainLoop (train_cfg='
                'dict(by_epoch=True, …)), but the loop is '
                f'{type(runner.train_loop).__name__}')
        # Without a seed in the config, a resumed run has built its sampler
        # before it read the seed in the checkpoint. All ranks need the same.
        seeds = [runner.seed]
        broadcast_object_list(seeds)
        self.seed = seeds[0]
        runner.train_dataloader.sampler.seed = self.seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Tells the pipelines, also those in the workers, which epoch it is.

        Raises:
            ValueError: If a pipeline does not begin with `SeedAugmentation`,
                or a wrapped data set gives one index to several samples.
        """
        for dataset in _leaves(runner.train_dataloader.dataset):
            _seeding_step(dataset).start_epoch(self.seed, runner.epoch)

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch=None) -> None:
        """Seeds this process before the first batch of the epoch is used."""
        # Not before the epoch: the data loader's iterator draws from PyTorch's
        # generator when it is made, and workers that persist draw only once.
        if batch_idx == 0:
            seed_everything(self.seed, runner.epoch, get_rank())


def _leaves(dataset) -> Iterator[BaseDataset]:
    """The data sets whose pipelines augment, under any concatenations."""
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            yield from _leaves(part)
    elif isinstance(dataset, CombinedDataset) and not dataset.resample:
        yield dataset
        for part in dataset.datasets:
            steps = part.pipeline.transforms
            if not all(isinstance(s, KeypointConverter) for s in steps):
                yield from _leaves(part)
    elif hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets'):
        raise ValueError(
            f'RepeatableEpochs cannot tell apart the samples that '
            f'{type(dataset).__name__} draws from one image: each would be '
            'augmented alike. Train more epochs instead of repeating images, '
            'leave out sample_ratio_factor of a CombinedDataset, or take '
            'RepeatableEpochs out of custom_hooks')
    else:
        yield dataset


def _seeding_step(dataset: BaseDataset) -> SeedAugmentation:
    steps = dataset.pipeline.transforms
    if not steps or not isinstance(steps[0], SeedAugmentation):
        first = type(steps[0]).__name__ if steps else 'nothing'
        raise ValueError(f'the pipeline of {type(dataset).__name__} begins '
                         f'with {first}: {CURE}')
    return steps[0]

"""4 epochs equal 2 + 2 resumed, loss by loss, whatever happens in between."""
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner
from small_training import IMAGES, Noise, Numbers, TinyModel, pipeline

from mmpose_ssa.engine.reproducibility import (RepeatableEpochs,
                                               SeedAugmentation,
                                               seed_everything,
                                               seed_numpy_and_python)


class Draws(BaseMetric):
    """A validation that uses up random numbers of every generator."""

    def process(self, data_batch, data_samples) -> None:
        np.random.rand(7), random.random(), torch.rand(7)
        self.results.extend(data_samples)

    def compute_metrics(self, results: list) -> dict:
        return dict(mean=np.float64(np.mean(results)))


class Record(Hook):
    """Keeps what each training iteration saw and lost."""

    def __init__(self) -> None:
        self.losses, self.samples = [], []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs) -> None:
        self.losses.append(float(outputs['loss'].detach()))
        # pseudo_collate has made two sequences of the pairs.
        self.samples.append(
            list(zip(*(x.tolist() if torch.is_tensor(x) else x
                       for x in data_batch['data_samples']))))


def train(folder,
          epochs,
          resume=False,
          seed=3,
          workers=0,
          validate=True,
          hooks=(RepeatableEpochs, )) -> Record:
    record = Record()
    loader = dict(
        num_workers=workers,
        persistent_workers=workers > 0,
        sampler=dict(type='DefaultSampler', shuffle=True))
    validation = dict(
        val_dataloader=dict(
            loader, batch_size=5, dataset=Numbers(pipeline=pipeline())),
        val_evaluator=[Draws()],
        val_cfg=dict()) if validate else {}
    runner = Runner(
        dict(type=TinyModel),
        work_dir=str(folder),
        train_dataloader=dict(
            loader, batch_size=4, dataset=Numbers(pipeline=pipeline())),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.05)),
        param_scheduler=dict(
            type='MultiStepLR', milestones=[1, 3], gamma=0.5, end=4),
        default_hooks=dict(checkpoint=dict(interval=1, type='CheckpointHook')),
        custom_hooks=[hook() for hook in hooks] + [record],
        randomness=dict(seed=seed),
        resume=resume,
        experiment_name=f'{folder.name}_{epochs}_{resume}_{random.random()}',
        log_level='ERROR',
        **validation)
    runner.train()
    # Ends persistent workers now: the garbage collector takes 10 s for it.
    runner.train_dataloader._iterator = None
    if validate:
        runner.val_dataloader._iterator = None
    return record


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Four epochs in one go, without workers and validation."""
    return train(tmp_path_factory.mktemp('whole'), 4, validate=False)


@pytest.mark.parametrize('workers, validate', [(0, False), (0, True),
                                               (2, True)])
def test_four_epochs_equal_two_and_two(tmp_path, whole, workers, validate):
    options = dict(workers=workers, validate=validate)
    first = train(tmp_path, 2, **options)
    torch.rand(5), np.random.rand(5), random.random()
    second = train(tmp_path, 4, resume=True, **options)
    assert len(whole.losses) == 4 * 3
    assert first.losses + second.losses == whole.losses
    assert first.samples + second.samples == whole.samples


@pytest.mark.parametrize('workers', [0, 2])
def test_neither_workers_nor_validation_change_the_losses(
        tmp_path, whole, workers):
    assert train(tmp_path, 4, workers=workers).losses == whole.losses


def test_a_run_without_a_seed_resumes_as_exactly(tmp_path, whole,
                                                 monkeypatch):
    drawn = iter([3, 6, 7])  # the seeds MMEngine draws, run by run
    monkeypatch.setattr('mmengine.runner.utils.sync_random_seed',
                        lambda: next(drawn))
    first = train(tmp_path, 2, seed=None)
    second = train(tmp_path, 4, seed=None, resume=True)
    assert next(drawn) == 7
    assert first.losses + second.losses == whole.losses


def test_without_the_hook_a_resumed_run_differs(tmp_path):
    whole = train(tmp_path / 'whole', 4, hooks=())
    train(tmp_path / 'parts', 2, hooks=())
    second = train(tmp_path / 'parts', 4, resume=True, hooks=())
    assert not set(second.losses) & set(whole.losses)


def test_augmentation_is_a_function_of_seed_epoch_and_index(tmp_path):
    def noises(**options):
        record = train(tmp_path / str(options), 3, validate=False, **options)
        epochs = np.split(np.arange(len(record.samples)), 3)
        return [
            dict(sample for i in epoch for sample in record.samples[i])
            for epoch in epochs
        ], [[index for i in epoch for index, _ in record.samples[i]]
            for epoch in epochs]

    alone, order = noises()
    shared, _ = noises(workers=2)
    other, _ = noises(seed=4)
    assert alone == shared
    assert all(sorted(epoch) == list(range(IMAGES)) for epoch in order)
    assert order[0] != order[1] != order[2]
    values = [v for run in (alone, other) for e in run for v in e.values()]
    assert len(set(values)) == 2 * 3 * IMAGES  # no two alike


def test_streams_differ_in_any_part_of_the_entropy():
    draws = set()
    for entropy in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (3, 0, 0), (0, 0, 3)]:
        seed_numpy_and_python(*entropy)
        draws |= {np.random.rand(), random.random()}
    assert len(draws) == 10


def test_seed_everything_repeats_every_generator():
    def draw():
        return np.random.rand(), random.random(), float(torch.rand(()))

    seed_everything(1, 2, 3)
    first = draw()
    assert draw() != first
    seed_everything(1, 2, 3)
    assert draw() == first
    seed_everything(1, 2, 4)
    assert not set(draw()) & set(first)


def test_a_pipeline_without_a_runner_stays_as_random_as_it_was():
    np.random.seed(0)
    first = np.random.rand()
    np.random.seed(0)
    assert SeedAugmentation()(dict(sample_idx=3)) == dict(sample_idx=3)
    assert np.random.rand() == first


def runner_of(dataset):
    sampler = SimpleNamespace(seed=0)
    return SimpleNamespace(
        epoch=0,
        seed=1,
        train_dataloader=SimpleNamespace(dataset=dataset, sampler=sampler))


def start(dataset):
    hook = RepeatableEpochs()
    hook.seed = 1
    hook.before_train_epoch(runner_of(dataset))


def test_concatenated_data_sets_are_all_seeded():
    parts = [Numbers(pipeline=pipeline()) for _ in range(2)]
    start(ConcatDataset(parts))
    for part in parts:
        step = part.pipeline.transforms[0]
        assert step.seed_and_epoch.tolist() == [1, 0]


@pytest.mark.parametrize('steps',
                         [[], [Noise()], [Noise(), SeedAugmentation()]])
def test_a_pipeline_that_is_not_seeded_first_is_refused(steps):
    with pytest.raises(ValueError, match='SeedAugmentation.*first'):
        start(Numbers(pipeline=steps))


def test_repeated_images_are_refused():
    with pytest.raises(ValueError, match='RepeatDataset.*more epochs'):
        start(RepeatDataset(Numbers(pipeline=pipeline()), times=2))


def test_training_by_iterations_is_refused():
    runner = runner_of(None)
    runner.train_loop = SimpleNamespace()
    with pytest.raises(TypeError, match='EpochBasedTrainLoop.*Namespace'):
        RepeatableEpochs().before_train(runner)


def drawn_in_iteration(monkeypatch, epoch=0, iteration=0, rank=0):
    """What the generators give after the hook has seen an iteration."""
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    monkeypatch.setattr('mmpose_ssa.engine.reproducibility.get_rank',
                        lambda: rank)
    hook = RepeatableEpochs()
    hook.seed = 1
    hook.before_train_iter(SimpleNamespace(epoch=epoch), iteration)
    return float(torch.rand(())), np.random.rand(), random.random()


def test_dropout_differs_from_epoch_to_epoch_and_rank_to_rank(monkeypatch):
    first = drawn_in_iteration(monkeypatch)
    assert drawn_in_iteration(monkeypatch) == first
    others = [drawn_in_iteration(monkeypatch, epoch=1),
              drawn_in_iteration(monkeypatch, epoch=2),
              drawn_in_iteration(monkeypatch, rank=1),
              drawn_in_iteration(monkeypatch, epoch=1, rank=1)]
    assert len({value for draw in (first, *others) for value in draw}) == 15


def test_only_the_first_iteration_of_an_epoch_seeds(monkeypatch):
    """Else each batch of it would drop the same out."""
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    untouched = float(torch.rand(())), np.random.rand(), random.random()
    for iteration in (1, 2):
        assert drawn_in_iteration(monkeypatch,
                                  iteration=iteration) == untouched

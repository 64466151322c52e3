"""The pipeline's section of the benchmark: what it counts, not how fast."""
import re

import benchmark
import cv2
import numpy as np
import pytest
import torch
from benchmarks import pipeline
from benchmarks.pipeline import (BARE, NAIVE, OURS, STOCK, FullSizeMasks,
                                 Reader, Sample, crowded)
from benchmarks.report import Table
from factories import refusal, write_scenes


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return str(write_scenes(tmp_path_factory.mktemp('scenes'), train=8, val=0,
                            size=160, min_height=.25))


@pytest.fixture
def dataset(root, mmpose):
    return pipeline._dataset(root, pipeline._pipelines()[OURS])


def test_a_quick_run(root):
    threads = cv2.getNumThreads(), torch.get_num_threads()
    rates, steps, loaders = pipeline.measure(quick=True, data_root=root)
    assert (cv2.getNumThreads(), torch.get_num_threads()) == threads
    names = [OURS, STOCK, NAIVE, BARE]
    assert [row[0] for row in rates.rows] == names
    assert list(steps.columns[1:]) == names
    for row in rates.rows:
        assert row[1] * row[2] == pytest.approx(1000)
    assert rates.rows[1][3] == 1
    # the steps are all that is counted, and each pipeline has its own
    for column, row in enumerate(rates.rows, 1):
        spent = [step[column] for step in steps.rows if step[column]]
        assert sum(spent) == pytest.approx(row[2])
    table = {row[0]: row[1:] for row in steps.rows}
    assert None not in [*table['decode'], *table['warp']]
    assert table['seed'][1:] == [None] * 3
    assert [row[0] for row in loaders.rows] == [OURS, STOCK]
    for row, rate in zip(loaders.rows, rates.rows):
        assert row[2] == pytest.approx(2 * rate[1])


def test_times_are_medians_of_calls_and_means_of_samples(monkeypatch):
    seconds = iter([1, 3, 9, 5, 3, 1])  # of the first step, call by call
    clock = [0.]

    def now():
        return clock[0]

    def first(sample):
        clock[0] += next(seconds)
        return sample.image

    def second(image):
        clock[0] += 10 * image
        return image

    monkeypatch.setattr(pipeline, 'now', now)
    samples = [Sample(1, 0), Sample(2, 0)]
    reader = Reader([('a', first), ('b', second), ('b', second)], samples)
    assert [reader() for _ in range(6)] == [1, 2] * 3
    # 1, 9, 3 of the first sample and 3, 5, 1 of the second
    assert reader.milliseconds() == {'a': 3000, 'b': 30000}


def test_a_sample_is_augmented_alike_each_time(dataset):
    sample, other = Sample(0, 0), Sample(0, 1)
    reader = Reader(pipeline._named_steps(dataset), [sample, other])
    images = [reader()['inputs'] for _ in range(4)]
    assert torch.equal(images[0], images[2])
    assert torch.equal(images[1], images[3])
    assert not torch.equal(images[0], images[1])


def test_the_crowded_images_come_first(dataset):
    persons = [len(dataset.get_data_info(i)['keypoints'])
               for i in range(len(dataset))]
    chosen = crowded(dataset, 3)
    assert len(set(persons)) > 2
    assert [persons[i] for i in chosen] == sorted(persons)[:-4:-1]


def test_naive_masks_are_those_that_ours_are_compared_with(dataset):
    """Else the comparison would be one of different things."""
    steps = dataset.pipeline.transforms[:5]
    overlaps, flips = [], set()
    for index in range(len(dataset)):
        np.random.seed(index)
        results = dataset.get_data_info(index)
        for step in steps:
            results = step(results)
        flips.add(results['flip'])
        naive = FullSizeMasks()(results)
        assert naive['field_mapping_table']['instance_masks']
        for ours, theirs in zip(results['instance_masks'],
                                naive['instance_masks']):
            assert ours.shape == theirs.shape
            if ours.sum() > 200:
                overlaps.append((ours & theirs).sum() / (ours | theirs).sum())
    assert flips == {False, True} and len(overlaps) > 5
    assert min(overlaps) > .9


@pytest.mark.parametrize('given', [[], ['--data-root', 'some/where']])
def test_the_tool_hands_on_the_folder(tmp_path, monkeypatch, given):
    def measure(quick, data_root=None):
        return [Table(f'{quick} {data_root}', '', ['a'], [['b']])]

    out = tmp_path / 'performance.md'
    monkeypatch.setattr(pipeline, 'measure', measure)
    benchmark.main(['pipeline', '--quick', '--out', str(out), *given])
    folder = given[1] if given else None
    assert f'### True {folder}' in out.read_text()
    assert ' '.join(['python tools/benchmark.py pipeline --quick --out',
                     str(out), *given]) in out.read_text()


@pytest.mark.parametrize('words, arguments', [
    ('decode, sleep: .* decoding', ['sleep', 'decode', 'memory']),
    ('--threads .* 0', ['--threads', '0'])])
def test_what_cannot_be_measured_is_named(capsys, words, arguments):
    assert re.search(words, refusal(capsys, benchmark.main, *arguments))

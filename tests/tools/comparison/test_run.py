"""Speed, starting weights and augmentation of what is compared."""
import numpy as np
import pytest
from comparison import run
from comparison.plan import augmentation
from factories import CONFIGS, DEMO
from mmengine.config import Config


class FakeRunner:
    """Stands in for a runner: image ``index`` takes ``index`` seconds.

    The first five take 99.
    """

    collate_fn = staticmethod(lambda batch: batch)

    def __init__(self, name, images, asked):
        self.name, self.dataset, self.asked = name, range(images), asked
        self.model = self.test_dataloader = self
        self.ready, self.steps = set(), 0

    def load_or_resume(self):
        self.ready.add('weights')

    def eval(self):
        self.ready.add('eval')

    def test_step(self, batch):
        assert self.ready == {'weights', 'eval'}
        self.asked.append((self.name, *batch))
        self.steps += 1
        return 99. if self.steps <= 5 else batch[0]


def test_the_speed_is_the_median_of_steps_in_turn(monkeypatch):
    """Of 300 images 100, from the first to the last, after five others."""
    asked, images = [], 300
    monkeypatch.setattr(run, 'seconds', lambda step: step())
    monkeypatch.setattr(run, 'make_tester',
                        lambda run: FakeRunner(run, images, asked))
    spent = run.seconds_per_image(['one', 'other'])
    assert [name for name, _ in asked] == ['one', 'other'] * 105
    steps = [index for name, index in asked if name == 'one']
    assert steps == [index for name, index in asked if name == 'other']
    assert steps[5] == 0 and steps[-1] == 299 and len(set(steps[5:])) == 100
    assert spent == [pytest.approx(np.median(steps[5:]))] * 2
    images, asked[:] = 2, []
    assert run.seconds_per_image(['one']) == [.5]
    assert [index for _, index in asked] == [0, 1, 0, 1, 0, 0, 1]


def test_augmentations_are_compared_without_sizes_and_targets():
    ssa, ae, still = (
        augmentation(Config.fromfile(CONFIGS / f'{name}.py'))
        for name in ('demo/ssa_demo', 'comparisons/ae_demo',
                     'demo/ssa_overfit'))
    assert ssa == ae != still


def test_weights_to_begin_with_are_found():
    cfg = Config.fromfile(CONFIGS / 'ssa/ssa_r101_640.py')
    assert list(run.pretrained(cfg.model)) == [
        'torchvision://resnet101']
    cfg = Config.fromfile(DEMO)
    assert list(run.pretrained(cfg.model)) == []

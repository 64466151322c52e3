"""The commands of the README, typed: mim train, mim train --resume, mim test.

What they compute is tested elsewhere, through MMEngine's runner; here it
counts that the commands find package, configs and data from the repository's
root, and that a training in two commands is that in one.
"""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from factories import ROOT, TINY, write_scenes

MIM = Path(sys.executable).with_name('mim')
SPLITS = ('train', 'val', 'test')

pytestmark = pytest.mark.slow


@pytest.fixture(params=['synthetic', 'coco'])
def data(request, tmp_path):
    """Options that make a config read 12 images, synthetic or of COCO."""
    root, prefix = tmp_path / 'data', 'val2017/'
    if request.param == 'coco':
        root, prefix = request.getfixturevalue('coco_mini'), 'train2017/'
    else:
        write_scenes(root, train=1, val=12)
    name = f'annotations/person_keypoints_{prefix[:-1]}.json'
    return [f'{split}_dataloader.dataset.{option}' for split in SPLITS
            for option in (f'data_root={root}/', f'ann_file={name}',
                           f'data_prefix.img={prefix}', 'indices=12')]


@pytest.fixture
def config(tmp_path):
    """The smallest SSA, with what a resumed training has to repeat."""
    path = tmp_path / 'tiny.py'
    path.write_text('\n'.join((
        f'_base_ = [{str(TINY)!r}]',
        'train_pipeline = [',
        "    dict(type='SeedAugmentation'), *_base_.train_pipeline]",
        'train_dataloader = dict(dataset=dict(pipeline=train_pipeline))',
        'model = dict(neck=dict(dropout=.1))')))
    return path


def mim(what, config, *arguments, options=()):
    """Run a command; what it printed."""
    done = subprocess.run(
        [str(MIM), what, 'mmpose', str(config), *map(str, arguments),
         '--cfg-options', *options],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def logged(work_dir, key):
    """The values of a metric or loss in a training's logs, in order."""
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [line[key] for log in logs
            for line in map(json.loads, log.read_text().splitlines())
            if key in line]


def test_train_resume_and_test(tmp_path, config, data):
    whole, halves = tmp_path / 'whole', tmp_path / 'halves'
    options = [*data, 'default_hooks.logger.interval=1',
               'default_hooks.checkpoint.interval=1',
               'train_cfg.val_interval=4', 'train_cfg.max_epochs=4']
    mim('train', config, '--work-dir', whole, options=options)
    mim('train', config, '--work-dir', halves,
        options=[*options, 'train_cfg.max_epochs=2'])
    mim('train', config, '--work-dir', halves, '--resume', options=options)
    for key in ('loss_kpt', 'loss_mask'):
        losses = logged(whole, key)
        assert len(losses) >= 4 and np.isfinite(losses).all()
        assert logged(halves, key) == losses
    said = mim('test', config, '-C', whole / 'epoch_4.pth', '--work-dir',
               tmp_path / 'test', options=options)
    for key in ('coco/AP', 'mask/AP'):
        value, = logged(whole, key)
        assert f'{key}: {value:.6f}' in said

"""Two processes do what one does with the doubled batch, on CPUs by gloo.

Dropout and augmentation are off and every BN is frozen: the processes draw
other numbers than one process, and SyncBN, which would make the statistics
alike, wants GPUs. The optimizer is SGD: Adam makes whole steps of the rounding
errors of gradients that are zero, as those of the keys' bias are.
"""
import json
import os
import signal
import socket
import subprocess
import sys

import distributed_run
import pytest
import torch
from distributed_run import Job, run
from factories import CONFIGS, DEMO, ROOT, TINY, write_scenes
from mmengine.config import Config

WEIGHTS = str(ROOT / 'weights/ssa_demo.pth')
IMAGES, BATCH, EPOCHS = 12, 2, 2  # per process
VARIANTS = ('supervised', 'independent', 'naive', 'pairs')


pytestmark = pytest.mark.slow


def data_of(root, splits=('train', 'val', 'test')) -> dict:
    return {f'{split}_dataloader.dataset.data_root': str(root)
            for split in splits}


def training(root, folder, batch, **options) -> dict:
    """A job whose outcome does not depend on the number of processes."""
    return Job(str(TINY), str(folder), {
        **data_of(root),
        'train_dataloader.batch_size': batch,
        'train_dataloader.sampler.shuffle': False,
        # the tiny model's pipeline is not random
        'custom_hooks': [dict(type='SyncBuffersHook')],
        'train_cfg.max_epochs': EPOCHS,
        'train_cfg.val_interval': 100,
        'optim_wrapper.optimizer': dict(
            _delete_=True, type='SGD', lr=.5, momentum=.9),
        'model.head.mask_loss.loss_weight': .1,
        **options}, frozen=True)._asdict()


def variants(root, folder, batch) -> list:
    """Trainings of all variants; the naive one's masks are no loss; every
    other person of the pairs has no mask."""
    step = 'train_dataloader.dataset.pipeline'
    pairs = {
        'train_dataloader.dataset.ann_file': 'annotations/pairs.json',
        f'{step}.2.missing': 'empty', f'{step}.3.encoder.pair_targets': True,
        'model.head.pair_loss': dict(type='AttentionPairLoss',
                                     loss_weight=.1)}
    return [
        *(training(root, folder / name, batch, **{
            'model.neck.association': name,
            'model.head.mask_loss.loss_weight': .1 * (name != 'naive')})
          for name in VARIANTS[:3]),
        training(root, folder / 'pairs', batch, **pairs)]


def test_job(root, folder) -> dict:
    return Job(str(DEMO), str(folder), {
        **data_of(root), 'load_from': WEIGHTS,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'test_dataloader.batch_size': 2}, test=True)._asdict()


test_job.__test__ = False


def start(jobs, folder, processes=2) -> list:
    """Start the processes as `torchrun` does; they share a free port."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    path = folder / 'jobs.json'
    path.write_text(json.dumps(jobs))
    return [
        subprocess.Popen(
            [sys.executable, distributed_run.__file__, str(path)],
            cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(os.environ, RANK=str(rank), LOCAL_RANK=str(rank),
                     WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1',
                     MASTER_PORT=str(port), OMP_NUM_THREADS='1'))
        for rank in range(processes)]


def finish(processes) -> list:
    """Their exit codes; all are ended if one takes too long."""
    try:
        outputs = [process.communicate(timeout=240)[0]
                   for process in processes]
    finally:
        for process in processes:
            process.kill()
    for output in outputs:
        print(output[-3000:])  # pytest shows it where a test fails
    return [process.returncode for process in processes]


def seen(folder, ranks=2) -> list:
    return [torch.load(folder / f'rank_{rank}.pth', weights_only=False)
            for rank in range(ranks)]


def without_labels(person) -> dict:
    return dict(person, keypoints=[0] * 51, num_keypoints=0)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """12 images of 64x64. Of the first batch, images 0 to 3, only the first
    process (images 0 and 2) has persons that supervise; of the second, images
    4 to 7, none has."""
    root = write_scenes(tmp_path_factory.mktemp('scenes'), train=40, val=1)
    path = root / 'annotations/person_keypoints_train2017.json'
    content = json.loads(path.read_text())
    persons = {}
    for person in content['annotations']:
        persons.setdefault(person['image_id'], []).append(person)
    content['images'] = [image for image in content['images']
                         if image['id'] in persons][:IMAGES]
    content['annotations'] = [
        without_labels(person) if index in (1, 3, 4, 5, 6, 7) else person
        for index, image in enumerate(content['images'])
        for person in persons[image['id']]]
    path.write_text(json.dumps(content))
    for person in content['annotations'][::2]:
        del person['segmentation']
    (root / 'annotations/pairs.json').write_text(json.dumps(content))
    return root


@pytest.fixture(scope='module')
def people(tmp_path_factory):
    """Five images to test on: an odd number for two processes."""
    return write_scenes(tmp_path_factory.mktemp('people'), train=1, val=5,
                        size=160, max_people=3)


@pytest.fixture(scope='module')
def outcomes(root, people, tmp_path_factory):
    """The results of all jobs by two processes and by one."""
    two, one = (tmp_path_factory.mktemp(name) for name in ('two', 'one'))
    processes = start([*variants(root, two, BATCH),
                       test_job(people, two / 'test')], two)
    for job in [*variants(root, one, 2 * BATCH),
                test_job(people, one / 'test')]:
        run(Job(**job))
    assert finish(processes) == [0, 0]
    return {name: (seen(two / name), seen(one / name, 1)[0])
            for name in (*VARIANTS, 'test')}


@pytest.mark.parametrize('name', VARIANTS)
def test_two_processes_train_as_one_with_the_doubled_batch(outcomes, name):
    both, alone = outcomes[name]
    keys = {'loss', 'loss_kpt', 'mask_error', *(
        [] if name == 'naive' else ['loss_mask']), *(
        ['loss_pair'] if name == 'pairs' else [])}
    iterations = EPOCHS * IMAGES // (2 * BATCH)
    assert len(alone['losses']) == iterations
    for i, whole in enumerate(alone['losses']):
        parts = [rank['losses'][i] for rank in both]
        # in an epoch's second nobody has a mask, in the first nobody on the
        # second process
        nobody = i % (iterations // EPOCHS) == 1
        expected = keys - ({'mask_error'} if nobody else set())
        assert set(whole) == set(parts[0]) == set(parts[1]) == expected
        for loss, value in whole.items():
            mean = sum(part[loss] for part in parts) / 2
            assert mean == pytest.approx(value, rel=1e-5, abs=1e-9), (i, loss)
    for weight, value in alone['weights'].items():
        for rank in both:
            torch.testing.assert_close(rank['weights'][weight], value,
                                       rtol=1e-5, atol=1e-6, msg=weight)


def test_what_was_compared_is_not_trivial(outcomes):
    both, alone = outcomes['supervised']
    masks = [[losses['loss_mask'] for losses in rank['losses']]
             for rank in both]
    assert masks[0][0] > 0 == masks[1][0]  # nobody on the second process
    assert masks[0][1] == masks[1][1] == 0  # nobody at all
    assert masks[0][2] > 0 and masks[1][2] > 0
    assert masks[0][2] != masks[1][2]
    pairs = [sum(losses['loss_pair'] for losses in rank['losses'])
             for rank in outcomes['pairs'][0]]
    assert min(pairs) > 0 and pairs[0] != pairs[1]
    # the weights moved by far more than the tolerance
    assert alone['losses'][5]['loss'] < .95 * alone['losses'][2]['loss']


def test_the_learning_rate_is_that_of_the_whole_batch(outcomes):
    both, alone = outcomes['supervised']
    # 2 processes x 2 images, and 1 x 4, over the base batch of 8
    for process in (*both, alone):
        assert set(process['rates']) == {.5 * 4 / 8}


def test_two_processes_test_as_one(outcomes):
    both, alone = outcomes['test']
    metrics = alone['metrics']
    assert {'coco/AP', 'coco/AR', 'mask/AP', 'mask/AR20'} <= set(metrics)
    assert metrics['coco/AP'] > .1 and metrics['mask/AP'] > .1
    assert [rank['metrics'] for rank in both] == [metrics, metrics]


# --- killed and resumed -----------------------------------------------------


def augmented(root, folder, resume=False, killed=None) -> dict:
    """A training with augmentation and dropout, as the configs train."""
    base = Config.fromfile(CONFIGS / '_base_/ssa.py')
    tiny = Config.fromfile(TINY)
    sizes = dict(input_size=(64, 64), heatmap_size=(16, 16),
                 encoder=tiny.codec.to_dict())
    pipeline = [{key: sizes.get(key, value) for key, value in step.items()}
                for step in base.train_pipeline]
    return Job(str(TINY), str(folder), {
        **data_of(root),
        'resume': resume,
        'model.neck.dropout': .1,
        'train_dataloader.batch_size': BATCH,
        'train_dataloader.dataset.pipeline': pipeline,
        'train_cfg.max_epochs': 3,
        'train_cfg.val_interval': 100,
        'default_hooks.checkpoint': dict(
            _delete_=True, type='CheckpointHook', interval=1),
        'optim_wrapper.optimizer.lr': 1e-3}, killed=killed)._asdict()


def test_a_killed_run_resumes_as_if_it_had_not_been(root, tmp_path):
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    # the second process dies in the middle of the second of three epochs
    codes = finish(start(
        [augmented(root, killed, killed=(1, 1, [1]))], tmp_path))
    assert codes[1] == -signal.SIGKILL
    assert codes[0] not in (0, None)  # the first did not wait forever
    assert not (killed / 'rank_0.pth').exists()

    assert finish(start([augmented(root, killed, resume=True),
                         augmented(root, whole)], tmp_path)) == [0, 0]
    for resumed, straight in zip(seen(killed), seen(whole)):
        assert len(straight['losses']) == 3 * 3
        assert resumed['losses'] == straight['losses'][3:]
        for name, value in straight['weights'].items():
            assert torch.equal(resumed['weights'][name], value), name
    # augmentation is that of the image, dropout that of the process
    first, second = (rank['losses'][-1] for rank in seen(whole))
    assert first != second

"""Training curves from written logs."""
import json
import re

import cv2
import numpy as np
import plot_losses
import pytest
from factories import refusal
from plot_losses import read_run


def write_log(work_dir, time, lines):
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (folder / 'scalars.json').write_text(text)
    (folder / f'{time}.json').write_text(text)  # MMEngine writes both


def entry(step, kpt, mask):
    """What SSA logs; ``loss_mask`` is not looked at."""
    return {'step': step, 'loss_kpt': kpt, 'mask_error': mask,
            'loss_mask': .01 * mask, 'lr': .1}


def test_a_run_is_read(tmp_path):
    write_log(tmp_path, '2024_1', [
        entry(10, 4., 2.), {'coco/AP': .5, 'step': 1}, entry(20, 3., 1.5)])
    run = read_run(tmp_path)
    assert run.steps.tolist() == [10, 20]
    assert run.heatmap.tolist() == [4, 3]
    assert run.mask.tolist() == [2, 1.5]


def test_the_error_may_come_later(tmp_path):
    """It is logged from the first batch with a mask on."""
    write_log(tmp_path, '1', [{'step': 10, 'loss_kpt': 4.}, entry(20, 3., .5)])
    run = read_run(tmp_path)
    assert run.heatmap.tolist() == [4, 3]
    assert np.array_equal(run.mask, [np.nan, .5], equal_nan=True)


def test_a_resumed_run_goes_on_from_its_checkpoint(tmp_path):
    # stopped at 40, resumed from the checkpoint of 20, then tested
    write_log(tmp_path, '2024_1', [entry(s, 1., s) for s in (10, 20, 30, 40)])
    write_log(tmp_path, '2024_2', [entry(s, 2., s) for s in (30, 50)])
    write_log(tmp_path, '2024_3', [{'coco/AP': .5, 'step': 0}])
    run = read_run(tmp_path)
    assert run.steps.tolist() == [10, 20, 30, 50]
    assert run.heatmap.tolist() == [1, 1, 2, 2]
    assert run.mask.tolist() == [10, 20, 30, 50]


def test_folders_without_training_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none .*scalars\.json'):
        read_run(tmp_path / 'none')
    write_log(tmp_path, '1', [{'coco/AP': .5, 'step': 0}])
    with pytest.raises(ValueError, match='no training losses'):
        read_run(tmp_path)


def test_a_last_line_cut_off_is_skipped(tmp_path):
    """As a kill leaves it, in each log of a run that was resumed."""
    for time, steps in (('1', (10, 20)), ('2', (20, 30))):
        write_log(tmp_path, time, [entry(s, 1., .5) for s in steps])
        log = tmp_path / time / 'vis_data/scalars.json'
        log.write_text(log.read_text() + '{"step": 40, "loss_kp')
    assert read_run(tmp_path).steps.tolist() == [10, 20, 30]
    log.write_text('{"step": 4')
    assert read_run(tmp_path).steps.tolist() == [10, 20]


@pytest.mark.parametrize('key', ['step', 'loss_kpt', 'mask_error'])
@pytest.mark.parametrize('value', ['1', None, True, {}, [1], 10**400])
def test_what_is_no_number_is_named(tmp_path, key, value):
    write_log(tmp_path, '1', [{**entry(10, 1., 1.), key: value}])
    with pytest.raises(ValueError, match=f'scalars.json has {key}='):
        read_run(tmp_path)


def test_a_loss_that_is_no_number_any_more_is_one(tmp_path):
    write_log(tmp_path, '1', [entry(10, 1., 1.), entry(20, np.nan, np.inf)])
    assert np.isnan(read_run(tmp_path).heatmap[1])


def test_the_picture_holds_a_curve_of_each_run(tmp_path):
    runs = [tmp_path / name for name in ('first', 'second')]
    for run, value in zip(runs, (1., 3.)):
        write_log(run, '1', [entry(s, value, value) for s in (0, 100)])
    out = tmp_path / 'out/losses.png'
    plot_losses.main([*map(str, runs), '--out', str(out)])
    picture = cv2.imread(str(out)).astype(int)
    # matplotlib's first two colours, level lines: the higher one is higher
    heights = []
    for color in ((180, 119, 31), (14, 127, 255)):
        ys, xs = np.nonzero(np.abs(picture - color).sum(axis=2) < 20)
        counts = np.bincount(ys)
        heights.append(counts.argmax())
        assert counts.max() > .5 * picture.shape[1]  # through both plots
    assert heights[1] < heights[0]


def test_labels_must_be_as_many_as_runs(tmp_path, capsys):
    said = refusal(capsys, plot_losses.main, tmp_path / 'a', tmp_path / 'b',
                   '--labels', 'x')
    assert re.search(r"2 runs .*\['x'\].*--labels", said)


def damage_a_line(run):
    log = run / '1/vis_data/scalars.json'
    log.write_text(log.read_text().replace('"step"', '"st', 1))


def remove_the_log(run):
    (run / '1/vis_data/scalars.json').unlink()


def rename(name, to):
    def spoil(run):
        log = run / '1/vis_data/scalars.json'
        log.write_text(log.read_text().replace(f'"{name}"', f'"{to}"'))
    return spoil


@pytest.mark.parametrize('words, spoil', [
    (r'\*/vis_data/scalars\.json', remove_the_log),
    (r'scalars\.json .* line 1 ', damage_a_line),
    ('run .* mask_error', rename('mask_error', 'acc_pose')),
    (r'scalars\.json .* step', rename('step', 'epoch')),
])
def test_what_a_run_lacks_is_named(capsys, tmp_path, words, spoil):
    for run in ('good', 'run'):
        write_log(tmp_path / run, '1', [entry(s, 1., .5) for s in (10, 20)])
    spoil(tmp_path / 'run')
    out = tmp_path / 'losses.png'
    said = refusal(capsys, plot_losses.main, tmp_path / 'good',
                   tmp_path / 'run', '--out', out)
    assert str(tmp_path / 'run') in said and re.search(words, said)
    assert not out.exists()


def test_a_picture_that_cannot_be_written(capsys, tmp_path):
    write_log(tmp_path / 'run', '1', [entry(1, 1., .5)])
    (tmp_path / 'file').touch()
    for out, words in (('file/losses.png', 'file'),
                       ('losses.gif2', "'gif2'")):
        assert words in refusal(capsys, plot_losses.main, tmp_path / 'run',
                                '--out', tmp_path / out)

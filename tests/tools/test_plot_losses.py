"""Training curves from written logs."""
import json
import re

import cv2
import numpy as np
import plot_losses
import pytest
from factories import refusal
from plot_losses import read_run

CONFIG = """
model = dict(head=dict(mask_loss=dict(type='AttentionMaskLoss'{beta})))
"""


def write_log(work_dir, time, lines, beta=', loss_weight=0.5'):
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (folder / 'scalars.json').write_text(text)
    (folder / f'{time}.json').write_text(text)  # MMEngine writes both
    (folder / 'config.py').write_text(CONFIG.format(beta=beta))


def entry(step, kpt, mask, key='loss_mask'):
    return {'step': step, 'loss_kpt': kpt, key: mask, 'lr': .1}


def test_a_run_is_read_without_the_weight(tmp_path):
    write_log(tmp_path, '2024_1', [
        entry(10, 4., 1.), {'coco/AP': .5, 'step': 1}, entry(20, 3., .75)])
    run = read_run(tmp_path)
    assert run.steps.tolist() == [10, 20]
    assert run.heatmap.tolist() == [4, 3]
    assert run.mask.tolist() == [2, 1.5]  # over beta = 0.5


def test_the_default_weight_and_a_naive_run(tmp_path):
    write_log(tmp_path / 'a', '1', [entry(1, 1., .003)], beta='')
    assert read_run(tmp_path / 'a').mask == pytest.approx([.3])
    write_log(tmp_path / 'b', '1', [entry(1, 1., .2, 'mask_error')],
              beta=', loss_weight=0.')
    assert read_run(tmp_path / 'b').mask.tolist() == [.2]


def test_a_resumed_run_goes_on_from_its_checkpoint(tmp_path):
    # stopped at 40, resumed from the checkpoint of 20, then tested
    write_log(tmp_path, '2024_1', [entry(s, 1., s) for s in (10, 20, 30, 40)])
    write_log(tmp_path, '2024_2', [entry(s, 2., s) for s in (30, 50)])
    write_log(tmp_path, '2024_3', [{'coco/AP': .5, 'step': 0}])
    run = read_run(tmp_path)
    assert run.steps.tolist() == [10, 20, 30, 50]
    assert run.heatmap.tolist() == [1, 1, 2, 2]
    assert run.mask.tolist() == [20, 40, 60, 100]


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


@pytest.mark.parametrize('words, key, spoil', [
    (r'\*/vis_data/scalars\.json', 'loss_mask',
     lambda run: (run / '1/vis_data/scalars.json').unlink()),
    (r'scalars\.json .* line 1 ', 'loss_mask', damage_a_line),
    (r'scalars\.json .* mask_error', 'acc_pose', lambda run: None),
    (r'config\.py does not exist', 'loss_mask',
     lambda run: (run / '1/vis_data/config.py').unlink()),
    (r"config\.py .*'ConfigDict'", 'loss_mask',
     lambda run: (run / '1/vis_data/config.py').write_text('model = dict()')),
    (r'config\.py .*0\.0', 'loss_mask',
     lambda run: (run / '1/vis_data/config.py').write_text(
         CONFIG.format(beta=', loss_weight=0.'))),
])
def test_what_a_run_lacks_is_named(capsys, tmp_path, words, key, spoil):
    for run in ('good', 'run'):
        write_log(tmp_path / run, '1', [entry(s, 1., .5, key if run == 'run'
                                              else 'mask_error')
                                        for s in (10, 20)])
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

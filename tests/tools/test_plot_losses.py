"""Training curves from written logs."""
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = str(Path(__file__).parents[2] / 'tools/plot_losses.py')
CONFIG = """
model = dict(head=dict(mask_loss=dict(type='AttentionMaskLoss'{beta})))
"""


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(TOOL)


def write_log(work_dir, time, lines, beta=', loss_weight=0.5'):
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (folder / 'scalars.json').write_text(text)
    (folder / f'{time}.json').write_text(text)  # MMEngine writes both
    (folder / 'config.py').write_text(CONFIG.format(beta=beta))


def entry(step, kpt, mask, key='loss_mask'):
    return {'step': step, 'loss_kpt': kpt, key: mask, 'lr': .1}


def test_a_run_is_read_without_the_weight(tool, tmp_path):
    write_log(tmp_path, '2024_1', [
        entry(10, 4., 1.), {'coco/AP': .5, 'step': 1}, entry(20, 3., .75)])
    run = tool['read_run'](tmp_path)
    assert run.steps.tolist() == [10, 20]
    assert run.heatmap.tolist() == [4, 3]
    assert run.mask.tolist() == [2, 1.5]  # over beta = 0.5


def test_the_default_weight_and_a_naive_run(tool, tmp_path):
    write_log(tmp_path / 'a', '1', [entry(1, 1., .003)], beta='')
    assert tool['read_run'](tmp_path / 'a').mask == pytest.approx([.3])
    write_log(tmp_path / 'b', '1', [entry(1, 1., .2, 'mask_error')],
              beta=', loss_weight=0.')
    assert tool['read_run'](tmp_path / 'b').mask.tolist() == [.2]


def test_a_resumed_run_goes_on_from_its_checkpoint(tool, tmp_path):
    # stopped at 40, resumed from the checkpoint of 20, then tested
    write_log(tmp_path, '2024_1', [entry(s, 1., s) for s in (10, 20, 30, 40)])
    write_log(tmp_path, '2024_2', [entry(s, 2., s) for s in (30, 50)])
    write_log(tmp_path, '2024_3', [{'coco/AP': .5, 'step': 0}])
    run = tool['read_run'](tmp_path)
    assert run.steps.tolist() == [10, 20, 30, 50]
    assert run.heatmap.tolist() == [1, 1, 2, 2]
    assert run.mask.tolist() == [20, 40, 60, 100]


def test_folders_without_training_are_named(tool, tmp_path):
    with pytest.raises(FileNotFoundError, match='none has no .*scalars.json'):
        tool['read_run'](tmp_path / 'none')
    write_log(tmp_path, '1', [{'coco/AP': .5, 'step': 0}])
    with pytest.raises(ValueError, match='no training losses .* give the'):
        tool['read_run'](tmp_path)


def test_a_last_line_cut_off_is_skipped(tool, tmp_path):
    """As a kill leaves it, in each log of a run that was resumed."""
    for time, steps in (('1', (10, 20)), ('2', (20, 30))):
        write_log(tmp_path, time, [entry(s, 1., .5) for s in steps])
        log = tmp_path / time / 'vis_data/scalars.json'
        log.write_text(log.read_text() + '{"step": 40, "loss_kp')
    assert tool['read_run'](tmp_path).steps.tolist() == [10, 20, 30]
    log.write_text('{"step": 4')
    assert tool['read_run'](tmp_path).steps.tolist() == [10, 20]


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['plot_losses.py', *map(str, arguments)])
    runpy.run_path(TOOL, run_name='__main__')


def test_the_picture_holds_a_curve_of_each_run(monkeypatch, tmp_path):
    runs = [tmp_path / name for name in ('first', 'second')]
    for run, value in zip(runs, (1., 3.)):
        write_log(run, '1', [entry(s, value, value) for s in (0, 100)])
    out = tmp_path / 'out/losses.png'
    command(monkeypatch, *runs, '--out', out)
    picture = cv2.imread(str(out)).astype(int)
    # matplotlib's first two colours, level lines: the higher one is higher
    heights = []
    for color in ((180, 119, 31), (14, 127, 255)):
        ys, xs = np.nonzero(np.abs(picture - color).sum(axis=2) < 20)
        counts = np.bincount(ys)
        heights.append(counts.argmax())
        assert counts.max() > .5 * picture.shape[1]  # through both plots
    assert heights[1] < heights[0]


def test_labels_must_be_as_many_as_runs(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, tmp_path / 'a', tmp_path / 'b', '--labels', 'x')
    assert '2 runs need as many different labels' in capsys.readouterr().err


def damage_a_line(run):
    log = run / '1/vis_data/scalars.json'
    log.write_text(log.read_text().replace('"step"', '"st', 1))


@pytest.mark.parametrize('words, key, spoil', [
    ('run has no */vis_data/scalars.json: give the work_dir', 'loss_mask',
     lambda run: (run / '1/vis_data/scalars.json').unlink()),
    ('scalars.json is damaged, line 1 is not a dict in JSON', 'loss_mask',
     damage_a_line),
    ('scalars.json has training losses with neither loss_mask nor mask_error',
     'acc_pose', lambda run: None),
    ("config.py does not exist, which has the weight of the mask loss: copy "
     "the run's config there", 'loss_mask',
     lambda run: (run / '1/vis_data/config.py').unlink()),
    ("config.py does not say the weight of the mask loss ('ConfigDict'",
     'loss_mask',
     lambda run: (run / '1/vis_data/config.py').write_text('model = dict()')),
    ('config.py does not say the weight of the mask loss (0.0, with which',
     'loss_mask', lambda run: (run / '1/vis_data/config.py').write_text(
         CONFIG.format(beta=', loss_weight=0.'))),
])
def test_what_a_run_lacks_is_named(monkeypatch, capsys, tmp_path, words, key,
                                   spoil):
    for run in ('good', 'run'):
        write_log(tmp_path / run, '1', [entry(s, 1., .5, key if run == 'run'
                                              else 'mask_error')
                                        for s in (10, 20)])
    spoil(tmp_path / 'run')
    out = tmp_path / 'losses.png'
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, tmp_path / 'good', tmp_path / 'run', '--out', out)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert str(tmp_path / 'run') in message and words in message
    assert not out.exists()


def test_a_picture_that_cannot_be_written(monkeypatch, capsys, tmp_path):
    write_log(tmp_path / 'run', '1', [entry(1, 1., .5)])
    (tmp_path / 'file').touch()
    for out, words in (('file/losses.png', 'file'),
                       ('losses.gif2', "'gif2' is not supported")):
        with pytest.raises(SystemExit):
            command(monkeypatch, tmp_path / 'run', '--out', tmp_path / out)
        assert words in capsys.readouterr().err

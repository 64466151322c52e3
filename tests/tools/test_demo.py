"""What the demo prints and draws, without its trainings."""
import demo
import numpy as np
import pytest


@pytest.mark.parametrize('line, progress', [
    ('11/26 03:20:47 - mmengine - INFO - Epoch(train)  [2][30/75]  lr: 5e-04',
     ('train', '2', '30', '75')),
    ('11/26 03:20:47 - mmengine - INFO - Epoch(val) [3][ 10/300]    eta: 0:00',
     ('val', '3', '10', '300')),
    ('11/26 03:20:47 - mmengine - INFO - Epoch(test) [290/300]    eta: 0:00',
     ('test', None, '290', '300'))])
def test_progress_is_read_from_the_log(line, progress):
    assert demo.STEP.search(line).groups() == progress


def test_a_command_and_its_output_are_kept_in_the_log(tmp_path, capsys):
    command = ['python', '-c', 'print("Epoch(test) [1/2]"); print(6 * 7)']
    said = demo.run('count', tmp_path / 'log.txt', command)
    assert said == (tmp_path / 'log.txt').read_text()
    head, first, second = said.splitlines()
    assert head.startswith('$ python -c') and (first, second) == (
        'Epoch(test) [1/2]', '42')
    printed = capsys.readouterr()
    assert printed.out == '' and '100%' in printed.err


def test_a_failure_is_told_with_its_log(tmp_path):
    command = ['python', '-c', 'print("the reason"); exit(3)']
    with pytest.raises(SystemExit, match='the reason\n(.|\n)*3(.|\n)*log.txt'):
        demo.run('fail', tmp_path / 'log.txt', command)


def test_the_table_has_shares_of_the_upper_bound():
    rows = {'some weights': {'coco/AP': .25, 'mask/AP': .1}}
    head, _, line = demo.table(
        rows, {'coco/AP': .5, 'mask/AP': .4}).splitlines()
    assert head.split() == (
        'weights keypoint AP of bound mask AP of bound'.split())
    assert line.split() == ['some', 'weights', '0.250', '50%', '0.100', '25%']


def test_a_column_has_a_heading_above_its_pictures():
    pictures = [np.full((160, 160, 3), grey, np.uint8) for grey in (50, 90)]
    drawn = demo.column('heading', pictures)
    assert drawn.shape == (36 + 2 * 320, 320, 3)
    assert drawn[:36].max() == 255 and drawn[:36].min() < 128
    assert (drawn[36:356] == 50).all() and (drawn[356:] == 90).all()

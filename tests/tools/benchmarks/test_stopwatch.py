"""Times in turn, the tables made of them, and the machine's name."""
import pytest
import torch
from benchmarks import machine, stopwatch
from benchmarks.report import Table, markdown, replaced


def test_functions_are_called_in_turn_and_the_warm_up_does_not_count(
        monkeypatch):
    clock, calls = [0.], []
    monkeypatch.setattr(stopwatch, 'now', lambda: clock[0])

    def takes(name, *spent):
        def function():
            clock[0] += spent[calls.count(name)]
            calls.append(name)

        return function

    times = stopwatch.alternate(
        dict(a=takes('a', 9., 1., 4., 2.), b=takes('b', 9., 2., 1., 2.)),
        repeats=3)
    assert calls == ['a', 'b'] * 4
    assert times == dict(a=[1., 4., 2.], b=[2., 1., 2.])
    # of each round: 1/2, 4, 1; not median over median, 2 / 2
    assert stopwatch.ratio(times, 'a', 'b') == 1.
    assert stopwatch.ratio(dict(a=[1., 4., 6.], b=[2., 1., 3.]), 'a',
                           'b') == 2.


def test_a_table_by_hand():
    table = Table('Title', 'Note.', ['', 'x', 'y'], [
        ['a', 1.23456, None], ['b', 123456., 7]])
    assert markdown(table) == (
        '### Title\n\nNote.\n\n'
        '|    |       x |   y |\n'
        '|:---|--------:|----:|\n'
        '| a  |    1.23 |   – |\n'
        '| b  | 123,456 |   7 |\n')


def test_new_tables_replace_the_old_and_nothing_else():
    document = replaced('# Page\n', 'one', 'first')
    document = replaced(document, 'two', 'second')
    document = document.replace('<!-- two', 'Prose.\n\n<!-- two', 1)
    again = replaced(document, 'one', r'a \d{2} table')
    assert again == document.replace('first', r'a \d{2} table')
    assert again.index('table') < again.index('Prose.') < again.index('second')
    assert replaced(again, 'one', 'first') == document


@pytest.mark.parametrize('gpu', [False, True])
def test_the_processor_is_named_beside_the_gpu(monkeypatch, gpu):
    monkeypatch.setattr(machine, 'processor', lambda: 'Some CPU')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'Some GPU')
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    name = machine.machine()
    assert name.endswith('2 threads of Some CPU' + ' and Some GPU' * gpu)
    assert f'PyTorch {torch.__version__}, MMPose ' in name

"""Results of compared models as one table."""
from comparison.table import markdown
from factories import table_rows


def result(name, seed=0, ap=.5, **changes):
    return dict(
        name=name, seed=seed, checkpoint=None,
        metrics={'coco/AP': ap, 'coco/AP .5': .75, 'coco/AP .75': .25,
                 'coco/AP (M)': -1., 'coco/AP (L)': 1 / 3, 'coco/AR': .0625},
        params=12_345_678, macs=9_876_000_000, input_size=[160, 128],
        seconds_per_image=.08, machine='a machine', starts_from=[],
        flip_test=False, own_augmentation=False) | changes


def comparison(*results):
    return dict(command='python tools/compare.py a.py b.py', steps=100,
                batch_size=16, train_data='train.json', test_data='val.json',
                test_images=30, results=list(results))


def test_the_table_by_hand():
    one = result('one')
    two = result('two', metrics=dict(one['metrics'], **{'mask/AP': .1236}),
                 seconds_per_image=.0125)
    text = markdown(comparison(one, two))
    assert text[:text.index('|')] == (
        '    python tools/compare.py a.py b.py\n'
        '\n'
        'Trained for 100 steps of 16 images of train.json, seed 0, by the '
        'schedules of the configs stretched to them.\n'
        'Tested on the 30 images of val.json.\n'
        'Multiply-adds are of one image at the input size, each counted once '
        '(published numbers may count transposed convolutions by their '
        'outputs); images/s of testing one image after the other, from pixels '
        'to persons (median), the models in turn.\n'
        'Measured with a machine.\n'
        '\n')
    shared = ['0.500', '0.750', '0.250', '–', '0.333', '0.062']
    cost = ['160x128', '12.35 M', '9.88 G']
    assert table_rows(text) == [
        ['config', 'AP', 'AP .5', 'AP .75', 'AP M', 'AP L', 'AR', 'mask AP',
         'input', 'parameters', 'multiply-adds', 'images/s'],
        ['`one`', *shared, '–', *cost, '12.5'],
        ['`two`', *shared, '0.124', *cost, '80']]


def test_the_columns_of_crowdpose():
    metrics = {f'crowdpose/{name}': value for name, value in {
        'AP': .5, 'AP .5': .75, 'AP .75': .25, 'AR': .0625, 'AR .5': .3,
        'AP(E)': .6, 'AP(M)': .4, 'AP(H)': .2}.items()}
    text = markdown(comparison(result('one', metrics=metrics)))
    columns, row = table_rows(text)
    assert columns[:9] == ['config', 'AP', 'AP .5', 'AP .75', 'AP easy',
                           'AP medium', 'AP hard', 'AR', 'input']
    assert row[:9] == ['`one`', '0.500', '0.750', '0.250', '0.600', '0.400',
                       '0.200', '0.062', '160x128']


def test_seeds_are_averaged():
    text = markdown(comparison(
        result('one', 3, .2, seconds_per_image=.1), result('other', 3),
        result('one', 5, .4, seconds_per_image=.3), result('other', 5)))
    assert 'of train.json, seeds 3, 5, by' in text
    assert 'mean ± standard deviation over the seeds' in text
    # (0.2 - 0.4) / sqrt(2) and 1 / 0.2 s; no masks, no column
    columns, one, other = table_rows(text)
    assert one[:3] == ['`one`', '0.300 ± 0.141', '0.750 ± 0.000']
    assert other[:2] == ['`other`', '0.500 ± 0.000']
    assert one[-1] == '5'
    assert 'mask AP' not in columns


def test_what_is_peculiar_is_said():
    text = markdown(comparison(
        result('one', starts_from=['a.pth', 'b.pth'], flip_test=True),
        result('two', None, checkpoint='c.pth', machine='another'),
        result('three', own_augmentation=True)))
    assert text.endswith(
        '\n\n- `one`: training started from a.pth, b.pth\n'
        '- `two`: not trained here, weights of c.pth\n'
        '- `three`: trained with an augmentation of its own\n'
        '- with the flip test: `one`\n')
    assert 'seed 0, by' in text and 'with a machine; another.' in text


def test_nothing_is_said_of_a_training_that_was_none():
    text = markdown(comparison(result('two', None, checkpoint='c.pth')))
    assert 'Trained' not in text and 'None' not in text

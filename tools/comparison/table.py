"""Results of compared models as one table in markdown.

Pure: takes what ``tools/compare.py`` writes as JSON and returns text.
"""
from statistics import mean, stdev
from typing import Dict, List, Optional, Sequence

from shared.tables import markdown_table

# Column -> a name of the keypoint metric, COCO's or CrowdPose's
KEYPOINTS = {
    'AP': 'AP',
    'AP .5': 'AP .5',
    'AP .75': 'AP .75',
    'AP M': 'AP (M)',
    'AP L': 'AP (L)',
    'AP easy': 'AP(E)',
    'AP medium': 'AP(M)',
    'AP hard': 'AP(H)',
    'AR': 'AR',
}
METRICS = {**{column: [f'{data}/{name}' for data in ('coco', 'crowdpose')]
              for column, name in KEYPOINTS.items()},
           'mask AP': ['mask/AP']}  # yapf: disable
COST = ('input', 'parameters', 'multiply-adds', 'images/s')
NONE = '–'  # also for COCO's -1: there is nothing to be found


def markdown(comparison: Dict[str, object]) -> str:
    """Write a comparison as a section of a document.

    Args:
        comparison: ``command``; ``steps`` and ``batch_size`` of the
            trainings, None where there was none; ``train_data`` and
            ``test_data``, text; ``test_images``, their number; and
            ``results``, each of one config and one seed:

            - ``name`` of the config, and ``seed``; ``checkpoint``, what was
              tested instead of trained, or None;
            - ``metrics``, their values by name;
            - ``params`` and ``macs``, of one image of ``input_size`` (w, h);
            - ``seconds_per_image`` of testing, on ``machine``, text;
            - ``starts_from``, list of weights; ``flip_test``, bool;
              ``own_augmentation``, whether it is not that of the first.

    Returns:
        The command, how it was measured, a table with a row for each config,
        and what is peculiar to some. For several seeds the table has the mean
        and standard deviation of each metric.
    """
    rows: Dict[str, List[dict]] = {}
    for result in comparison['results']:
        rows.setdefault(result['name'], []).append(result)
    parts = ['    ' + comparison['command'], _procedure(comparison, rows),
             table(rows), *_remarks(rows)]
    return '\n\n'.join(parts) + '\n'


def table(rows: Dict[str, Sequence[dict]]) -> str:
    """A row for each config; no column for a metric that none has."""
    columns = [column for column in METRICS
               if any(_value(result, column) is not None
                      for results in rows.values() for result in results)]
    return markdown_table(['config', *columns, *COST], [
        [f'`{name}`', *(
            _spread([_value(result, column) for result in results])
            for column in columns), *_cost(results)]
        for name, results in rows.items()])


def _value(result: dict, column: str) -> Optional[float]:
    """What a result has of a column; None if it has nothing."""
    found = [result['metrics'][name] for name in METRICS[column]
             if name in result['metrics']]
    return found[0] if found else None


def _spread(values: Sequence[Optional[float]]) -> str:
    """Mean and, of several values, their sample standard deviation."""
    if any(value is None or value < 0 for value in values):
        return NONE
    if len(values) == 1:
        return f'{values[0]:.3f}'
    return f'{mean(values):.3f} ± {stdev(values):.3f}'


def _cost(results: Sequence[dict]) -> List[str]:
    """What does not depend on the seed, and the mean speed."""
    first = results[0]
    speed = 1 / mean(result['seconds_per_image'] for result in results)
    return ['x'.join(map(str, first['input_size'])),
            f'{first["params"] / 1e6:.2f} M', f'{first["macs"] / 1e9:.2f} G',
            f'{speed:.3g}']


def _procedure(comparison: dict, rows: Dict[str, Sequence[dict]]) -> str:
    """How the results were obtained, in sentences."""
    trained = [result for results in rows.values() for result in results
               if result['checkpoint'] is None]
    seeds = list(dict.fromkeys(result['seed'] for result in trained))
    said = []
    if trained:
        numbers = ', '.join(map(str, seeds))
        said.append(
            f'Trained for {comparison["steps"]} steps of '
            f'{comparison["batch_size"]} images of '
            f'{comparison["train_data"]}, seed{"s" * (len(seeds) > 1)} '
            f'{numbers}, by the schedules of the configs stretched to them.')
    images = comparison['test_images']
    said.append(f'Tested on the {images} image{"s" * (images != 1)} of '
                f'{comparison["test_data"]}.')
    if len(seeds) > 1:
        said.append('Metrics are mean ± standard deviation over the seeds.')
    said.append('Multiply-adds are of one image at the input size, each '
                'counted once (published numbers may count transposed '
                'convolutions by their outputs); images/s of testing one '
                'image after the other, from pixels to persons (median), the '
                'models in turn.')
    machines = dict.fromkeys(
        result['machine'] for results in rows.values() for result in results)
    said.append(f'Measured with {"; ".join(machines)}.')
    return '\n'.join(said)


def _remarks(rows: Dict[str, Sequence[dict]]) -> List[str]:
    """A list of what sets a config apart from the others, if anything does."""
    said = []
    for name, results in rows.items():
        first = results[0]
        if first['checkpoint'] is not None:
            said.append(f'- `{name}`: not trained here, weights of '
                        f'{first["checkpoint"]}')
        elif first['starts_from']:
            said.append(f'- `{name}`: training started from '
                        f'{", ".join(first["starts_from"])}')
        if first['own_augmentation']:
            said.append(f'- `{name}`: trained with an augmentation of its own')
    flipped = [name for name in rows if rows[name][0]['flip_test']]
    if flipped and len(flipped) < len(rows):
        said.append('- with the flip test: '
                    + ', '.join(f'`{name}`' for name in flipped))
    return ['\n'.join(said)] if said else []

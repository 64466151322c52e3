"""Measure what each half of a model loses: heatmaps or association.

    python tools/oracle.py configs/ssa/ssa_r101_640.py CHECKPOINT \
        --ann-file data/coco/annotations/person_keypoints_val2017.json \
        --img-dir data/coco/val2017

Heatmaps and association (the attention, or tags) are each the model's own or
perfect, made from the annotations. Without a checkpoint both are perfect: the
upper bound of what the decoder can find.
"""
import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Dict, Optional, Sequence

from shared.arguments import add_cfg_options
from shared.tables import markdown_table

Results = Dict[str, Dict[str, float]]
# Last parts of the metrics' names, in the table
SHOWN = ('AP', 'AP .5')


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__[__doc__.index('Heatmaps and'):])
    parser.add_argument('config', help='config of an SSA model, or of one '
                        'of configs/comparisons/ with tags')
    parser.add_argument('checkpoint', nargs='?', help='weights of the model')
    parser.add_argument('--ann-file', help="annotations; the config's test "
                        'set by default')
    parser.add_argument('--img-dir', help='folder of the images')
    parser.add_argument('--ignore-unlabelled', action='store_true',
                        help='mask AP: persons without keypoints do not count')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument('--out', metavar='FILE',
                        help='write all metrics, unrounded, as JSON')
    add_cfg_options(parser, 'e.g. model.head.decoder.grouping=body_first')
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Raise ValueError or FileNotFoundError for what is seen at once."""
    if bool(args.ann_file) != bool(args.img_dir):
        raise ValueError('--ann-file and --img-dir go together')
    if args.ann_file and not Path(args.ann_file).is_file():
        raise FileNotFoundError(f'--ann-file {args.ann_file} does not exist: '
                                'give the file of the annotations')
    if args.img_dir and not Path(args.img_dir).is_dir():
        raise FileNotFoundError(f'--img-dir {args.img_dir} is not a folder: '
                                'give that of the images')
    if args.out and not Path(args.out).absolute().parent.is_dir():
        raise FileNotFoundError(f'--out {args.out}: there is no such folder')


def test_config(args: argparse.Namespace):
    """The config with the data asked for, tested on one image at a time.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is not one of a model whose outputs are known.
    """
    from mmpose_ssa.engine.loading import read_config
    cfg = read_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    codec = cfg.get('model', {}).get('head', {}).get('decoder', {}).get('type')
    if codec not in ('AttentionGrouping', 'TagGrouping'):
        raise ValueError(
            f'{args.config} decodes by {codec}; perfect outputs are known '
            'for AttentionGrouping and TagGrouping: give the config of one')
    cfg.model.pop('refiner', None)  # it looks at images, not at outputs
    cfg.test_dataloader.batch_size = 1
    if args.ann_file:
        cfg.test_dataloader.dataset.update(
            data_root='', ann_file=args.ann_file,
            data_prefix=dict(img=args.img_dir))
    for metric in cfg.test_evaluator:
        metric.pop('ann_file', None)
        if metric.type == 'PersonMaskMetric':
            metric.ignore_unlabelled = args.ignore_unlabelled
    return cfg


def build(cfg, checkpoint: Optional[str], device: str):
    """The oracle of a config's model; without weights on no device."""
    import torch
    from mmpose.registry import MODELS

    from mmpose_ssa.comparisons.oracle import TagOracle
    from mmpose_ssa.engine.loading import check_device, load_estimator
    from mmpose_ssa.evaluation.oracle import AttentionOracle
    if checkpoint:
        check_device(device)
        model = load_estimator(cfg, checkpoint, device)
    else:
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
    oracles = dict(AttentionGrouping=AttentionOracle, TagGrouping=TagOracle)
    return oracles[cfg.model.head.decoder.type](model)


def measure(args: argparse.Namespace) -> Results:
    """All metrics, by 'own + own', 'own + perfect' and so on.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If the config does not make a model, or its weights or
            the data do not fit.
    """
    check_arguments(args)
    # MMEngine logs, and COCO prints every evaluation
    with contextlib.redirect_stdout(io.StringIO()):
        return _measure(args)


def _measure(args: argparse.Namespace) -> Results:
    from mmengine.evaluator import Evaluator
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner
    from tqdm import tqdm

    from mmpose_ssa.evaluation.oracle import PAIRS, decompose
    MMLogger.get_instance('oracle', log_level='WARNING')
    try:
        cfg = test_config(args)
        init_default_scope(cfg.get('default_scope', 'mmpose'))
        oracle = build(cfg, args.checkpoint, args.device)
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        pairs = PAIRS if args.checkpoint else PAIRS[-1:]
        evaluators = {pair: Evaluator(cfg.test_evaluator) for pair in pairs}
    except (AssertionError, KeyError, TypeError) as error:
        raise ValueError(f'{args.config} cannot be built, correct it or '
                         f'--cfg-options: {error}') from error
    for evaluator in evaluators.values():
        evaluator.dataset_meta = loader.dataset.metainfo
    decompose(oracle, tqdm(loader, unit='image', disable=None), evaluators)
    return {' + '.join('perfect' if half else 'own' for half in pair):
            evaluator.evaluate(len(loader.dataset))
            for pair, evaluator in evaluators.items()}


def table(results: Results) -> str:
    """A row for each pair of outputs."""
    names = [name for name in next(iter(results.values()))
             if name.rpartition('/')[2] in SHOWN]
    return markdown_table(
        ['heatmaps + association', *names],
        [[pair, *(f'{metrics[name]:.3f}' for name in names)]
         for pair, metrics in results.items()])


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        results = measure(args)
    except (OSError, ValueError) as error:
        # that of a process which loads data is a traceback, and ends with it
        parser.error(str(error).rstrip().rpartition('\n')[2])
    if args.out:
        Path(args.out).write_text(json.dumps(results, indent=2))
    print(table(results))


if __name__ == '__main__':
    main()

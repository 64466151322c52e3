"""Measure the ceiling of a config: perfect outputs through its decoder.

    python tools/oracle.py configs/ssa/ssa_r101_640.py \
        --ann-file data/coco/annotations/person_keypoints_val2017.json \
        --img-dir data/coco/val2017
"""
import argparse
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmpose_ssa.engine.loading import read_config

# Codec -> the estimator whose outputs are perfect
CEILINGS = dict(
    AttentionGrouping='CeilingEstimator', TagGrouping='TagCeilingEstimator')


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of an SSA model, or of one '
                        'of configs/comparisons/ with tags')
    parser.add_argument('--ann-file', help="annotations; the config's test "
                        'set by default')
    parser.add_argument('--img-dir', help='folder of the images')
    parser.add_argument('--ignore-unlabelled', action='store_true',
                        help='mask AP: persons without keypoints do not count')
    parser.add_argument('--work-dir', default='work_dirs/ceiling')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        type=option, metavar='NAME=VALUE',
                        help='as in MMPose, e.g. '
                        'model.head.decoder.grouping=body_first')
    return parser


def option(text: str) -> str:
    """One of --cfg-options, which DictAction would not check."""
    if '=' not in text:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return text


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


def ceiling_config(args: argparse.Namespace) -> Config:
    """The config with perfect outputs and the data asked for.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is not one of a model whose outputs are known.
    """
    cfg = read_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.work_dir = args.work_dir
    head = cfg.get('model', {}).get('head', {})
    codec = head.get('decoder', {}).get('type')
    if codec not in CEILINGS:
        raise ValueError(
            f'{args.config} decodes by {codec}; perfect outputs are known '
            f'for {", ".join(CEILINGS)} only: give the config of one')
    cfg.model.type = CEILINGS[codec]
    cfg.model.backbone.init_cfg = None
    if args.ann_file:
        cfg.test_dataloader.dataset.update(
            data_root='', ann_file=args.ann_file,
            data_prefix=dict(img=args.img_dir))
    for evaluator in cfg.test_evaluator:
        evaluator.pop('ann_file', None)
        if evaluator.type == 'PersonMaskMetric':
            evaluator.ignore_unlabelled = args.ignore_unlabelled
    return cfg


def build(args: argparse.Namespace) -> Runner:
    """The runner of that config.

    Raises:
        ValueError: If the config does not make a model.
    """
    try:
        return Runner.from_cfg(ceiling_config(args))
    except (AssertionError, KeyError, TypeError) as error:
        raise ValueError(f'{args.config} cannot be built, correct it or '
                         f'--cfg-options: {error}') from error


def measure(args: argparse.Namespace) -> None:
    """Check the arguments, test, and print the figures."""
    check_arguments(args)
    for name, value in build(args).test().items():
        print(f'{name:12} {value:.3f}')


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    try:
        measure(args)
    except (OSError, ValueError) as error:
        # that of a process which loads data is a traceback, and ends with it
        parser.error(str(error).rstrip().rpartition('\n')[2])


if __name__ == '__main__':
    main()

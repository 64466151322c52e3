"""Measure the ceiling of a config: perfect outputs through its decoder.

    python tools/ceiling.py configs/ssa/ssa_r101_640.py \
        --ann-file data/coco/annotations/person_keypoints_val2017.json \
        --img-dir data/coco/val2017
"""
import argparse

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

CEILINGS = dict(
    SSAPoseEstimator='CeilingEstimator',
    TagPoseEstimator='TagCeilingEstimator')


def parse_args() -> argparse.Namespace:
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
                        help='as in MMPose, e.g. '
                        'model.head.decoder.grouping=body_first')
    args = parser.parse_args()
    if bool(args.ann_file) != bool(args.img_dir):
        parser.error('--ann-file and --img-dir go together')
    return args


def ceiling_config(args: argparse.Namespace) -> Config:
    """The config with perfect outputs and the data asked for."""
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.work_dir = args.work_dir
    if cfg.model.type not in CEILINGS:
        raise SystemExit(
            f'{args.config} is of a {cfg.model.type}; perfect outputs are '
            f'known for {", ".join(CEILINGS)} only')
    cfg.model.type = CEILINGS[cfg.model.type]
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


def main() -> None:
    runner = Runner.from_cfg(ceiling_config(parse_args()))
    figures = runner.test()
    for name, value in figures.items():
        print(f'{name:12} {value:.3f}')


if __name__ == '__main__':
    main()

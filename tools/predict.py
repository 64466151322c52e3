"""Find the people in images: pictures, attention and COCO-format JSON.

    python tools/predict.py IMAGE... --out predictions
    python tools/predict.py IMAGE... --config configs/ssa/ssa_r101_640.py \
        --checkpoint work_dirs/ssa_r101_640/epoch_240.pth --out predictions
"""
import argparse
from pathlib import Path
from typing import Optional, Sequence


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('images', nargs='+', metavar='IMAGE',
                        help='image files, folders, or quoted patterns')
    parser.add_argument('--config', help='config of an SSA model; with '
                        '--checkpoint. Default: the bundled model')
    parser.add_argument('--checkpoint', help='its weights')
    parser.add_argument('--out', required=True, help='folder to write to')
    parser.add_argument('--device', help='default: a GPU where there is one, '
                        'else cpu')
    parser.add_argument('--kpt-thr', type=float, default=0.1,
                        help='keypoints of a lower score are not drawn '
                        '(default: %(default)s)')
    return parser


def predict(args: argparse.Namespace) -> None:
    """Check the arguments, predict, write, and say how many were found."""
    from mmpose_ssa import SSAInferencer  # here: --help need not wait for it
    for folder in (Path(args.out), *Path(args.out).parents):
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'--out {args.out}: {folder} is not a folder')
    inferencer = SSAInferencer(args.config, args.checkpoint, args.device)
    results = list(inferencer(args.images, out_dir=args.out,
                              kpt_thr=args.kpt_thr, attention=True))
    persons = sum(len(result['predictions']) for result in results)
    print(f'{persons} persons in {len(results)} images, see {args.out}')


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        predict(args)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()

"""Find the people in images: pictures, attention and COCO-format JSON.

    python tools/predict.py IMAGE... --config configs/ssa/ssa_r101_640.py \
        --checkpoint work_dirs/ssa_r101_640/epoch_240.pth --out predictions
"""
import argparse
from pathlib import Path

from mmpose_ssa.apis.inferencer import load_model, write_predictions
from mmpose_ssa.engine.loading import check_device


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('images', nargs='+', metavar='IMAGE',
                        help='image files')
    parser.add_argument('--config', required=True,
                        help='config of an SSA model')
    parser.add_argument('--checkpoint', required=True, help='its weights')
    parser.add_argument('--out', required=True, help='folder to write to')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument('--kpt-thr', type=float, default=0.1,
                        help='keypoints of a lower score are not drawn '
                        '(default: 0.1)')
    return parser


def predict(args: argparse.Namespace) -> None:
    """Check the arguments, predict, write, and say how many were found."""
    check_device(args.device)
    for folder in (Path(args.out), *Path(args.out).parents):
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'--out {args.out}: {folder} is not a folder')
    model = load_model(args.config, args.checkpoint, args.device)
    persons = write_predictions(model, args.images, args.out, args.kpt_thr)
    print(f'{len(persons)} persons in {len(args.images)} images, see '
          f'{args.out}')


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    try:
        predict(args)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()

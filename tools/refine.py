"""Refine COCO keypoint results with any top-down model of MMPose.

    python tools/refine.py predictions/predictions.json \
        --topdown configs/transpose/transpose_r_a4_coco-256x192.py \
        work_dirs/transpose_r_a4_coco-256x192/epoch_230.pth \
        --img-dir data/coco/val2017 --out refined.json \
        --ann-file data/coco/annotations/person_keypoints_val2017.json

RESULTS.json is what tools/predict.py writes, masks included, or a test with
``CocoMetric(outfile_prefix=...)``; the masks that ``PersonMaskMetric`` writes
beside it are given by --masks.
"""
import argparse
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional

from mmengine.fileio import dump

from mmpose_ssa.apis.refined_results import (check_names, check_places,
                                             image_files, read_annotations,
                                             read_results, refine_results,
                                             with_masks)
from mmpose_ssa.engine.loading import check_device, check_files
from mmpose_ssa.evaluation.keypoint_metric import (ground_truth, has_keypoints,
                                                   keypoint_figures)
from mmpose_ssa.models.refiner import Refiner


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', metavar='RESULTS.json',
                        help='keypoint results in COCO format')
    parser.add_argument('--topdown', required=True, nargs=2,
                        metavar=('CONFIG', 'CHECKPOINT'),
                        help='config and weights of the top-down model')
    parser.add_argument('--img-dir', required=True,
                        help='folder of the images')
    parser.add_argument('--ann-file', help='COCO file that lists the images; '
                        'if it has keypoints, AP is printed before and after. '
                        'Needed unless the results name their files')
    parser.add_argument('--masks', metavar='MASKS.json',
                        help="the persons' masks, of the same test")
    parser.add_argument('--out', required=True, help='file to write')
    parser.add_argument('--no-fill', action='store_true',
                        help='leave missing keypoints missing (Refinement#1)')
    parser.add_argument('--rescore', action='store_true',
                        help='make the instance score anew, the mean of the '
                        'keypoint scores')
    parser.add_argument('--batch-size', type=int, default=32,
                        help='boxes at a time (default: 32)')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Raise ValueError or OSError for what need not wait for the work."""
    check_device(args.device)
    check_files(*args.topdown)
    if Path(args.out).is_dir():
        raise ValueError(f'--out {args.out} is a folder: name a file in it')
    for folder in Path(args.out).parents:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'--out {args.out}: {folder} is not a folder')


def refine(args: argparse.Namespace) -> None:
    """Read, refine, write, and print the figures."""
    check_arguments(args)
    results = read_results(args.results)
    if args.masks:
        results = with_masks(results, read_results(args.masks, 'segmentation'))
    annotations = read_annotations(args.ann_file) if args.ann_file else None
    files = image_files(results, args.img_dir, annotations)
    check_places(results, annotations)
    refiner = Refiner(*args.topdown, batch_size=args.batch_size)
    check_names(refiner, results, annotations)
    evaluate = evaluation(refiner, annotations)
    before = evaluate(results)
    refined = refine_results(refiner, results, files, not args.no_fill,
                             args.rescore, args.device)
    dump(refined, args.out)
    print(f'\n{len(refined)} persons in {len(files)} images, see {args.out}')
    print_table(before, evaluate(refined))
    if before and len(files) < len(annotations['images']):
        print(f'of all {len(annotations["images"])} images of '
              f'{args.ann_file}, of which the results have {len(files)}')


def evaluation(refiner: Refiner, annotations: Optional[dict]
               ) -> Callable[[List[dict]], Dict[str, float]]:
    """What gives results their figures: none where no keypoints are."""
    if not (annotations and has_keypoints(annotations)):
        return lambda results: {}
    # Those of the data set, which check_names has compared
    sigmas = refiner.model.dataset_meta['sigmas']
    truth = ground_truth(annotations, len(sigmas))
    return partial(keypoint_figures, truth, sigmas=sigmas)


def print_table(before: Dict[str, float], after: Dict[str, float]) -> None:
    if before:
        print('         before  after')
    for name in before:
        print(f'{name:8} {before[name]:6.3f} {after[name]:6.3f}')


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    try:
        refine(args)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()

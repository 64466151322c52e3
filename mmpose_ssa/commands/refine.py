"""refine keypoint results

Refine COCO keypoint results with any top-down model of MMPose.

RESULTS.json is the file that `mmpose-ssa predict` writes, including masks, or
that a test with CocoMetric(outfile_prefix=...) writes. In the second case,
give the masks that PersonMaskMetric writes beside it with --masks.
"""
import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `refine`."""
    parser.add_argument('results', metavar='RESULTS.json',
                        help='keypoint results in COCO format')
    parser.add_argument('--topdown', required=True, nargs=2,
                        metavar=('CONFIG', 'CHECKPOINT'),
                        help='config and weights of the top-down model')
    parser.add_argument('--img-dir', required=True,
                        help='folder of the images')
    parser.add_argument('--ann-file', help='COCO file that lists the images; '
                        'if it has keypoints, AP before and after is printed. '
                        'Needed unless the results name their files')
    parser.add_argument('--masks', metavar='MASKS.json',
                        help="file of the persons' masks, from the same test")
    parser.add_argument('--out', required=True, help='file to write')
    parser.add_argument('--no-fill', action='store_true',
                        help='leave missing keypoints missing (Refinement#1)')
    parser.add_argument('--rescore', action='store_true',
                        help='set the score of each person to the mean of '
                        'its keypoint scores')
    parser.add_argument('--batch-size', type=int, default=32,
                        help='boxes per batch (default: 32)')
    parser.add_argument('--device', default='cpu', help='default: cpu')


def run(args: argparse.Namespace) -> int:
    """Read, refine, write, and print AP before and after."""
    from ..apis import refined_results as refining
    from ..apis.results import counted
    from ..engine.loading import check_device, check_files
    from ..models.refiner import Refiner
    check_device(args.device)
    check_files(*args.topdown)
    check_out(args.out)
    results = refining.read_result_file(args.results)
    if args.masks:
        results = refining.with_masks(
            results, refining.read_result_file(args.masks, 'segmentation'))
    annotations = None
    if args.ann_file:
        annotations = refining.of_category(
            refining.read_annotation_file(args.ann_file), results)
    files = refining.image_files(results, args.img_dir, annotations)
    refining.check_places(results, annotations)
    refiner = Refiner(*args.topdown, batch_size=args.batch_size)
    refining.check_names(refiner, results, annotations)
    score = refining.scorer(refiner, annotations)
    before = score(results)
    refined = refining.refine_results(refiner, results, files,
                                      not args.no_fill, args.rescore,
                                      args.device)
    refining.write_results(refined, args.out)
    print(f'\n{counted(len(refined), "person")} in '
          f'{counted(len(files), "image")}, see {args.out}')
    print_table(before, score(refined))
    if before and len(files) < len(annotations['images']):
        print(f'of all {len(annotations["images"])} images of '
              f'{args.ann_file}, of which the results have {len(files)}')
    return 0


def check_out(out: str) -> None:
    """Raise ValueError unless a file can be written there."""
    if Path(out).is_dir():
        raise ValueError(f'--out {out} is a folder: name a file in it')
    for folder in Path(out).parents:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'--out {out}: {folder} is not a folder')


def print_table(before: dict, after: dict) -> None:
    from tabulate import tabulate
    if before:
        print(tabulate([[name, before[name], after[name]] for name in before],
                       ['', 'before', 'after'], floatfmt='.3f'))

"""make synthetic people

Make a data set of synthetic people in COCO format.
"""
import argparse
import time

MIN_HEIGHT = .25  # of people in videos, too


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `synthesize`."""
    parser.add_argument('out', help="folder to write, in COCO's layout")
    parser.add_argument('--train', type=int, default=2000,
                        help='number of training images (default: 2000)')
    parser.add_argument('--val', type=int, default=200,
                        help='number of validation images (default: 200)')
    parser.add_argument('--videos', type=int, metavar='N',
                        help='make N videos of people who walk, with '
                        'track_id, instead of images')
    parser.add_argument('--frames', type=int, default=48,
                        help='frames of each video (default: 48)')
    parser.add_argument('--size', type=int, default=320,
                        help='width and height in pixels (default: 320)')
    parser.add_argument('--max-people', type=int, default=5,
                        help='most people in an image: 1 to 5, or 1 to 12 '
                        'with --min-people (default: 5)')
    parser.add_argument('--min-people', type=int, default=0,
                        help='fewest people in an image, for crowds: all '
                        'numbers up to --max-people are equally likely')
    parser.add_argument('--min-height', type=float, default=MIN_HEIGHT,
                        help='smallest height of an upright person, as a '
                        "fraction of the image's (default: %(default)s)")
    parser.add_argument('--seed', type=int, default=0,
                        help='the same seed gives the same data (default: 0)')
    parser.add_argument('--workers', type=int, default=2,
                        help='number of processes (default: 2)')


def run(args: argparse.Namespace) -> int:
    """Make the data set, and print what it contains."""
    from tqdm import tqdm

    from ..synthetic import write_dataset, write_videos
    begin = time.perf_counter()
    with tqdm(unit='img', delay=.5) as bar:

        def progress(done, total):
            bar.total = total
            bar.update()

        if args.videos is not None:
            if args.min_people or args.min_height != MIN_HEIGHT:
                raise ValueError('--min-people and --min-height are for '
                                 'images: leave them out with --videos')
            made = write_videos(args.out, args.videos, args.frames, args.size,
                                args.seed, args.max_people, progress=progress)
            print(f'{args.out}: ' + ', '.join(
                f'{number} {name}' for name, number in made.items()))
            return 0
        result = write_dataset(args.out, args.train, args.val, args.size,
                               args.seed, args.workers, progress,
                               args.max_people, args.min_height,
                               args.min_people)
    persons, seconds = result['persons'], time.perf_counter() - begin
    print(f'{args.out}: {result["images"]} images ({result["new"]} new), '
          f'{persons} person{"s" * (persons != 1)}, '
          f'{result["overlapping"] / max(persons, 1):.0%} overlap another, '
          f'{seconds:.1f} s')
    return 0

"""find people in images and videos

Find the people in images and videos: keypoints, masks, pictures and
COCO-format JSON.
"""
import argparse
import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Dict, Optional, Sequence

from .options import add_model, check_model, parse_options, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `predict`."""
    add = parser.add_argument
    add('inputs', nargs='+', metavar='INPUT',
        help='image or video file or its URL, folder of these, quoted '
        'pattern, or webcam')
    add('--out', required=True, metavar='DIR', help='folder to write to')
    add_model(parser)
    add('--device', help='default: a GPU where there is one, else cpu')
    add('--batch-size', type=int, default=1, metavar='N',
        help='number of images that go through the model together (default: '
        '%(default)s)')
    add('--tiles', type=int, metavar='PIXELS',
        help='also find people in overlapping tiles with this side length: '
        'for crowds and panoramas')
    add('--person-thr', type=float, default=0., metavar='SCORE',
        help='persons of a lower score are left out (default: %(default)s)')
    add('--kpt-thr', type=float, default=0.1, metavar='SCORE',
        help='keypoints of a lower score are not drawn (default: '
        '%(default)s)')
    add('--draw-thr', type=float, default=0.1, metavar='SCORE',
        help='persons of a lower score are not drawn, but are in the JSON '
        '(default: %(default)s)')
    add('--no-pictures', action='store_true', help='write only the JSON')
    add('--attention', action='store_true', help='also draw where four '
        'keypoints of each image attend')
    add('--track', action='store_true', help='give each person of a video '
        'an id that stays the same: track_id in the JSON, and a colour')
    add('--track-thr', type=float, metavar='SCORE',
        help='persons of a lower score get no new id (default: '
        "the config's tracking.birth_thr: 0.1 in photos, otherwise 0.2)")
    add('--ann-file', metavar='JSON', help='use the image ids of this '
        'annotation file, so that the results can be scored against it')


def run(args: argparse.Namespace) -> int:
    """Predict, write each result at once, and print a summary.

    Returns:
        The exit status: 1 if an input could not be read, else 0.
    """
    check_arguments(args)
    from ..apis.inputs import find_images
    total = number_of_images(find_images(args.inputs))
    options = parse_options(args.cfg_options)
    if args.track_thr is not None:
        options['tracking.birth_thr'] = args.track_thr
    from tqdm import tqdm

    from ..apis.inferencer import SSAInferencer
    inferencer = SSAInferencer(args.config or args.model, args.checkpoint,
                               args.device, options)
    persons = images = 0
    errors = []
    results = inferencer(
        args.inputs, batch_size=args.batch_size, tiles=args.tiles,
        out_dir=args.out, person_thr=args.person_thr, kpt_thr=args.kpt_thr,
        draw_thr=args.draw_thr, pictures=not args.no_pictures,
        attention=args.attention,
        track=args.track,
        image_ids=image_ids(args.ann_file), on_error='skip')
    for result in tqdm(results, total=total, unit='image', disable=None):
        if 'error' in result:
            errors.append(result['error'])
            continue
        images += 1
        persons += len(result['predictions'])
    from ..apis.results import counted
    print(f'{counted(persons, "person")} in {counted(images, "image")}, see '
          f'{args.out}')
    if images and not persons:
        print('Nobody was found. A lower threshold finds more, for instance '
              '--cfg-options model.head.decoder.score_threshold=0.05'
              + (' or a lower --person-thr' if args.person_thr > 0 else ''))
    for error in errors:
        print(f'error: {printable(error)}', file=sys.stderr)
    return 1 if errors else 0


def check_arguments(args: argparse.Namespace) -> None:
    """Raise OSError or ValueError before anything slow is imported."""
    check_model(args)
    for folder in (Path(args.out), *Path(args.out).parents):
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'--out {args.out}: {folder} is not a folder')


def number_of_images(found: Sequence[tuple]) -> Optional[int]:
    """How many images and frames, as far as the videos declare it."""
    from ..apis.inputs import Video, is_video
    total = 0
    for _, given in found:
        frames = 1
        if is_video(given):
            try:
                frames = Video(given).length
            except ValueError:  # reported when its turn comes
                frames = 1
        if not frames:
            return None
        total += frames
    return total


def image_ids(ann_file: Optional[str]) -> Optional[Dict[str, int]]:
    """Image ids by ``file_name``, and by its last part where that is unique.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it lists no images.
    """
    if ann_file is None:
        return None
    from ..annotations.reading import read_json
    content = read_json(ann_file)
    try:
        listed = {image['file_name']: image['id']
                  for image in content['images']}
        last = Counter(PurePosixPath(name).name for name in listed)
        if any(type(number) is not int for number in listed.values()) or \
                len(listed) < len(content['images']):
            raise ValueError('ids are not integers, or names are repeated')
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{ann_file} lists no images with file_name and id: '
                         f'give a COCO annotation file ({error})') from error
    short = {PurePosixPath(name).name: number
             for name, number in listed.items()}
    return {**{name: number for name, number in short.items()
               if last[name] == 1}, **listed}

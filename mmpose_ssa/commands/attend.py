"""show where a place of an image attends

Draw where one place attends, given in pixels or as a keypoint, in the
supervised layer or another one. A second model's attention can be drawn beside
it. Writes the picture and, as .npy files beside it, the attention on the image
(H, W) and on the token grid (h, w).
"""
import argparse
from pathlib import Path
from typing import Tuple

from .options import add_model, check_model, parse_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `attend`."""
    add = parser.add_argument
    add('image', metavar='IMAGE', help='an image file')
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument('--at', metavar='X,Y', help='a place, in pixels')
    place.add_argument('--keypoint', metavar='NAME', help='for instance nose')
    add('--person', type=int, default=1, metavar='N',
        help='person of --keypoint, 1 for the best (default: 1)')
    add('--layer', type=int, metavar='N',
        help='layer, counted from 1 (default: the supervised one)')
    add('--beside', nargs=2, metavar=('CONFIG', 'CHECKPOINT'),
        help='second model, whose attention is drawn beside the first')
    add('--out', required=True, metavar='FILE.png', help='picture to write')
    add_model(parser)
    add('--device', help='default: a GPU where there is one, else cpu')


def run(args: argparse.Namespace) -> int:
    """Draw the attention, write the files and print their names."""
    check_model(args)
    options = parse_options(args.cfg_options)
    out = Path(args.out)
    if out.suffix.lower() not in ('.png', '.jpg'):
        raise ValueError(f'--out {out}: give a file that ends in .png')
    if not Path(args.image).is_file():
        raise FileNotFoundError(f'{args.image} does not exist: give an image')
    place = parse_place(args.at) if args.at else None
    import numpy as np

    from ..apis.attend import attention_at, attention_picture, keypoint_place
    from ..apis.inferencer import SSAInferencer
    from ..apis.writing import write_picture
    from ..datasets.loading import LoadCheckedImage
    image = LoadCheckedImage()(dict(img_path=args.image))['img']
    first = SSAInferencer(args.config or args.model, args.checkpoint,
                          args.device, options)
    if place is None:
        place = keypoint_place(first, image, args.keypoint, args.person)
    models = {'': first}
    if args.beside:
        models['_beside'] = SSAInferencer(*args.beside, args.device)
    attended = {name: attention_at(model, image, place, args.layer)
                for name, model in models.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(str(out), attention_picture(
        image, list(attended.values()),
        [f'{Path(m.model.cfg.filename).stem}: {a.layer}'
         for m, a in zip(models.values(), attended.values())]))
    for name, found in attended.items():
        np.save(out.with_name(f'{out.stem}{name}.npy'), found.image)
        np.save(out.with_name(f'{out.stem}{name}_tokens.npy'), found.tokens)
    print(f'{out}: attention at ({place[0]:.0f}, {place[1]:.0f}); its values '
          f'are in {out.stem}*.npy beside it')
    return 0


def parse_place(text: str) -> Tuple[float, float]:
    """Read X,Y.

    Raises:
        ValueError: If it is not two numbers.
    """
    try:
        x, y = map(float, text.split(','))
    except ValueError as error:
        raise ValueError(f'--at {text}: give two numbers, for instance '
                         '120,80') from error
    return x, y

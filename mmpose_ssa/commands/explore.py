"""make an interactive page that shows the attention of an image

Write one self-contained page: point to see where a place attends, click to
find the person there, correct persons and download them as COCO JSON. It needs
no server and no network.
"""
import argparse
from pathlib import Path

from ..files import write_whole
from .options import add_model, check_model, parse_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `explore`."""
    add = parser.add_argument
    add('image', metavar='IMAGE', help='an image file')
    add('-o', '--out', required=True, metavar='FILE.html',
        help='page to write')
    add_model(parser)
    add('--device', help='default: a GPU where there is one, else cpu')


def run(args: argparse.Namespace) -> int:
    """Write the page, and say how large it is."""
    check_model(args)
    options = parse_options(args.cfg_options)
    if not Path(args.image).is_file():
        raise FileNotFoundError(f'{args.image} does not exist: give an image')
    from ..apis.explore import page
    from ..apis.inferencer import SSAInferencer
    from ..datasets.loading import LoadCheckedImage
    image = LoadCheckedImage()(dict(img_path=args.image))['img']
    inferencer = SSAInferencer(args.config or args.model, args.checkpoint,
                               args.device, options)
    text = page(inferencer, image, Path(args.image).name)
    write_whole(text, args.out)
    print(f'{args.out}: {len(text) / 1e6:.1f} MB; open it in a browser')
    return 0

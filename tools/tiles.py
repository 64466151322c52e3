"""Compare tiles with whole images on large crowds of synthetic people.

    python tools/tiles.py --images 4 --side 2000
"""
import argparse
import json
import tempfile
from pathlib import Path
from typing import List, Optional, Sequence, Tuple


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--images', type=int, default=4, help='default: %(default)s')
    add('--side', type=int, default=2000,
        help='side of an image in pixels (default: %(default)s)')
    add('--scene', type=int, default=250,
        help='side of the scenes that make up an image '
        '(default: %(default)s)')
    add('--tiles', type=int, nargs='+', default=[250, 400],
        help='sides of tiles in pixels (default: %(default)s)')
    add('--seed', type=int, default=0)
    add('--model', choices=('demo', 'photos'), default='demo')
    return parser


def crowd(side: int, scene: int, seed: int) -> Tuple[object, List[dict]]:
    """A mosaic of scenes, and its annotations.

    Args:
        side: Of the image in pixels.
        scene: Of a scene; it must divide the side.
        seed: Of the random numbers.
    """
    import numpy as np

    from mmpose_ssa.synthetic.scene import draw_scene
    image = np.zeros((side, side, 3), np.uint8)
    annotations = []
    number = side // scene
    for i in range(number**2):
        y, x = (scene * part for part in divmod(i, number))
        drawn = draw_scene([seed, i], scene, max_people=3, min_height=.5)
        image[y:y + scene, x:x + scene] = drawn.image
        for annotation in drawn.annotations:
            if not annotation['iscrowd']:
                annotations.append(moved(annotation, x, y))
    return image, annotations


def moved(annotation: dict, x: int, y: int) -> dict:
    """An annotation of polygons, moved on a larger image."""
    points = list(annotation['keypoints'])
    for k in range(0, len(points), 3):
        if points[k + 2]:
            points[k] += x
            points[k + 1] += y
    x0, y0, w, h = annotation['bbox']
    polygons = [
        [value + (y if n % 2 else x) for n, value in enumerate(polygon)]
        for polygon in annotation['segmentation']]
    return dict(annotation, keypoints=points, bbox=[x0 + x, y0 + y, w, h],
                segmentation=polygons)


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.side % args.scene:
        parser.error(f'--side {args.side} must be a multiple of --scene '
                     f'{args.scene}')
    import time

    from shared.tables import markdown_table

    from mmpose_ssa.apis.inferencer import SSAInferencer
    inferencer = SSAInferencer(args.model)
    images, people = [], []
    for number in range(args.images):
        image, annotations = crowd(args.side, args.scene, args.seed + number)
        images.append(image)
        people += [dict(a, image_id=number) for a in annotations]
    rows = []
    for tiles in (None, *args.tiles):
        begin = time.perf_counter()
        found = [person for number, image in enumerate(images)
                 for result in inferencer(image, tiles=tiles)
                 for person in [dict(p, image_id=number)
                                for p in result['predictions']]]
        seconds = (time.perf_counter() - begin) / len(images)
        rows.append([str(tiles or 'whole image'), len(found),
                     *(f'{ap:.3f}' for ap in scores(
                         people, found, args.side, len(images))),
                     f'{seconds:.2f}'])
    print(f'{len(people)} people in {len(images)} images\n')
    print(markdown_table(['tiles', 'found', 'AP', 'mask AP', 's per image'],
                         rows))


def scores(people: List[dict], found: List[dict], side: int,
           number: int) -> List[float]:
    """Keypoint and mask AP by COCO's rules, but with any number of people."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from mmpose_ssa.diagnosis.results import without_printing
    truth = dict(
        images=[dict(id=i, width=side, height=side) for i in range(number)],
        annotations=[dict(a, id=n + 1) for n, a in enumerate(people)],
        categories=[dict(id=1, name='person')])
    values = []
    with tempfile.TemporaryDirectory() as folder, without_printing():
        path = Path(folder) / 'truth.json'
        path.write_text(json.dumps(truth))
        coco = COCO(str(path))
        for kind in ('keypoints', 'segm'):
            results = [dict(p) for p in found]
            evaluation = COCOeval(coco, coco.loadRes(results), kind)
            evaluation.params.maxDets = [1000]
            evaluation.evaluate()
            evaluation.accumulate()
            precision = evaluation.eval['precision'][:, :, 0, 0, -1]
            values.append(float(precision[precision > -1].mean()))
    return values


if __name__ == '__main__':
    main()

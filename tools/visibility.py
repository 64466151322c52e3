"""How well `keypoints_hidden_by` agrees with COCO's visibility v = 1 or 2."""
import argparse
from typing import List, NamedTuple, Optional, Sequence

import numpy as np


class Found(NamedTuple):
    """A labelled keypoint that was found, and what is known of it."""
    annotated: int  # 1 hidden, 2 visible
    hidden: bool  # as the model says


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann_file', help='COCO annotations with keypoints')
    parser.add_argument('img_dir', help='folder of the images')
    parser.add_argument(
        '--model', default='photos', choices=('photos', 'demo'))
    args = parser.parse_args(argv)
    from shared.tables import markdown_table
    found = measure(args.ann_file, args.img_dir, args.model)
    hidden = np.array([f.annotated == 1 for f in found])
    told = np.array([f.hidden for f in found])
    right = (hidden & told).sum()
    print(markdown_table(
        ['model', 'keypoints', 'hidden', 'reported hidden', 'precision',
         'recall'],
        [[args.model, len(found), hidden.sum(), told.sum(),
          f'{right / max(told.sum(), 1):.3f}',
          f'{right / max(hidden.sum(), 1):.3f}']]))


def measure(ann_file: str, img_dir: str, model: str) -> List[Found]:
    """Collect the keypoints that were found, of all annotated persons.

    An annotated person is matched with the predicted one of the highest OKS,
    if that is 0.5 or more. A keypoint counts as found if its own similarity
    is more than 0.5.
    """
    from tqdm import tqdm

    from mmpose_ssa.annotations.reading import read_json
    from mmpose_ssa.apis.inferencer import SSAInferencer
    inferencer = SSAInferencer(model)
    sigmas = np.asarray(inferencer.model.dataset_meta['sigmas'])
    content = read_json(ann_file)
    paths = [f'{img_dir}/{image["file_name"]}' for image in content['images']]
    found: List[Found] = []
    results = inferencer(paths)
    for image, result in zip(content['images'], tqdm(results, disable=None)):
        persons = result['predictions']
        if not persons:
            continue
        points = np.array([p['keypoints'] for p in persons]).reshape(
            len(persons), -1, 3)
        hidden = np.array([p['keypoints_hidden_by'] for p in persons]) >= 0
        for annotation in content['annotations']:
            if annotation['image_id'] == image['id']:
                found += matched(annotation, points, hidden, sigmas)
    return found


def matched(annotation: dict, points: np.ndarray, hidden: np.ndarray,
            sigmas: np.ndarray) -> List[Found]:
    """Those of one annotated person among P predicted ones.

    Args:
        annotation: COCO's.
        points: (P, K, 3), x, y and score in image pixels.
        hidden: (P, K), whether a keypoint is said to be hidden.
        sigmas: (K,), OKS's.
    """
    truth = np.reshape(annotation['keypoints'], (-1, 3))
    labelled = truth[:, 2] > 0
    if annotation.get('iscrowd') or not labelled.any():
        return []
    squares = ((points[..., :2] - truth[:, :2])**2).sum(axis=-1)  # (P, K)
    similarity = np.exp(
        -squares / (2 * (2 * sigmas)**2 * max(annotation['area'], 1)))
    oks = similarity[:, labelled].mean(axis=1)
    best = oks.argmax()
    if oks[best] < 0.5:
        return []
    near = labelled & (similarity[best] > 0.5) & (points[best, :, 2] > 0)
    return [Found(int(truth[k, 2]), bool(hidden[best, k]))
            for k in np.flatnonzero(near)]


if __name__ == '__main__':
    main()

"""Compare ways to keep ids, on videos of synthetic people with true ids."""
import argparse
from typing import (Any, Dict, Iterable, List, NamedTuple, Optional, Sequence,
                    Tuple)

import numpy as np

SIZE = 320  # pixels of a side of the videos
METHODS = {
    'mask IoU + OKS': dict(method='overlap', motion=False),
    'mask IoU + OKS, motion': dict(method='overlap'),
    'attention': dict(method='attention'),
    'attention + mask IoU + OKS': dict(method='both', motion=False),
    'attention + mask IoU + OKS, motion': dict(method='both'),
}


class Scored(NamedTuple):
    """A frame: who is there, who was found, and how well both fit."""
    true_ids: List[int]
    persons: Any  # P of them, FramePersons
    fair: np.ndarray  # (P,) False: somebody who is not annotated, ignored
    distances: np.ndarray  # (N, P): 1 - mask IoU, NaN above 0.5


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--videos', type=int, default=20,
                        help='number of videos (default: 20)')
    parser.add_argument('--frames', type=int, default=48,
                        help='frames of each video (default: 48)')
    parser.add_argument('--seed', type=int, default=1,
                        help='seed of the videos (default: 1)')
    parser.add_argument('--person-thr', type=float, default=.1,
                        help='persons of a lower score are left out '
                        '(default: 0.1)')
    args = parser.parse_args(argv)
    from shared.tables import markdown_table
    from tqdm import tqdm

    from mmpose_ssa.apis.inferencer import SSAInferencer
    inferencer = SSAInferencer('demo', device='cpu')
    sigmas = np.asarray(inferencer.model.dataset_meta['sigmas'])
    videos = (found_in_video(inferencer, (args.seed, number), args.frames,
                             args.person_thr)
              for number in tqdm(range(args.videos), disable=None))
    rows = [[name, *row] for name, row in compare(videos, sigmas).items()]
    print(markdown_table(
        ['ids by', 'IDF1', 'id switches', 'MOTA', 'ids given', 'persons'],
        rows))


def found_in_video(inferencer, seed: Sequence[int], frames: int,
                   person_thr: float) -> List[Scored]:
    """Run the model on a video of synthetic people."""
    import pycocotools.mask as coco_mask

    from mmpose_ssa.synthetic import draw_video
    scored = []
    for image, annotations in draw_video(seed, frames, SIZE):
        persons, rles = find(inferencer, image, person_thr)
        truth = [coco_mask.merge(coco_mask.frPyObjects(
            a['segmentation'], *image.shape[:2])) for a in annotations]
        distances = np.ones((len(truth), len(rles)))
        if truth and rles:
            distances -= coco_mask.iou(rles, truth, [0] * len(truth)).T
        scored.append(score(
            [a['track_id'] for a in annotations],
            np.array([a['num_keypoints'] > 0 for a in annotations], bool),
            persons, distances))
    return scored


def score(true_ids: List[int], labelled: np.ndarray, persons: Any,
          distances: np.ndarray) -> Scored:
    """Leave out those without keypoints, who need not be found but may be.

    Args:
        true_ids: N.
        labelled: (N,), whether they have keypoints.
        persons: P found ones.
        distances: (N, P), 1 - mask IoU.
    """
    fair = np.ones(distances.shape[1], bool)
    if distances.size:
        fair = labelled[distances.argmin(axis=0)] | (
            distances.min(axis=0) > .5)
    near = np.where(distances > .5, np.nan, distances)
    return Scored([i for i, counts in zip(true_ids, labelled) if counts],
                  persons, fair, near[labelled])


def find(inferencer, image: np.ndarray, person_thr: float) -> Tuple:
    """The persons of a frame with their attention, and their masks' RLE."""
    from mmpose_ssa.apis.tracks import frame_persons
    from mmpose_ssa.decoding.coordinates import input_from_image, tokens_at
    from mmpose_ssa.tracking import FrameAttention
    kept: list = []
    model = inferencer.model
    handle = model.neck.register_forward_hook(
        lambda module, given, made: kept.append(made[0]))
    try:
        sample = inferencer.infer(image)
    finally:
        handle.remove()
    found = sample.pred_instances
    found = found[np.asarray(found.bbox_scores) >= person_thr]
    options, attention = model.head.decoder.options, kept[0]
    scale, offset = input_from_image(sample.metainfo)
    tokens = tokens_at(found.keypoints * scale + offset,
                       options.token_stride, attention.grid)
    maps = np.reshape(found.attention_maps,
                      (len(tokens), attention.q.shape[2]))
    attended = FrameAttention(
        attention.q[0].numpy(), attention.k[0].numpy(),
        np.where(found.keypoint_scores > 0, tokens, -1),
        maps > options.mask_threshold)
    persons = frame_persons(found, image.shape)
    return persons._replace(attention=attended), list(found.masks)


def compare(videos: Iterable[Sequence[Scored]],
            sigmas: np.ndarray) -> Dict[str, List[str]]:
    """IDF1, id switches, MOTA, ids given and persons of each method."""
    import motmetrics

    from mmpose_ssa.tracking import Tracker, TrackOptions
    accumulators: Dict[str, list] = {name: [] for name in METHODS}
    given = dict.fromkeys(METHODS, 0)
    for video in videos:
        for name, options in METHODS.items():
            tracker = Tracker(sigmas, TrackOptions(**options))
            events = motmetrics.MOTAccumulator(auto_id=True)
            seen: set = set()
            for frame in video:
                ids = tracker.update(frame.persons, SIZE)
                told = frame.fair & (ids > 0)
                events.update(frame.true_ids, ids[told].tolist(),
                              frame.distances[:, told])
                seen |= set(ids[ids > 0].tolist())
            accumulators[name].append(events)
            given[name] += len(seen)
    names = ['idf1', 'num_switches', 'mota', 'num_unique_objects']
    table = {}
    for name in METHODS:
        overall = motmetrics.metrics.create().compute_many(
            accumulators[name], metrics=names, generate_overall=True
        ).loc['OVERALL']
        table[name] = [f'{overall.idf1:.3f}', f'{overall.num_switches:.0f}',
                       f'{overall.mota:.3f}', str(given[name]),
                       f'{overall.num_unique_objects:.0f}']
    return table


if __name__ == '__main__':
    main()

"""Large images, found tile by tile; see :mod:`mmpose_ssa.decoding.tiles`."""
from typing import List, Sequence, Tuple

import numpy as np
import pycocotools.mask as coco_mask
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from ..decoding.keypoints import keypoint_extents
from ..decoding.tiles import Window, join_tiles, on_image, tile_windows

BATCH = 8  # tiles that go through the model together


def infer_tiles(inferencer, image: np.ndarray, side: int,
                overlap: float = 0.5) -> PoseDataSample:
    """Find the people of a large image in tiles, and in all of it.

    Args:
        inferencer: An :class:`SSAInferencer` of a model with masks.
        image: (H, W, 3) BGR.
        side: Of a tile, in pixels of the image; a person should fit in.
        overlap: Share of a side that neighbouring tiles have in common.

    Returns:
        A sample whose ``pred_instances`` are those of :meth:`infer`, without
        attention maps: of a joined person the best keypoint of each type and
        all masks together.

    Raises:
        ValueError: If the model gives no masks.
    """
    height, width = image.shape[:2]
    windows = tile_windows(width, height, side, overlap)
    whole = (0, 0, width, height)
    if whole not in windows:  # those who are larger than a tile
        windows.append(whole)
    found: List[InstanceData] = []
    for start in range(0, len(windows), BATCH):
        found += [sample.pred_instances for sample in inferencer.infer_batch([
            np.ascontiguousarray(image[y0:y1, x0:x1])
            for x0, y0, x1, y1 in windows[start:start + BATCH]])]
    if any('masks' not in persons for persons in found):
        raise ValueError('tiles are joined by masks, which this model does '
                         'not give: predict without tiles')
    sample = PoseDataSample(metainfo=dict(ori_shape=(height, width)))
    sample.pred_instances = joined(found, windows, width, height)
    return sample


def joined(found: Sequence[InstanceData], windows: Sequence[Window],
           width: int, height: int) -> InstanceData:
    """The persons of all tiles as persons of the image, best first.

    Args:
        found: For each tile its persons, in its pixels.
        windows: Of the tiles.
        width: Of the image.
        height: Of the image.
    """
    keypoints, scores, filled, hidden, tiles, masks = _placed(
        found, windows, width, height)
    groups = join_tiles(masks, tiles, windows, [s.mean() for s in scores])
    owner = np.full(len(masks) + 1, -1)  # the last one: of nobody
    for i, group in enumerate(groups):
        owner[group] = i
    count = found[0].keypoints.shape[1]
    # (P, K), which person of a tile gives each keypoint: found ones go before
    # filled ones, then the higher score
    best = np.array([
        np.array(group)[np.argmax([
            scores[p] + 10. * (~filled[p] & (scores[p] > 0)) for p in group
        ], axis=0)] for group in groups], int).reshape(-1, count)
    kinds = np.arange(count)
    by = owner[np.reshape(hidden, (-1, count)).astype(int)[best, kinds]]
    by = np.where(by == np.arange(len(groups))[:, None], -1, by)
    persons = InstanceData(
        keypoints=np.reshape(keypoints, (-1, count, 2))[best, kinds],
        keypoint_scores=np.reshape(scores, (-1, count))[best, kinds],
        keypoints_filled=np.reshape(filled, (-1, count))[best, kinds].astype(
            bool))
    sure = persons.keypoint_scores * ~persons.keypoints_filled
    order = np.argsort(-sure.mean(axis=1), kind='stable')
    persons.keypoints_hidden_by = np.append(np.argsort(order), -1)[by]
    persons.bbox_scores = sure.mean(axis=1)
    persons.bboxes = keypoint_extents(persons.keypoints,
                                      persons.keypoint_scores)
    persons.masks = [_union([masks[p] for p in group]) for group in groups]
    return persons[order]


def _placed(found: Sequence[InstanceData], windows: Sequence[Window],
            width: int, height: int) -> Tuple[list, ...]:
    """All persons in pixels of the image, those of one tile after another.

    Returns:
        Of each person keypoints (K, 2), scores (K,), which are filled (K,)
        and the person who hides each (K,), counted among all; tile and mask.
    """
    keypoints, scores, filled, hidden, tiles, masks = parts = tuple(
        [] for _ in range(6))
    for tile, (persons, window) in enumerate(zip(found, windows)):
        before = len(tiles)
        for p in range(len(persons)):
            there = persons.keypoint_scores[p] > 0
            keypoints.append(np.where(
                there[:, None], persons.keypoints[p] + window[:2], 0))
            scores.append(persons.keypoint_scores[p])
            filled.append(persons.keypoints_filled[p])
            by = persons.keypoints_hidden_by[p]
            hidden.append(np.where(by >= 0, by + before, -1))
            tiles.append(tile)
            masks.append(on_image(coco_mask.decode(persons.masks[p]), window,
                                  width, height))
    return parts


def _union(masks: Sequence[dict]) -> dict:
    """All masks together, ready for JSON."""
    rle = coco_mask.merge(list(masks))
    return dict(size=list(rle['size']), counts=rle['counts'].decode())

"""Masks become COCO polygons; people who overlap are found."""
import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmpose_ssa.synthetic.annotation import overlapping, polygons_of


def rasterise(polygons, shape):
    rles = coco_mask.frPyObjects(polygons, *shape)
    return coco_mask.decode(coco_mask.merge(rles)) > 0


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_polygon_of_a_pixel_is_its_square():
    mask = np.zeros((5, 6), bool)
    mask[3, 2] = True
    polygon, = polygons_of(mask, simplify=0)
    points = np.array(polygon).reshape(-1, 2)
    assert np.abs(points.mean(0) - (2.5, 3.5)).max() < .15
    assert np.abs(points.min(0) - (2, 3)).max() <= .25
    assert np.abs(points.max(0) - (3, 4)).max() <= .25


def test_polygons_of_rectangle_run_along_its_edges():
    mask = np.zeros((20, 30), bool)
    mask[4:15, :12] = True  # touches the image's border
    polygon, = polygons_of(mask)
    points = np.array(polygon).reshape(-1, 2)
    assert points.min(0).tolist() == [0, 4]
    assert points.max(0).tolist() == [12, 15]
    assert (rasterise([polygon], mask.shape) == mask).all()


def test_polygons_keep_holes_and_separate_regions():
    mask = np.zeros((60, 80), np.uint8)
    cv2.circle(mask, (30, 30), 25, 1, -1)
    cv2.circle(mask, (22, 28), 8, 0, -1)
    cv2.circle(mask, (42, 32), 6, 0, -1)
    mask[10:50, 65:75] = 1
    polygons = polygons_of(mask > 0)
    region = rasterise(polygons, mask.shape)
    assert len(polygons) == 2
    assert not region[28, 22] and not region[32, 42]
    assert iou(region, mask > 0) > .97


def test_polygons_of_nothing_are_none():
    assert polygons_of(np.zeros((8, 8), bool)) == []


def test_overlap_wants_two_percent_of_the_smaller():
    masks = np.zeros((3, 20, 20), bool)
    masks[0, :, :10] = masks[1, :10, 9:19] = masks[2, 19:, 9:] = True
    # 10 of 100 px; 1 of 11 px; the same without the first: apart.
    assert overlapping(masks).tolist() == [True, True, True]
    assert overlapping(masks[1:]).tolist() == [False, False]
    masks[1] = False
    masks[1, :, 9:] = True
    masks[1, 4:, 9] = False  # 4 of 200 px, then 3
    assert overlapping(masks[:2]).tolist() == [True, True]
    masks[1, 3, 9] = False
    assert overlapping(masks[:2]).tolist() == [False, False]
    assert overlapping(masks[:0]).shape == (0, )

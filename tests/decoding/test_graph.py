"""Orders of skeletons found by hand."""
import pytest

from mmpose_ssa.decoding.graph import (COCO_EDGES, COCO_ORDER, check_order,
                                       outward_order, search_path)

# CrowdPose: shoulders 0 1, elbows 2 3, wrists 4 5, hips 6 7, knees 8 9,
# ankles 10 11, head 12, neck 13
CROWDPOSE = ((12, 13), (13, 0), (13, 1), (0, 2), (2, 4), (1, 3), (3, 5),
             (0, 6), (1, 7), (6, 7), (6, 8), (8, 10), (7, 9), (9, 11))
# MPII, a tree: ankles 0 5, knees 1 4, hips 2 3, pelvis 6, thorax 7, neck 8,
# head 9, wrists 10 15, elbows 11 14, shoulders 12 13
MPII = ((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8),
        (8, 9), (8, 12), (12, 11), (11, 10), (8, 13), (13, 14), (14, 15))


@pytest.mark.parametrize('edges, count, order', [
    # the circle of shoulders, hips and neck, then elbows, knees and head
    (CROWDPOSE, 14, (0, 1, 6, 7, 13, 2, 3, 8, 9, 12, 4, 5, 10, 11)),
    # from the thorax up and down
    (MPII, 16, (7, 6, 8, 2, 3, 9, 12, 13, 1, 4, 11, 14, 0, 5, 10, 15)),
    # a star: chest 2, then head, hands and feet
    (((0, 2), (2, 1), (2, 3), (4, 2)), 5, (2, 0, 1, 3, 4)),
    # chains of four and of three; one link; one keypoint
    (((3, 1), (1, 0), (0, 2)), 4, (0, 1, 2, 3)),
    (((0, 2), (2, 1)), 3, (2, 0, 1)),
    (((0, 1), (1, 0)), 2, (0, 1)),
    ((), 1, (0, )),
    # a circle with a tail of two
    (((0, 1), (1, 2), (2, 3), (3, 4), (4, 2)), 5, (2, 3, 4, 1, 0)),
])
def test_the_trunk_comes_before_the_limbs(edges, count, order):
    assert outward_order(edges, count) == order
    assert outward_order([edge[::-1] for edge in edges[::-1]], count) == order
    check_order(order, count)


def test_cocos_order_is_the_decided_one_but_for_the_limbs():
    """That one finishes the arms before the legs. Links as MMPose has them."""
    links = ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11),
             (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10), (1, 2), (0, 1),
             (0, 2), (1, 3), (2, 4), (3, 5), (4, 6))
    order = outward_order(links, 17)
    assert order[:9] == COCO_ORDER[:9]
    assert order[9:] == (7, 8, 13, 14, 9, 10, 15, 16)


@pytest.mark.parametrize('edges, words', [
    (((0, 1), (2, 3)), r'keypoints \[2, 3\]'), ((), r'keypoints \[1, 2, 3\]'),
    (((0, 1), (1, 2), (2, 4)), r'edge \(2, 4\)')])
def test_a_skeleton_that_is_no_graph_of_all(edges, words):
    with pytest.raises(ValueError, match=words):
        outward_order(edges, 4)


def test_search_is_breadth_first_with_neighbours_ascending():
    edges = ((0, 3), (1, 0), (2, 1), (3, 4), (4, 2))
    assert search_path(edges, 5, 0) == [1, 3, 2, 4]
    assert search_path(edges, 5, 2) == [1, 4, 0, 3]


def test_order_and_edges_are_the_papers():
    assert COCO_ORDER == (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14,
                          15, 16)
    assert len(set(COCO_EDGES)) == 20
    mirrored = [0] + [k + 1 if k % 2 else k - 1 for k in range(1, 17)]
    edges = {frozenset(edge) for edge in COCO_EDGES}
    assert edges == {frozenset(mirrored[k] for k in edge) for edge in edges}
    assert sum(frozenset((0, k)) in edges for k in range(17)) == 4


@pytest.mark.parametrize('edge', [(2, 0), (0, 2), (-1, 0), (0, -1)])
def test_an_edge_ends_at_keypoints(edge):
    with pytest.raises(ValueError, match='names a keypoint'):
        search_path([(0, 1), edge], 2, 0)

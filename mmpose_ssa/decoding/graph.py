"""The skeleton as a graph: edges between keypoint types, and their order.

The body-first grouping walks along the edges; the part-first grouping takes
the types in some order. The paper gives the edges for COCO's 17 keypoints
(A.2) and no order; for others both follow from the links that a data set draws
between its keypoints. Pure: standard library only.
"""
from collections import deque
from typing import List, Sequence, Set, Tuple

Edges = Sequence[Tuple[int, int]]

# Decided: trunk before limbs, so that limbs meet well-founded skeletons.
COCO_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
# The kinematic graph of A.2; MMPose's COCO skeleton has 19 other links.
COCO_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (3, 5), (4, 6), (5, 7), (5, 11),
              (6, 8), (6, 12), (7, 9), (8, 10), (11, 13), (13, 15), (12, 14),
              (14, 16), (5, 6), (15, 16), (13, 14), (11, 12))


def outward_order(edges: Edges, num_keypoints: int) -> Tuple[int, ...]:
    """All keypoints, breadth-first from the trunk.

    The trunk is what is left when the ends are taken off again and again: the
    keypoints on circles, as shoulders and hips of COCO, or the middle of a
    tree, one keypoint or two. Limbs so meet skeletons that are well founded.

    Args:
        edges: The kinematic graph, pairs of keypoints.
        num_keypoints: K.

    Returns:
        Each of 0 ... K-1 once, the trunk first; of equally far keypoints the
        lower number first, or the one whose neighbour came first.

    Raises:
        ValueError: If an edge names a keypoint that does not exist, or the
            graph does not connect all keypoints.
    """
    search_path(edges, num_keypoints, 0)
    neighbours = [{b for edge in edges if a in edge for b in edge} - {a}
                  for a in range(num_keypoints)]
    trunk = set(range(num_keypoints))
    while len(trunk) > 2:
        ends = {a for a in trunk if len(neighbours[a] & trunk) < 2}
        if not ends:
            break
        trunk -= ends
    order = sorted(trunk)
    for keypoint in order:  # which grows
        order += sorted(neighbours[keypoint] - set(order))
    return tuple(order)


def search_path(edges: Edges, num_keypoints: int, seed: int) -> List[int]:
    """The other keypoints, breadth-first from ``seed``, neighbours ascending.

    Raises:
        ValueError: If an edge names a keypoint outside [0, K), or the graph
            does not connect all of them.
    """
    neighbours: List[Set[int]] = [set() for _ in range(num_keypoints)]
    for a, b in edges:
        if not (0 <= a < num_keypoints and 0 <= b < num_keypoints):
            raise ValueError(
                f'edge ({a}, {b}) names a keypoint that does not exist: there '
                f'are {num_keypoints}, numbered from 0; correct `edges`')
        neighbours[a].add(b)
        neighbours[b].add(a)
    path, queue = [seed], deque([seed])
    while queue:
        new = sorted(neighbours[queue.popleft()] - set(path))
        path += new
        queue += new
    if len(path) < num_keypoints:
        lost = sorted(set(range(num_keypoints)) - set(path))
        raise ValueError(f'the graph does not reach keypoints {lost} from '
                         f'{seed}: add `edges` that connect them')
    return path[1:]


def check_order(order: Sequence[int], num_keypoints: int) -> None:
    """Raise ValueError unless ``order`` names each of the K types once."""
    if sorted(order) != list(range(num_keypoints)):
        raise ValueError(
            f'order {list(order)} must name each of the {num_keypoints} '
            f'keypoints 0..{num_keypoints - 1} exactly once')

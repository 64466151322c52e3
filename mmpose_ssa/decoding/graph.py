"""What the grouping needs to know of a skeleton: its graph and an order.

The paper gives both for COCO's 17 keypoints only. For others they follow from
the links that a data set draws between its keypoints.
"""
from typing import Sequence, Tuple

from .grouping import search_path

Edges = Sequence[Tuple[int, int]]


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

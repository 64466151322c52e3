"""Make MMPose's inferencers return the masks of our models.

``MMPoseInferencer`` and similar classes write persons by ``split_instances``,
which handles only keypoints and boxes, and no argument replaces it. So their
function is replaced when a config imports :mod:`mmpose_ssa.register`. The
results of other models do not change.
"""
from typing import List, Optional

from mmengine.structures import InstanceData
from mmpose.apis.inferencers import base_mmpose_inferencer
from mmpose.structures import split_instances as without_masks


def split_instances(instances: Optional[InstanceData]) -> List[dict]:
    """Each person as MMPose's inferencers return it, with what else we know.

    Args:
        instances: P persons.

    Returns:
        P dicts with MMPose's keys and, of a model that has them, ``mask``
        (an RLE), ``keypoints_filled`` and ``keypoints_hidden_by`` (K each)
        and ``track_id``.
    """
    persons = without_masks(instances)
    for key, name, convert in (
            ('masks', 'mask', dict),
            ('keypoints_filled', 'keypoints_filled', _listed),
            ('keypoints_hidden_by', 'keypoints_hidden_by', _listed),
            ('track_ids', 'track_id', int)):
        if persons and key in instances:  # type: ignore[operator]
            for person, value in zip(persons, instances.get(key)):
                person[name] = convert(value)
    return persons


def _listed(values) -> list:
    return [value.item() for value in values]


base_mmpose_inferencer.split_instances = split_instances

"""Predictions as COCO results."""
import pytest

from mmpose_ssa.apis.results import category_of


@pytest.mark.parametrize('meta, person, expected', [
    (dict(CLASSES=[dict(id=7, name='cow')]), None, 7),
    (dict(CLASSES=[dict(id=7, name='cow')]), 3, 7),  # as it was trained
    ({}, None, 1), ({}, 'cow', 1), ({}, 7, 7),
    (dict(CLASSES=None), 7, 7), (dict(CLASSES='cow'), None, 1),
    (dict(CLASSES=[dict(id='7')]), None, 1), (dict(CLASSES=['cow']), 7, 7),
    (dict(CLASSES=[dict(id=1), dict(id=7)]), None, 1)])
def test_the_category_of_a_model(meta, person, expected):
    assert category_of(meta, person) == expected

"""The benchmark of decoding: its crowds are what it says they are."""
import numpy as np
import pytest
import torch
from benchmarks import decoding
from benchmarks.crowd import make_crowd
from numpy.testing import assert_allclose, assert_array_equal

from mmpose_ssa.decoding.decoder import group
from mmpose_ssa.models.codec import AttentionGrouping

pytestmark = pytest.mark.usefixtures('mmpose')
K = 17


def codec_of(side=640, **options):
    return AttentionGrouping((side, side), (side // 4, side // 4), **options)


@pytest.mark.parametrize('side', [640, 800])
@pytest.mark.parametrize('number, share', [(1, 1.), (15, .75), (60, 1.)])
def test_a_crowd_is_found_person_by_person(side, number, share):
    codec = codec_of(side, max_persons=100, refine_location=False)
    crowd = make_crowd(codec, number, share=share)
    assert (abs(crowd.cells[..., 1] - side / 8) < share * side / 8).all()
    found = codec.decode(crowd.heatmaps, crowd.attention)
    assert len(found.scores) == number
    assert {person.tobytes() for person in found.keypoints.astype(int)} == {
        person.tobytes() for person in 4 * crowd.cells}
    assert_allclose(np.sort(found.scores), np.sort(crowd.scores.mean(1)),
                    rtol=1e-6)


@pytest.mark.parametrize('grouping', ['part_first', 'body_first'])
def test_each_false_candidate_starts_a_person_of_its_own(grouping):
    codec = codec_of(grouping=grouping)
    number, false = 5, 7
    crowd = make_crowd(codec, number, false)
    types, scores, rows, affinity = decoding.candidates(codec, crowd)
    assert_array_equal(affinity, rows[:, codec.tokens(
        crowd.cells * 4, (40, 40)).T.ravel()])
    assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    persons = group(types, scores, affinity, codec.options)
    whole = persons[(persons >= 0).all(axis=1)]
    owners = np.where(whole % (number + false) < number,
                      whole % (number + false), -1)
    assert sorted(owners[:, 0]) == list(range(number))
    assert (owners == owners[:, :1]).all()
    assert len(persons) == number + K * false


def test_as_many_tagged_persons_are_grouped():
    crowd = make_crowd(codec_of(), 6, 3)
    tagged, inputs = decoding.tagged_persons(crowd, 6)
    groups, = tagged._group_keypoints(*inputs)
    cells = {person.tobytes() for person in crowd.cells[:6]}
    assert {person.tobytes()
            for person in groups[..., :2].astype(int)} == cells


def test_a_quick_run_has_all_rows():
    threads = torch.get_num_threads()
    forward, stages, grouping = decoding.measure(quick=True)
    assert torch.get_num_threads() == threads
    assert [row[0] for row in forward.rows] == ['320²']
    assert list(forward.columns) == ['Input', 'backbone', 'encoder', 'head',
                                     'forward', '1', '3 + 2']
    assert [row[0] for row in stages.rows] == ['320², 1', '320², 3 + 2']
    assert [row[:4] for row in grouping.rows] == [['3', 51, 0, 3],
                                                  ['3', 51, 51, 54]]
    for table in (forward, stages, grouping):
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(cell > 0 for cell in row[4 if table is grouping
                                                else 1:])

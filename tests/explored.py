"""What the tests of the explorer's page share, beside fixtures."""
import numpy as np
import pytest
from shared.browser import EXECUTABLE

needs_browser = pytest.mark.skipif(
    EXECUTABLE is None, reason='needs Chromium, to run the page')

# The persons of the page, as JavaScript returns them
DECODED = """
  return state.persons.map(p => ({
    candidates: p.candidates, score: p.score, map: Array.from(p.map),
    points: p.points.map(q => q && [...q.point, q.score, q.filled])}));
"""


def same_persons(report, expected):
    """Assert that ``DECODED`` returned what the decoder finds."""
    assert len(report) == len(expected.keypoints)
    for p, person in enumerate(report):
        assert person['score'] == pytest.approx(expected.scores[p], rel=1e-5)
        assert np.abs(person['map'] - expected.maps[p].ravel()).max() < 5e-3
        for k, point in enumerate(person['points']):
            if expected.keypoint_scores[p, k] == 0:
                assert point is None
                continue
            # filled ones are refined by heatmaps of 16 bits, often weak
            assert point[:2] == pytest.approx(
                expected.keypoints[p, k], abs=1. if point[3] else 1e-6)
            assert point[2] == pytest.approx(
                expected.keypoint_scores[p, k], abs=1e-4)
            assert point[3] == expected.filled[p, k]

"""What the options derive from each other, and what they refuse."""
import pytest

from mmpose_ssa.decoding import DecodeOptions
from mmpose_ssa.decoding.graph import COCO_EDGES, COCO_ORDER

CHAIN = tuple((i, i + 1) for i in range(13))


def test_order_and_edges_are_the_papers_by_default():
    options = DecodeOptions()
    assert options.num_keypoints == 17
    assert (options.order, options.edges) == (COCO_ORDER, COCO_EDGES)


def test_what_is_given_for_17_keypoints_stays():
    order, edges = list(range(17)), [[0, k] for k in range(1, 17)]
    options = DecodeOptions(order=order, edges=edges)
    assert options.order == tuple(order)
    assert options.edges == tuple((0, k) for k in range(1, 17))
    assert DecodeOptions(edges=edges).order == COCO_ORDER
    assert DecodeOptions(order=order).edges == COCO_EDGES


def test_other_keypoints_are_ordered_by_their_edges():
    """From the middle of a chain outward, unless an order is given."""
    options = DecodeOptions(num_keypoints=5, edges=CHAIN[:4])
    assert options.order == (2, 1, 3, 0, 4)
    options = DecodeOptions(num_keypoints=5, edges=CHAIN[:4], order=range(5))
    assert options.order == (0, 1, 2, 3, 4)
    assert DecodeOptions(num_keypoints=1).order == (0, )


@pytest.mark.parametrize('options, words', [
    (dict(num_keypoints=14), '14 keypoints need their own `edges`'),
    (dict(num_keypoints=14, order=range(14)), '14 .* `edges`'),
    (dict(num_keypoints=14, edges=CHAIN[1:]), r'reach keypoints \[1,'),
    (dict(grouping='greedy'), "grouping .*'greedy'"),
    (dict(matching='score'), "matching .*'score'"),
    (dict(fill_missing='map'), "fill_missing .*'map'"),
    (dict(nms_kernel=6), 'nms_kernel .*6'),
    (dict(nms_kernel=-7), 'nms_kernel .*-7'),
    (dict(mask_mode='hard'), "mask_mode .*'hard'"),
    (dict(order=[1] * 17), 'order .*17 keypoints'),
    (dict(order=range(16)), 'order .*17 keypoints'),
    (dict(edges=[(0, 17)]), r'edge \(0, 17\)'),
    (dict(mask_threshold=1.), 'mask_threshold .*1.0'),
    (dict(mask_threshold=-.1), 'mask_threshold .*-0.1'),
    (dict(merge_threshold=-.1), 'merge_threshold .*-0.1'),
    (dict(token_stride=0), 'token_stride .* at least 1, got 0'),
    (dict(heatmap_stride=4.), 'heatmap_stride .* whole number .*4.0'),
    (dict(max_persons=-1), 'max_persons .* at least 0, got -1'),
    (dict(score_threshold=float('nan')), 'score_threshold .* number, got nan'),
    (dict(attraction_threshold='0.1'), "attraction_threshold .*'0.1'"),
])
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DecodeOptions(**options)


@pytest.mark.parametrize('option, value', [
    ('nms_kernel', 1), ('nms_kernel', 5), ('mask_threshold', 0.),
    ('merge_threshold', 0.), ('mask_mode', 'binary'), ('size_exponent', 0.)])
def test_the_limits_themselves_are_taken(option, value):
    assert getattr(DecodeOptions(**{option: value}), option) == value

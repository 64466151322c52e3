"""Pictures: masks, skeletons, marks and attention."""
import cv2
import numpy as np
import pytest

from mmpose_ssa.apis.visualizer import (Marks, Skeleton, draw_attention,
                                        draw_label, draw_persons,
                                        draw_skeleton, draw_star, paint_mask,
                                        person_colors, sample_keypoints,
                                        side_by_side)

pytestmark = pytest.mark.usefixtures('mmpose')

LEFT, RIGHT = (0, 255, 0), (255, 128, 0)  # RGB
ARMS = Skeleton(['l', 'l2', 'r', 'r2'], [(0, 1), (2, 3)],
                np.array([LEFT, LEFT, RIGHT, RIGHT]), np.array([LEFT, RIGHT]))


def grey(h=60, w=80):
    return np.full((h, w, 3), 100, np.uint8)


def test_a_mask_is_painted_inside_and_nowhere_else():
    image, mask = grey(), np.zeros((60, 80), np.uint8)
    mask[10:30, 20:50] = 1
    painted = paint_mask(image, mask, (200, 0, 100), opacity=.25)
    assert (image == 100).all()
    assert np.array_equal((painted != image).any(axis=2), mask > 0)
    # 0.75 * 100 + 0.25 * (200, 0, 100), and the colour itself on the edge
    assert (painted[11:29, 21:49] == (125, 75, 100)).all()
    for edge in (painted[10, 20:50], painted[29, 20:50], painted[10:30, 20]):
        assert (edge == (200, 0, 100)).all()


def test_left_and_right_have_their_colours():
    points = np.array([[10, 10], [10, 50], [70, 10], [70, 50.]])
    shown = np.ones(4, bool)
    drawn = draw_skeleton(grey(), points, shown, ARMS)
    # smoothed lines are some per cent darker
    assert drawn[30, 10] == pytest.approx(LEFT[::-1], abs=30)
    assert drawn[30, 70] == pytest.approx(RIGHT[::-1], abs=30)
    assert (drawn[:, 20:60] == 100).all()
    # a link needs both of its ends, a point itself alone
    shown[1] = False
    drawn = draw_skeleton(grey(), points, shown, ARMS)
    assert (drawn[20:56, :20] == 100).all()
    assert tuple(drawn[10, 10]) == LEFT[::-1]


def test_only_what_exceeds_the_threshold_is_drawn():
    points = np.array([[[10, 10], [10, 50], [0, 0], [0, 0.]],
                       [[70, 10], [70, 50], [0, 0], [0, 0.]]])
    scores = np.array([[.9, .5, 0, 0], [.2, .2, 0, 0]])
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 5:55, 5:15] = masks[1, 5:55, 65:75] = 1
    drawn = draw_persons(grey(), points, scores, masks, ARMS, kpt_thr=.2)
    assert (drawn[:, 15:] == 100).all()
    assert tuple(drawn[5, 5]) == tuple(person_colors(2)[0])
    both = draw_persons(grey(), points, scores, masks, ARMS, kpt_thr=.1)
    assert tuple(both[5, 65]) == tuple(person_colors(2)[1])
    assert np.array_equal(both[:, :40], drawn[:, :40])


def test_colours_are_far_apart():
    colors = person_colors(6).astype(int)
    distance = np.abs(colors[:, None] - colors).sum(axis=2)
    assert distance[~np.eye(6, dtype=bool)].min() > 60
    assert np.array_equal(person_colors(30)[:6], colors)
    assert person_colors(0).shape == (0, 3)


def test_a_keypoint_of_each_person_first():
    scores = np.array([[.1, .9, 0], [.8, 0, 0], [.3, .2, .4]])
    assert sample_keypoints(scores) == [(0, 1), (1, 0), (2, 2), (0, 0)]
    assert sample_keypoints(scores, 99)[4:] == [(2, 0), (2, 1)]
    assert sample_keypoints(np.zeros((0, 3))) == []


def test_redder_is_higher_and_the_star_is_at_the_keypoint():
    attention = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (120, 1))
    drawn = draw_attention(grey(120, 200), attention, (50.4, 29.7))
    hue = cv2.cvtColor(drawn[100:101], cv2.COLOR_BGR2HSV)[0, :, 0].astype(int)
    assert hue[0] == 120 and hue[-1] == 0  # from blue to red
    assert np.diff(hue).max() <= 1 and np.diff(hue[::20]).max() <= 0
    assert tuple(drawn[30, 50]) == (255, 255, 255)
    white = np.argwhere((drawn == 255).all(axis=2))
    assert np.abs(white - [30, 50]).max() <= 7


def test_a_star_has_five_points():
    star = draw_star(np.zeros((101, 101, 3), np.uint8), (50, 50), 40)
    angles = np.radians(np.arange(0, 360, 72) - 90)
    for angle in angles:
        for turn, bright in ((0, True), (np.pi / 5, False)):
            x = round(50 + 30 * np.cos(angle + turn))
            y = round(50 + 30 * np.sin(angle + turn))
            assert star[y, x].all() == bright


def test_panels_stand_side_by_side():
    panels = [np.full((50, 100, 3), value, np.uint8) for value in (10, 200)]
    strip = side_by_side(panels, ['a', ''], height=25)
    assert strip.shape == (25 + 24, 2 * (50 + 6), 3)
    assert (strip[24:, :50] == 10).all() and (strip[24:, 56:-6] == 200).all()
    assert (strip[:24, 56:] == 255).all()
    assert (strip[:24, :50] < 128).any()  # the caption


@pytest.mark.parametrize('shape, size', [((1, 5000), (1, 1440)),
                                         ((5000, 1), (360, 1))])
def test_panels_of_extreme_images_are_small(shape, size):
    strip = side_by_side([np.zeros((*shape, 3), np.uint8)], [''])
    assert strip.shape == (size[0] + 24, size[1] + 6, 3)


# --- what is known of persons beside keypoints ------------------------------


def test_a_filled_keypoint_is_a_ring_and_a_hidden_one_a_cross():
    points = np.array([[20, 30], [20, 200], [40, 30], [60, 30.]])
    flags = np.array([False, False, True, False])
    lone = ARMS._replace(links=[], link_colors=np.zeros((0, 3)))
    image = grey(100, 100)
    shown = np.array([True, False, True, True])
    drawn = draw_skeleton(image, points, shown, lone, filled=flags,
                          hidden=flags[[0, 1, 3, 2]])
    dot, ring, cross = drawn[30, 20], drawn[30, 40], drawn[30, 60]
    assert tuple(dot) == LEFT[::-1] and tuple(cross) == RIGHT[::-1]
    assert tuple(ring) == (100, 100, 100)  # the image shines through
    assert drawn[30, 44] == pytest.approx(RIGHT[::-1], abs=50)  # radius 4
    assert tuple(drawn[33, 63]) != (100, 100, 100)  # an arm of the cross
    assert tuple(drawn[30, 65]) == (100, 100, 100)  # between two arms


def test_links_of_a_guess_are_thin():
    image, points = grey(960, 960), np.array(
        [[100, 100], [100, 800], [500, 100], [500, 800.]])
    shown = np.ones(4, bool)
    drawn = draw_skeleton(image, points, shown, ARMS,
                          filled=np.array([False, False, False, True]))
    sure, unsure = ((drawn[450, x - 20:x + 20] != 100).any(axis=1).sum()
                    for x in (100, 500))
    assert 0 < unsure < sure


def test_an_id_keeps_its_colour_whatever_the_place():
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 5:55, 5:15] = masks[1, 5:55, 65:75] = 1
    points = np.zeros((2, 4, 2))
    scores = np.tile([1., 0, 0, 0], (2, 1))
    drawn = draw_persons(grey(), points, scores, masks, ARMS,
                         marks=Marks(ids=[3, 0]))
    colors = person_colors(4)
    assert tuple(drawn[54, 14]) == tuple(colors[3])
    assert tuple(drawn[54, 74]) == tuple(colors[0])


@pytest.mark.parametrize('size', [(40, 50), (100, 120), (1000, 1500)])
@pytest.mark.parametrize('point', [(-5, -5), (49, 39), (1e4, 1e4)])
def test_a_label_stays_inside_and_grows_with_the_image(size, point):
    image = grey(*size)
    drawn = draw_label(image, '#3 0.5', point, (0, 200, 0))
    changed = (drawn != image).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(
        changed.any(0))
    height = rows[-1] - rows[0] + 1
    assert 9 <= height < 60 and height > size[0] / 50
    assert columns[-1] - columns[0] > 25
    assert (image == 100).all()


def test_labels_are_drawn_above_their_persons():
    points = np.array([[[10, 50], [20, 55], [0, 0], [0, 0.]]])
    scores = np.array([[1., 1, 0, 0]])
    image = grey(100, 120)
    plain = draw_persons(image, points, scores, (), ARMS)
    drawn = draw_persons(image, points, scores, (), ARMS,
                         marks=Marks(labels=['0.70']))
    changed = np.argwhere((drawn != plain).any(axis=2))
    assert changed[:, 0].max() < 48 and changed[:, 0].min() > 20
    assert changed[:, 1].min() == 10

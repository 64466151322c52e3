"""Which tokens are a person's, on grids drawn by hand."""
import numpy as np
import pytest

from mmpose_ssa.encoding.pair_targets import pair_targets

LINKS = ((0, 1), )  # of two types
WHOLE = (0., 0, 31, 31)  # the input of 4 x 4 tokens of 8 pixels


def targets(*persons, boxes=None, links=LINKS, area=64., grid=(4, 4), **kw):
    """Persons are lists of (x, y) or None; limbs are 1.6 pixels wide."""
    visible = np.array([[p is not None for p in person] for person in persons])
    keypoints = np.array([[p or (0, 0) for p in person] for person in persons],
                         np.float32)
    return pair_targets(keypoints, visible, np.array(boxes or
                                                     [WHOLE] * len(persons)),
                        np.full(len(persons), area), links, grid, 8, **kw)


def read(target):
    """As text: # attended, . avoided, ? unknown."""
    return [''.join('.#?'[value] for value in row) for row in target]


def test_a_limb_between_two_keypoints():
    """From (3.5, 3.5) to (27.5, 3.5), the centres of the upper row."""
    assert read(targets([(3.5, 3.5), (27.5, 3.5)])[0]) == [
        '####',
        '????',
        '????',
        '????']


def test_a_slanting_limb():
    assert read(targets([(3.5, 3.5), (27.5, 27.5)])[0]) == [
        '#???',
        '?#??',
        '??#?',
        '???#']


def test_keypoints_without_limb_are_their_tokens():
    """Wherever in its token a keypoint lies; the other one is not visible."""
    assert read(targets([(15.9, 8), None])[0]) == [
        '????',
        '?#??',
        '????',
        '????']
    both = targets([(15.9, 8), (31.9, 31.9)], links=())
    assert read(both[0]) == [
        '????',
        '?#??',
        '????',
        '???#']


def test_the_width_of_limbs_grows_with_the_person():
    """A token's centre 8 pixels beside the limb: area 80**2, width 16."""
    limb = [(3.5, 11.5), (27.5, 11.5)]
    assert read(targets(limb, area=80.**2)[0]) == ['####'] * 3 + ['????']
    assert read(targets(limb, area=79.**2)[0]) == [
        '????', '####', '????', '????']
    assert read(targets(limb, area=40.**2, limb_width=.4)[0]) == [
        '####'] * 3 + ['????']


def test_a_limb_ends_where_its_keypoints_are():
    """8 pixels around (11.5, 11.5), and not along the line beyond it."""
    assert read(targets([(11.5, 11.5), (11.6, 11.5)], area=80.**2)[0]) == [
        '?#??',
        '###?',
        '?#??',
        '????']


def test_others_are_avoided_unless_shared():
    """The limbs cross in the token (1, 1)."""
    across = [(3.5, 11.5), (27.5, 11.5)]
    down = [(11.5, 3.5), (11.5, 27.5)]
    first, second = targets(across, down)
    assert read(first) == [
        '?.??',
        '####',
        '?.??',
        '?.??']
    assert read(second) == [
        '?#??',
        '.#..',
        '?#??',
        '?#??']


def test_outside_the_padded_box_is_avoided():
    """Box 4..20 padded to 2..22: the centres 3.5, 11.5 and 19.5 are in it."""
    limb = [(11.5, 11.5), None]
    expected = [
        '???.',
        '?#?.',
        '???.',
        '....']
    assert read(targets(limb, boxes=[(4, 4, 20, 20)])[0]) == expected
    tight = targets(limb, boxes=[(4, 4, 20, 20)], padding=1.)
    assert read(tight[0]) == ['....', '.#?.', '.??.', '....']


def test_a_persons_own_tokens_are_attended_outside_the_box_too():
    assert read(targets([(28, 28), None], boxes=[(0, 0, 8, 8)])[0]) == [
        '?...',
        '....',
        '....',
        '...#']


def test_one_type_without_links():
    assert read(targets([(3, 3)], links=())[0])[0] == '#???'


@pytest.mark.parametrize('grid', [(4, 4), (2, 3)])
def test_nobody(grid):
    assert pair_targets(
        np.zeros((0, 2, 2)), np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0),
        LINKS, grid, 8).shape == (0, *grid)


def test_keypoints_at_the_edge_belong_to_the_last_token():
    assert read(targets([(31.9, 15.9), None], grid=(2, 4))[0]) == [
        '????', '???#']


def test_a_limb_ends_with_its_keypoints():
    """Each of its own length; the others of the row and column are not his."""
    found, = targets([(3.5, 3.5), (19.5, 3.5), (3.5, 11.5)],
                     links=((0, 1), (0, 2)))
    assert found.dtype == np.int8
    assert read(found) == [
        '###?',
        '#???',
        '????',
        '????']


def test_a_long_limb_beside_another():
    assert read(targets([(3.5, 3.5), (27.5, 3.5), (3.5, 27.5)],
                        links=((0, 1), (0, 2)))[0]) == [
        '####',
        '#???',
        '#???',
        '#???']


@pytest.mark.parametrize('point, row, column', [
    ((-.4, -.4), 0, 0), ((32.1, -.4), 0, 3), ((-.4, 32.1), 3, 0),
    ((32.1, 32.1), 3, 3)])
def test_a_keypoint_at_the_border_is_in_the_last_token(point, row, column):
    """Pixels reach from -0.5 to 0.5 about their index."""
    found, = targets([point], links=(), boxes=[(-9, -9, 40, 40)])
    assert np.argwhere(found == 1).tolist() == [[row, column]]


def test_a_box_reaches_to_the_centres_on_its_edge():
    """Taller than wide; tokens outside it are avoided."""
    found, = targets([(11.5, 11.5)], links=(), padding=1.,
                     boxes=[(3.5, 3.5, 11.5, 27.5)])
    assert read(found) == [
        '??..',
        '?#..',
        '??..',
        '??..']
    found, = targets([(11.5, 11.5)], links=(), padding=1.,
                     boxes=[(3.5, 3.5, 27.5, 11.5)])
    assert read(found) == [
        '????',
        '?#??',
        '....',
        '....']

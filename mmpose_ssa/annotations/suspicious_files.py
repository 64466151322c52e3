"""What is suspected of an annotation file as a whole.

Names of keypoints tell left from right: ``left_hand`` and ``right_hand``,
``handL`` and ``handR``, ``l-hand`` and ``r-hand``.
"""
import re
from collections import Counter
from typing import List, Optional, Sequence, Tuple

import numpy as np

from .findings import Finding, first

MANY = 20  # persons, of whom a share says something

# In COCO's files the left one of a pair is on the right in the image in 66 to
# 79 of 100 persons (they face the camera); with the sides swapped in 21 to 34.
SWAPPED = 0.4
CORNER = 0.55  # of both sides of all images, into which nobody else fits

_WORDS = re.compile(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+')
_OTHER = dict(left='right', right='left', l='r', r='l')

Pairs = List[Tuple[int, int]]


def side_pairs(names: Sequence[str]) -> Pairs:
    """(left, right) of the keypoints that are a pair by their names."""
    words = [tuple(word.lower() for word in _WORDS.findall(str(name)))
             for name in names]
    pairs = []
    for left, name in enumerate(words):
        other = tuple(_OTHER.get(word, word) for word in name)
        if {'left', 'l'} & set(name) and other in words:
            pairs.append((left, words.index(other)))
    return pairs


def suspect_names(person: dict, num_keypoints: int,
                  names: Optional[Sequence[str]] = None,
                  flip_pairs: Optional[Sequence[Sequence[int]]] = None
                  ) -> List[Finding]:
    """Compare the names of keypoints in file, metainfo and mirror pairs.

    Args:
        person: The category.
        num_keypoints: K.
        names: Those of the metainfo, if there is one.
        flip_pairs: Of the metainfo: indices, or names, of two each.
    """
    found = []
    given = person.get('keypoints')
    if not isinstance(given, list):
        given = []
    if given and names and len(given) == len(names) and list(given) != list(
            names):
        k = next(k for k, (a, b) in enumerate(zip(given, names)) if a != b)
        found.append(Finding(
            'suspect', 'names', f'{sum(a != b for a, b in zip(given, names))} '
            f'of {len(names)} keypoints have another name in the file than in '
            'the metainfo', f'number {k}: {given[k]!r:.50}, {names[k]!r}',
            'if they are other keypoints, write the metainfo in the order of '
            'the file'))
    if given and len(given) != num_keypoints:
        found.append(Finding(
            'suspect', 'names', f'the category names {len(given)} keypoints, '
            f'the metainfo has {num_keypoints}', f"{person.get('name')!s:.50}",
            'give the metainfo of these data, or correct the names'))
    found += _skeleton(person, num_keypoints)
    if names and flip_pairs is not None:
        found += _missing_pairs(names, flip_pairs)
    return found


def _skeleton(person: dict, num_keypoints: int) -> List[Finding]:
    links = person.get('skeleton')
    if not isinstance(links, list):
        return []
    ends = [k for link in links if isinstance(link, (list, tuple))
            for k in link]
    wrong = [k for k in ends if not isinstance(k, int)
             or not 1 <= k <= num_keypoints]
    if not wrong:
        return []
    return [Finding(
        'suspect', 'skeleton', f'{len(wrong)} ends of the skeleton in the '
        f'category are no keypoint from 1 to {num_keypoints}', first(wrong),
        "count from 1 as COCO does; models take the metainfo's skeleton")]


def _missing_pairs(names: Sequence[str],
                   flip_pairs: Sequence[Sequence[int]]) -> List[Finding]:
    known = {frozenset(names[k] if isinstance(k, (int, np.integer)) else k
                       for k in pair) for pair in flip_pairs}
    missing = [f'{names[a]}, {names[b]}' for a, b in side_pairs(names)
               if frozenset((names[a], names[b])) not in known]
    if not missing:
        return []
    return [Finding(
        'suspect', 'pairs', f'{len(missing)} pairs of keypoints are not '
        'exchanged when an image is mirrored', '; '.join(missing[:3]),
        "write each other's names as their swap in the metainfo")]


def suspect_file(dataset: dict, names: Sequence[str],
                 pairs: Optional[Pairs] = None,
                 min_area: float = 32**2) -> List[Finding]:
    """Look at all persons of a checked annotation file at once.

    Args:
        dataset: Of :class:`~mmpose_ssa.annotations.checks.Checked`.
        names: K names of the keypoints; those of K numbers if they have none.
        pairs: (left, right). None: by the names.
        min_area: Persons below it are left out of the heatmap loss.
    """
    annotations = [ann for ann in dataset.get('annotations', ())
                   if ann.get('num_keypoints') and not ann['iscrowd']]
    found = _images(dataset)
    if not annotations:
        return found
    tables = np.array([ann['keypoints'] for ann in annotations], float
                      ).reshape(len(annotations), -1, 3)
    sizes = {image['id']: (image.get('width', np.nan),
                           image.get('height', np.nan))
             for image in dataset['images']}
    scale = np.array([sizes[ann['image_id']] for ann in annotations])
    return (found
            + _sides(tables, names, side_pairs(names) if pairs is None
                     else pairs)
            + _never(tables, names) + _corner(tables, scale)
            + _small(annotations, min_area) + _unlabelled(dataset))


def _images(dataset: dict) -> List[Finding]:
    """Of images listed twice, and without persons."""
    found = []
    names = [str(image.get('file_name')) for image in dataset['images']]
    counts = Counter(names)
    twice = [image['id'] for image, name in zip(dataset['images'], names)
             if 'file_name' in image and counts[name] > 1]
    if twice:
        found.append(Finding(
            'suspect', 'image_twice', f'{len(twice)} images share their '
            'file_name with another', f'image {first(twice)}',
            'list each file once, with the persons of both', twice))
    with_persons = {ann['image_id'] for ann in dataset.get('annotations', ())}
    empty = [image['id'] for image in dataset['images']
             if image['id'] not in with_persons]
    if empty:
        found.append(Finding(
            'note', 'image_empty', f"{len(empty)} of {len(dataset['images'])} "
            'images show nobody and are not trained on',
            f'image {first(empty)}', 'nothing, if so it is', empty))
    return found


def _sides(tables: np.ndarray, names: Sequence[str],
           pairs: Pairs) -> List[Finding]:
    """Of left and right exchanged everywhere."""
    if not pairs:
        return []
    left, right = np.transpose(pairs)
    both = (tables[:, left, 2] > 0) & (tables[:, right, 2] > 0)
    facing = tables[:, left, 0] > tables[:, right, 0]
    persons = both.any(axis=1)
    if persons.sum() < MANY:
        return []
    shares = (facing & both)[persons].sum(1) / both[persons].sum(1)
    if shares.mean() >= SWAPPED:
        return []
    a, b = pairs[0]
    return [Finding(
        'suspect', 'sides', f'left and right seem exchanged: in '
        f'{100 * shares.mean():.0f} of 100 pairs the left one is further to '
        'the right in the image, where people facing the camera have most',
        f'{names[a]} and {names[b]} of {persons.sum()} persons',
        "left is the person's own: exchange the names, or the numbers")]


def _never(tables: np.ndarray, names: Sequence[str]) -> List[Finding]:
    """Of types that nobody has."""
    never = [str(names[k]) for k in np.flatnonzero(
        ~(tables[..., 2] > 0).any(axis=0))]
    if not never:
        return []
    return [Finding(
        'suspect', 'never', f'{len(never)} of {len(names)} keypoints are '
        'labelled in nobody', ', '.join(never[:5]),
        'label them, or take them out of the metainfo')]


def _corner(tables: np.ndarray, scale: np.ndarray) -> List[Finding]:
    """Of annotations made for smaller images."""
    shown = tables[..., 2] > 0
    reach = [np.max(np.where(shown, tables[..., axis], 0)
                    / scale[:, axis, None]) for axis in (0, 1)]
    if len(tables) < MANY or not max(reach) < CORNER or max(reach) < .01:
        return []
    return [Finding(
        'suspect', 'corner', 'all keypoints lie in the upper left of their '
        'images', f'within {100 * reach[0]:.0f} % of the width and '
        f'{100 * reach[1]:.0f} % of the height',
        'scale the annotations to the size of the files')]


def _small(annotations: List[dict], min_area: float) -> List[Finding]:
    """Of persons that the heatmap loss leaves out."""
    small = [ann['id'] for ann in annotations if ann['area'] < min_area]
    if not small:
        return []
    most = len(small) > len(annotations) / 2
    return [Finding(
        'suspect' if most else 'note', 'small',
        f'{len(small)} of {len(annotations)} labelled persons are smaller '
        f'than {min_area:.0f} square pixels and left out of the heatmap loss',
        f'id {first(small)}', 'take larger images, or another min_area of '
        'GeneratePersonMasks', small)]


def _unlabelled(dataset: dict) -> List[Finding]:
    """Of persons without keypoints."""
    annotations = [a for a in dataset['annotations'] if not a['iscrowd']]
    bare = [ann['id'] for ann in annotations if not ann.get('num_keypoints')]
    if not bare:
        return []
    return [Finding(
        'note', 'unlabelled', f'{len(bare)} of {len(annotations)} persons '
        'have no labelled keypoint: the heatmap loss leaves out where they '
        'are', f'id {first(bare)}', 'label those that can be seen', bare)]

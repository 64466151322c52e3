"""COCO annotations, checked in one pass before anything is made of them.

Training, validation, testing and the tools read annotations through here.

Estimated or left out, and noted: annotations of other categories; a ``bbox``
without a pixel in the image (that of the mask, or else of the keypoints); an
``area`` that is missing or none that could be (that of the mask, or else 0.53
of the box, as in CrowdPose's evaluation); an ``iscrowd`` of null; visibilities
other than 0, 1 and 2 (a keypoint is labelled where v > 0); a ``num_keypoints``
that is not the number of labelled ones; empty runs of an RLE. Only noted:
masks without a pixel in the image.

Refused, with the file, the ids and the remedy: all else that the format does
not allow, or that would be dropped, or would end the run, without a word.
"""
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from .extents import FARTHEST, area_of_box, in_image, may_be_area, span
from .findings import Finding, Findings
from .segmentations import (MAX_PIXELS, MAX_SIDE, flat_numbers, mask_area,
                            mask_box, plain_segmentation)

PERSON_ID = 1  # COCO's category

Entry = Dict[str, Any]

LARGEST_ID = 2**53  # evaluations hold ids as floats


class Rules(NamedTuple):
    """What is asked of an annotation file beside COCO's format.

    Attributes:
        num_keypoints: K, where known.
        person: Name or id of the persons' category.
        needs: What each person must have, of 'bbox', 'keypoints' and
            'segmentation'.
        masks: Whether segmentations are read where they are given.
        files: Whether images must name their files and, where something is
            annotated, their sizes.
        text_ids: Whether images may have texts as ids.
        count_keypoints: Whether ``num_keypoints`` is counted anew.
            CrowdPose's evaluation reads what its file says.
        without_masks: What else can be done where there is no segmentation.
        names: K names of the keypoints, if known: the file must not have the
            same ones in another order.
    """
    num_keypoints: Optional[int] = None
    person: Union[str, int] = 'person'
    needs: Sequence[str] = ()
    masks: bool = False
    files: bool = False
    text_ids: bool = False
    count_keypoints: bool = True
    without_masks: str = 'leave out what reads masks'
    names: Sequence[str] = ()

    @property
    def reads_masks(self) -> bool:
        """Whether segmentations must be whole."""
        return self.masks or 'segmentation' in self.needs


class Checked(NamedTuple):
    """What an annotation file holds of persons.

    Attributes:
        dataset: A copy with the images, the category of the persons and their
            annotations, in which all is as it should be.
        person: The category; empty where the file has no annotations.
        notes: What was estimated or left out, a sentence each.
        noted: The same with ids and remedies.
    """
    dataset: Entry
    person: Entry
    notes: List[str]
    noted: List[Finding]


def check_annotations(content: Any, name: str, rules: Rules) -> Checked:
    """Check what an annotation file holds.

    Args:
        content: Of the JSON file; not changed.
        name: What to call the file in an error.
        rules: What is asked of it.

    Returns:
        The persons and their images, see :class:`Checked`.

    Raises:
        RefusedAnnotations: A ValueError with the file, the first ids and the
            remedy, if the file is not in COCO's format or not as the rules
            ask.
    """
    k = rules.num_keypoints
    findings = Findings(
        name, k=k or 'K', n=3 * k if k else '3 K', person=rules.person,
        lacking=' or '.join(k for k in rules.needs if k != 'segmentation'),
        without_masks=rules.without_masks)
    _check_format(content, findings)
    annotations = content.get('annotations', [])
    findings.totals.update(images=len(content['images']),
                           annotations=len(annotations))
    images = {image['id']: image
              for image in _images(content['images'], rules, findings)}
    dataset = dict(content, images=list(images.values()))
    person: Entry = {}
    if annotations:
        person = _person(content.get('categories', []), rules, findings)
        dataset['categories'] = [person]
        dataset['annotations'] = [
            _annotation(ann, images[ann['image_id']], rules, findings)
            for ann in _own(annotations, person, images, content, findings)]
    findings.check()
    return Checked(dataset, person, findings.sentences(len(annotations)),
                   findings.noted(len(annotations)))


# --- the file as a whole ----------------------------------------------------


def _check_format(content: Any, findings: Findings) -> None:
    """Refuse what is not lists of dicts."""
    if not isinstance(content, dict):
        findings.refuse(
            f"is not in COCO's format (a {type(content).__name__})",
            'it must be one dict with images, annotations and categories')
    for key in ('images', 'annotations', 'categories'):
        entries = content.get(key, [])
        if not isinstance(entries, list) or not all(
                isinstance(entry, dict) for entry in entries):
            findings.refuse(f"is not in COCO's format ({key!r} is no list of "
                            'dicts)', 'write it as COCO does')
    if not content.get('images'):
        findings.refuse('has no images', 'give a file that lists some')


def _images(images: List[Entry], rules: Rules,
            findings: Findings) -> List[Entry]:
    """Copies of the images with whole numbers."""
    copies = [dict(image) for image in images]
    for image in copies:
        shown = image.get('id')
        image['id'] = _whole(shown)
        if image['id'] is None:
            image['id'] = shown
            if not (rules.text_ids and isinstance(shown, str)):
                findings.fault('image_id', shown)
        if rules.files and not isinstance(image.get('file_name'), str):
            findings.fault('image_name', shown)
        given = [side for side in ('width', 'height') if side in image]
        image.update({side: _whole(image[side]) for side in given})
        sides = [image[side] or 0 for side in given]
        if not all(0 < side <= MAX_SIDE for side in sides) or (
                np.prod(sides) > MAX_PIXELS):
            findings.fault('image_size', shown)
    findings.check()
    for number in _doubles(copies):
        findings.fault('image_double', number)
    findings.check()
    return copies


def _person(categories: List[Entry], rules: Rules,
            findings: Findings) -> Entry:
    """The category of the persons."""
    ids = [_whole(category.get('id')) for category in categories]
    names = [category.get('name') for category in categories]
    shown = '{!s:.300}'.format(
        {c.get('id'): c.get('name') for c in categories
         if isinstance(c.get('id'), (int, float, str))})
    if None in ids or len(set(ids)) < len(ids):
        findings.refuse(f'has categories without a number of their own: '
                        f'{shown}', 'number them')
    wanted = str(rules.person).lower()
    found = [dict(category, id=number)
             for category, number, name in zip(categories, ids, names)
             if rules.person == number or str(name).lower() == wanted]
    if len(found) != 1:
        number = len(found) or 'no'
        findings.refuse(
            f'has {number} category {rules.person!r} among {shown}',
            "write categories=[dict(id=1, name='person')] to it, or say by "
            'person=NAME of the data set which one shows persons')
    listed = found[0].get('keypoints')
    given = listed if isinstance(listed, list) and all(
        isinstance(name, str) for name in listed) else []
    if list(rules.names) != given and sorted(given) == sorted(rules.names):
        place = next(i for i, n in enumerate(given) if n != rules.names[i])
        findings.refuse(
            "lists the metainfo's keypoints in another order: number "
            f'{place} is {given[place]!r}, not {rules.names[place]!r}',
            'give the data set metainfo of this order')
    return found[0]


def _own(annotations: List[Entry], person: Entry, images: Dict[Any, Entry],
         content: Entry, findings: Findings) -> List[Entry]:
    """The annotations of persons; those of others are noted."""
    listed = {_whole(c['id']) for c in content['categories']}
    own, unknown = [], {}
    for ann in annotations:
        shown, image = ann.get('id'), ann.get('image_id')
        category = _whole(ann.get('category_id'))
        if _whole(shown) is None:
            findings.fault('id', shown)
        elif not _may_be_id(image) or image not in images:
            unknown[str(image)] = image
        elif category == person['id']:
            own.append(ann)
        elif category in listed:
            findings.note('category', shown)
        else:
            findings.fault('category', shown)
    for image in unknown.values():
        findings.fault('image', image)
    findings.check()
    for number in _doubles(annotations):
        findings.fault('double', number)
    findings.check()
    return own


# --- one annotation ---------------------------------------------------------


def _annotation(ann: Entry, image: Entry, rules: Rules,
                findings: Findings) -> Entry:
    """A copy of a person's annotation in which all is as it should be."""
    number = ann['id']
    size: tuple = (image.get('height'), image.get('width'))
    ann = dict(ann, id=_whole(number), image_id=image['id'],
               category_id=_whole(ann['category_id']))
    if None in size and (rules.files or rules.reads_masks):
        findings.fault('no_size', number)
    if not {'bbox', 'keypoints'} & set(rules.needs) <= ann.keys():
        findings.fault('lacking', number)
    if 'bbox' in ann and _numbers(ann['bbox'], 4) is None:
        findings.fault('bbox', number)
        ann['bbox'] = [0, 0, 0, 0]
    if 'keypoints' in ann:
        ann.update(_keypoints(ann, rules, findings))
    ann['iscrowd'] = _crowd(ann, findings)
    boxed = 'bbox' not in ann or in_image(ann['bbox'], size)
    wanted = not boxed or not may_be_area(ann, size, ann.get('bbox'))
    readable = _segmentation(ann, size, rules, findings, wanted)
    pixels = mask_area(ann['segmentation'], *size) if readable else 0.
    if readable and not pixels:
        findings.note('mask_empty', number)
    box = ann.get('bbox')
    if not boxed:
        others = [mask_box(ann['segmentation'], *size)] if pixels else []
        others += span(ann.get('keypoints', ()))
        box = next((other for other in others if in_image(other, size)), box)
        if box is not ann['bbox']:
            findings.note('bbox', number)
            ann['bbox'] = box
        elif others and not ann['iscrowd']:
            findings.note('nowhere', number)
    if not may_be_area(ann, size, box):
        findings.note('area', number)
        places = [box] if box else span(ann.get('keypoints', ()))
        ann['area'] = pixels or area_of_box((*places, [0] * 4)[0], size)
    return ann


def _keypoints(ann: Entry, rules: Rules, findings: Findings) -> Entry:
    """What the keypoints and their number should be."""
    flat = ann['keypoints']
    length = len(flat) if isinstance(flat, list) else 0
    if rules.num_keypoints is None and flat == []:
        return {}
    numbers = _numbers(flat, 3 * (rules.num_keypoints or length // 3))
    if numbers is None:
        has = f'{length}' if length else f'{flat!r:.50}'
        if length == 3 * (rules.num_keypoints or length // 3):
            has += f', not all of them numbers up to {FARTHEST:,}'
        findings.fault('keypoints', ann['id'], f'has {has}')
        return {'keypoints': []}
    visible = numbers[2::3]
    labelled = int((visible > 0).sum())
    changes: Entry = {}
    if not ((visible == 0) | (visible == 1) | (visible == 2)).all():
        findings.note('visibility', ann['id'])
        points = numbers.astype(float)
        points[2::3] = np.clip(np.ceil(visible), 0, 2)
        changes['keypoints'] = points.tolist()
    if rules.count_keypoints or _whole(ann.get('num_keypoints')) is None:
        changes['num_keypoints'] = labelled
        if ann.get('num_keypoints', labelled) != labelled:
            findings.note('num_keypoints', ann['id'])
    return changes


def _crowd(ann: Entry, findings: Findings) -> int:
    """What ``iscrowd`` should be."""
    crowd = ann.get('iscrowd', 0)
    if crowd is None:
        findings.note('iscrowd', ann['id'])
    elif not isinstance(crowd, (int, float)) or crowd not in (0, 1):
        findings.fault('iscrowd', ann['id'], f'has {crowd!r:.100}')
        return 0
    return int(crowd or 0)


def _segmentation(ann: Entry, size: tuple, rules: Rules, findings: Findings,
                  wanted: bool) -> bool:
    """Whether there is a segmentation that can be read, if it is wanted."""
    needed = rules.reads_masks
    given = ann.get('segmentation')
    if not given:
        if 'segmentation' in rules.needs:
            findings.fault('no_mask', ann['id'])
        return False
    if None in size or not (needed or wanted):
        return False
    try:
        plain = plain_segmentation(given, *size)
    except ValueError as error:
        if needed:
            findings.fault('segmentation', ann['id'],
                           f"of image {ann['image_id']}: {error}")
        return False
    if plain is not given:
        findings.note('runs', ann['id'])
        ann['segmentation'] = plain
    return True


# --- numbers ----------------------------------------------------------------


def _whole(value: Any) -> Optional[int]:
    """A whole number that may be an id or a side, or None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if (isinstance(value, int) and not isinstance(value, bool)
            and abs(value) < LARGEST_ID):
        return value
    return None


def _doubles(entries: List[Entry]) -> List[Any]:
    """The ids that several entries have."""
    counts = Counter(entry['id'] for entry in entries)
    return [number for number, times in counts.items() if times > 1]


def _may_be_id(value: Any) -> bool:
    """Whether this is a number or a text that can be compared with ids."""
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def _numbers(values: Any, count: int) -> Optional[np.ndarray]:
    """(count, ) finite numbers, or None of anything else."""
    if not isinstance(values, list) or not 0 < len(values) == count:
        return None
    numbers = flat_numbers(values)
    if numbers is None:
        return None
    # Neither NaN nor infinity is that near
    near = (-FARTHEST <= numbers).all() and (numbers <= FARTHEST).all()
    return numbers if near else None

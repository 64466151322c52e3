"""All that is wrong with an annotation file, not only the first fault.

``check_annotations`` stops where it cannot go on: of faulty images it never
looks at the annotations. Here what is refused is noted and taken out, and the
rest is checked again, until nothing more is refused.
"""
from collections import Counter
from typing import Any, List, NamedTuple, Optional, Tuple, Union

from .checks import Checked, Entry, Rules, check_annotations
from .findings import Finding, RefusedAnnotations

COCO_KEYPOINTS = 17


class Choice(NamedTuple):
    """What an annotation file says of itself.

    Attributes:
        person: Id of the category, or 'person'.
        num_keypoints: K by the category's names, or else that most
            annotations of the category have.
    """
    person: Union[str, int]
    num_keypoints: int


def choose(content: Any, person: Union[str, int, None] = None) -> Choice:
    """Find the category that is meant, and its number of keypoints.

    Args:
        content: Of an annotation file; anything may stand in it.
        person: Name or id of the category. None: 'person', or else the only
            category that names keypoints, or else the only one.
    """
    categories = _dicts(content, 'categories')
    by_name = [c for c in categories if person in (c.get('name'), c.get('id'))]
    if person is None:
        by_name = [c for c in categories
                   if str(c.get('name')).lower() == 'person']
        by_name = by_name or [c for c in categories if c.get('keypoints')]
        by_name = by_name or categories
    if len(by_name) != 1:
        return Choice(person or 'person', COCO_KEYPOINTS)
    category, = by_name
    number = category.get('id')
    lengths = Counter(
        len(ann['keypoints']) // 3 for ann in _dicts(content, 'annotations')
        if ann.get('category_id') == number
        and isinstance(ann.get('keypoints'), list))
    names = category.get('keypoints')
    if isinstance(names, list) and names:
        count = len(names)
    else:
        count = lengths.most_common(1)[0][0] if lengths else COCO_KEYPOINTS
    if not isinstance(number, int):
        number = person or 'person'
    return Choice(number, count or COCO_KEYPOINTS)


def survey(content: Any, name: str, rules: Rules
           ) -> Tuple[Optional[Checked], List[Finding]]:
    """Check an annotation file to the end.

    Args:
        content: Of the JSON file; not changed.
        name: What to call the file.
        rules: What is asked of it.

    Returns:
        What is left of it without the entries that are refused, None if
        nothing can be read; and what was refused and noted, but for empty
        masks, which :mod:`~mmpose_ssa.annotations.suspicions` finds.
    """
    refused: List[Finding] = []
    while True:
        try:
            checked = check_annotations(content, name, rules)
        except RefusedAnnotations as error:
            # what is left may be too little for a file: no news
            refused += [finding for finding in error.findings
                        if finding.kind != 'file' or not refused]
            rest = _without(content, error.findings)
            if rest is None:
                return None, refused
            content = rest
        else:
            break
    if not refused and not any(
            ann.get('num_keypoints') and not ann['iscrowd']
            for ann in checked.dataset.get('annotations', ())):
        refused.append(_nobody(checked, rules))
    # empty masks are among what is suspected of persons
    return checked, refused + [
        note for note in checked.noted if note.kind != 'mask_empty']


def _nobody(checked: Checked, rules: Rules) -> Finding:
    """That nobody can be learned from."""
    count = len(checked.dataset.get('annotations', ()))
    return Finding(
        'refused', 'nobody', 'there is no person with labelled keypoints',
        f'{count} annotations of category {rules.person!r}',
        'label keypoints, v = 1 or 2, or name the category that has them')


def _without(content: Any, findings: List[Finding]) -> Optional[Entry]:
    """The content without what is refused, or None of the file as a whole."""
    rest = dict(content) if isinstance(content, dict) else {}
    for finding in findings:
        if finding.kind == 'file':
            return None
        place = 'annotations'
        faulty = {repr(number) for number in finding.ids}
        if finding.kind.startswith('image_'):  # and all that lies in them
            place = 'images'
            if finding.kind != 'image_double':
                rest['annotations'] = [
                    ann for ann in _dicts(rest, 'annotations')
                    if repr(ann.get('image_id')) not in faulty]
        key = 'image_id' if finding.kind == 'image' else 'id'
        kept = [entry for entry in rest[place]
                if repr(entry.get(key)) not in faulty]
        if finding.kind in ('image_double', 'double'):
            kept = _first_of_each(rest[place])
        if len(kept) == len(rest[place]):  # it would never end
            return None
        rest[place] = kept
    return rest


def _first_of_each(entries: List[Entry]) -> List[Entry]:
    seen: dict = {}
    for entry in entries:
        seen.setdefault(entry.get('id'), entry)
    return list(seen.values())


def _dicts(content: Any, key: str) -> List[Entry]:
    entries = content.get(key) if isinstance(content, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if \
        isinstance(entries, list) else []


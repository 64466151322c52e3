"""What is said of an annotation file: refused, or only noted."""
from typing import Any, Dict, List, NoReturn, Sequence

from .segmentations import MAX_PIXELS, MAX_SIDE

# What is refused -> what is said of the entries, and the remedy
FAULTS = dict(
    image_id=('has images whose id is no whole number', 'number them'),
    image_name=('has images without a file_name',
                'give each that of its file, relative to data_prefix'),
    image_size=(
        'has images whose width or height is no whole number from 1 to '
        f'{MAX_SIDE}, or of more than {MAX_PIXELS:,} pixels',
        'write the sizes of the files; scale larger images down'),
    image_double=('has images that share an id',
                  'number them anew: only one of each would be used'),
    no_size=('has annotations of images without width and height',
             'write the sizes of the files'),
    id=('has annotations whose id is no whole number', 'number them'),
    double=('has annotations that share an id',
            'number them anew: only one of each would be used'),
    image=('has annotations of images that it does not list',
           'add the images to it, or take these annotations out'),
    category=('has annotations of categories that it does not list',
              'add the categories to it, or take these annotations out'),
    lacking=('has persons without {lacking}',
             "give COCO's person_keypoints_*.json or data like it, not "
             'instances_*.json; a person without labels has zeros'),
    keypoints=(
        'has annotations whose keypoints are not a list of {n} numbers',
        'write x, y and v for each of the {k} keypoints, zeros for those '
        'without label; if the data have other keypoints, give the data set '
        'their metainfo'),
    bbox=('has annotations whose bbox is not a list of four numbers',
          'write x, y, width and height in pixels'),
    iscrowd=('has annotations whose iscrowd is neither 0 nor 1',
             'write 1 for a crowd and 0 for a person'),
    no_mask=('has persons without segmentation',
             'give polygons or RLEs of all persons, or {without_masks}'),
    segmentation=('has annotations with a damaged segmentation',
                  'write [[x0, y0, x1, y1, ...], ...] in pixels, or an RLE '
                  "of the image's size"),
)

# What is noted -> what is said of the annotations
NOTES = dict(
    category='are of other categories than {person!r} and are left out',
    iscrowd='have an iscrowd of null: they are taken for single persons',
    visibility='have visibilities other than 0, 1 and 2: keypoints above 0 '
    'are taken for labelled, others not',
    num_keypoints='contradict their num_keypoints: it is counted anew',
    runs='have an RLE with empty runs: these are joined',
    area='have no positive area: it is estimated as that of the mask, or '
    'else as 0.53 of the box',
)


class Findings:
    """Collects the faults and notes of one file.

    Args:
        name: What to call the file.
        **places: What stands in the texts for ``{places}``.
    """

    def __init__(self, name: str, **places: Any) -> None:
        self.name = name
        self.places = places
        self.faults: Dict[str, List[Any]] = {}  # ids by fault
        self.details: Dict[str, str] = {}  # of the first
        self.notes: Dict[str, List[Any]] = {}  # ids by note

    def fault(self, kind: str, number: Any, detail: str = '') -> None:
        """Note that an entry is to be refused, and why."""
        self.faults.setdefault(kind, []).append(number)
        self.details.setdefault(kind, detail)

    def note(self, kind: str, number: Any) -> None:
        """Note that something of an entry was estimated or left out."""
        self.notes.setdefault(kind, []).append(number)

    def check(self) -> None:
        """Raise ValueError for the first kind of fault, if there is one."""
        for kind, ids in self.faults.items():
            fault, remedy = (text.format(**self.places)
                             for text in FAULTS[kind])
            label = 'image' if kind.startswith('image') else 'id'
            detail = self.details[kind] and f'; {ids[0]} {self.details[kind]}'
            self.refuse(f'{fault} ({len(ids)}: {label} {_first(ids)}{detail})',
                        remedy)

    def refuse(self, fault: str, remedy: str) -> NoReturn:
        """Raise ValueError of the file as a whole."""
        raise ValueError(f'{self.name} {fault}: {remedy}')

    def sentences(self, total: int) -> List[str]:
        """The notes, each with how many of all annotations it concerns."""
        return [
            f'{self.name}: {len(ids)} of {total} annotations '
            f'{NOTES[kind].format(**self.places)} (id {_first(ids)})'
            for kind, ids in self.notes.items()]


def _first(ids: Sequence[Any]) -> str:
    """The first five ids."""
    shown = [str(number) if isinstance(number, int) else f'{number!r:.50}'
             for number in ids[:5]]
    return ', '.join(shown + ['...'] * (len(ids) > 5))

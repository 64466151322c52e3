"""What is said of an annotation file: refused, or only noted."""
from typing import Any, Dict, List, NamedTuple, NoReturn, Sequence, Tuple

from ..errors import RunError
from .segmentations import MAX_PIXELS, MAX_SIDE

# Fault -> what is wrong with the entries, and the remedy
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

# What is noted -> what is said of the annotations, and what can be done
NOTES = dict(
    category=('are of other categories than {person!r} and are left out',
              'say by person=NAME of the data set if others are meant'),
    iscrowd=('have an iscrowd of null: they are taken for single persons',
             'write 1 for a crowd and 0 for a person'),
    visibility=('have visibilities other than 0, 1 and 2: keypoints above 0 '
                'are taken for labelled, others not',
                'write 0 without label, 1 if hidden, 2 if visible'),
    num_keypoints=('contradict their num_keypoints: it is counted anew',
                   'write the number of keypoints with v > 0'),
    runs=('have an RLE with empty runs: these are joined',
          'write the RLE anew with pycocotools'),
    bbox=('have a bbox without a pixel in the image: that of the mask, or '
          'else of the keypoints, is taken',
          'write x, y, width and height in pixels'),
    nowhere=('have neither box, mask nor labelled keypoints in the image: '
             'top-down models leave them out',
             'write them in pixels of the image, v = 0 for keypoints outside'),
    area=('have no positive area, or one that cannot be: it is estimated as '
          'that of the mask, or else as 0.53 of the box or of what the '
          'keypoints span', 'write the area of the mask in pixels'),
    mask_empty=('have a segmentation without a pixel in the image, which '
                'nothing can find', 'write it in pixels of the image'),
)


class Finding(NamedTuple):
    """One thing that is said of data, and what to do.

    Attributes:
        level: 'refused' (training stops), 'suspect' (it does not, but the
            data are probably not what was meant) or 'note'.
        kind: A word for it.
        text: What is said, with how many it concerns.
        example: The first ones and what they have; may be empty.
        remedy: What to do.
        ids: Of the images, of kinds that begin with 'image', or else of the
            annotations; empty of the file as a whole.
    """
    level: str
    kind: str
    text: str
    example: str
    remedy: str
    ids: Sequence[Any] = ()

    def __str__(self) -> str:
        example = f' ({self.example})' if self.example else ''
        line = f'{self.level}: {self.text}{example}: {self.remedy}'
        # names in the file may hold anything: line breaks, orders to terminals
        return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class RefusedAnnotations(RunError):
    """An annotation file that is not as it should be.

    Attributes:
        findings: All that was found to refuse so far, not only the first.
    """

    def __init__(self, message: str,
                 findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = list(findings)


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
        self.totals = {'images': 0, 'annotations': 0}

    def fault(self, kind: str, number: Any, detail: str = '') -> None:
        """Note that an entry is to be refused, and why."""
        self.faults.setdefault(kind, []).append(number)
        self.details.setdefault(kind, detail)

    def note(self, kind: str, number: Any) -> None:
        """Note that something of an entry was estimated or left out."""
        self.notes.setdefault(kind, []).append(number)

    def check(self) -> None:
        """Raise RefusedAnnotations if there is a fault; it names the first
        kind."""
        found = [self._refused(kind, ids) for kind, ids in self.faults.items()]
        for kind, ids in self.faults.items():
            fault, remedy = self._texts(FAULTS, kind)
            raise RefusedAnnotations(
                f'{self.name} {fault} ({len(ids)}: {found[0].example}): '
                f'{remedy}', found)

    def refuse(self, fault: str, remedy: str) -> NoReturn:
        """Raise RefusedAnnotations of the file as a whole."""
        raise RefusedAnnotations(
            f'{self.name} {fault}: {remedy}',
            [Finding('refused', 'file', f'the file {fault}', '', remedy)])

    def sentences(self, total: int) -> List[str]:
        """The notes, each with how many of all annotations it concerns."""
        return [f'{self.name}: {note.text} ({note.example})'
                for note in self.noted(total)]

    def noted(self, total: int) -> List[Finding]:
        """The notes on the annotations, of which there are ``total``."""
        notes = []
        for kind, ids in self.notes.items():
            text, remedy = self._texts(NOTES, kind)
            notes.append(Finding(
                'note', kind, f'{len(ids)} of {total} annotations {text}',
                f'id {first(ids)}', remedy, ids))
        return notes

    def _refused(self, kind: str, ids: List[Any]) -> Finding:
        fault, remedy = self._texts(FAULTS, kind)
        label = 'image' if kind.startswith('image') else 'id'
        detail = self.details[kind] and f'; {ids[0]} {self.details[kind]}'
        total = self.totals['images' if kind.startswith('image_') else
                            'annotations']
        of = '' if kind == 'image' else f' of {total}'  # of these, images
        return Finding(
            'refused', kind, f"{len(ids)}{of} {fault.removeprefix('has ')}",
            f'{label} {first(ids)}{detail}', remedy, ids)

    def _texts(self, texts: Dict[str, Tuple[str, str]],
               kind: str) -> Tuple[str, ...]:
        return tuple(text.format(**self.places) for text in texts[kind])


def first(ids: Sequence[Any]) -> str:
    """The first five ids."""
    shown = [str(number) if isinstance(number, int) else f'{number!r:.50}'
             for number in ids[:5]]
    return ', '.join(shown + ['...'] * (len(ids) > 5))

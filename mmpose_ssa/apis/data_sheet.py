"""A page of training data to look at: annotations, and what becomes of them.

One self-contained HTML file, pictures included. Left the annotation on the
image; right, where a config was given, one random view as training sees it,
with the targets of heatmaps and masks.
"""
import base64
import html
from pathlib import Path
from typing import Collection, Dict, List, NamedTuple, Sequence, Tuple, Union

import cv2
import numpy as np

from ..annotations.findings import Finding
from ..datasets.loading import LoadCheckedImage
from ..encoding.masks import rasterize
from ..files import write_whole
from .data_report import DataReport, concerned, places
from .results import counted
from .visualizer import (BLACK, Skeleton, draw_skeleton, paint_mask,
                         person_colors)

SIDE = 512  # pixels of the longer side of a picture
FEW = 5  # annotations whose ids do not hide the picture

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5em auto;
       max-width: 1180px; padding: 0 1em; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .3em .8em .3em 0;
         border-bottom: 1px solid #8885; overflow-wrap: anywhere; }
.refused { color: #d32f2f; } .suspect { color: #c77700; }
.level { font-weight: 600; }
.level, .kind { white-space: nowrap; }
.cards { display: grid; gap: 1.5em; margin-top: 1.5em; --least: 340px;
    grid-template-columns:
        repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); }
.wide { --least: 560px; }
figure { margin: 0; } figcaption { overflow-wrap: anywhere; }
.views { display: grid; gap: 4px; align-items: start; }
.wide .views { grid-template-columns: 1fr 1fr; }
.views img { width: 100%; height: auto; }
ul { margin: .2em 0; padding-left: 1.2em; }
@media (max-width: 700px) {
    table, tbody, tr, td { display: block; } th { display: none; }
    tr { border-bottom: 1px solid #8885; padding: .5em 0; }
    td { border: 0; padding: 0; }
    .level, .kind { display: inline; padding-right: .5em; }
    .wide { --least: 300px; }
}
"""


class Card(NamedTuple):
    """One image of the sheet.

    Attributes:
        name: Of its file.
        size: What to say of it.
        views: Pictures, BGR (H, W, 3).
        remarks: Level and text of each.
    """
    name: str
    size: str
    views: List[np.ndarray]
    remarks: List[Tuple[str, str]]


def write_sheet(report: DataReport, path: Union[str, Path],
                samples: int = 24) -> None:
    """Write the page; the report learns what the pipeline refuses of it.

    Args:
        report: What was found.
        path: The HTML file.
        samples: Number of images: first one for each finding, then some from
            everywhere in the file.
    """
    images = {image['id']: image
              for image in report.dataset.get('images', ())}
    remarks = {number: [(f, which) for f, which in said if f.level != 'note']
               for number, said in concerned(report).items()}
    chosen = choose_images(report, samples)
    cards = [_card(report, images[number], remarks.get(number, []))
             for number in chosen]
    write_whole(_page(report, cards), path)


def choose_images(report: DataReport, samples: int) -> List[int]:
    """Ids of images: the first of each finding, then evenly among all."""
    images = [image['id'] for image in report.dataset.get('images', ())]
    of_finding: Dict[int, int] = {}
    for finding, image, _ in places(report):
        of_finding.setdefault(id(finding), image)
    wanted = list(of_finding.values())
    with_people = {ann['image_id']
                   for ann in report.dataset.get('annotations', ())}
    rest = [i for i in images if i in with_people] or images
    if rest:
        steps = np.linspace(0, len(rest) - 1, min(samples, len(rest)))
        wanted += [rest[step] for step in np.round(steps).astype(int)]
    return list(dict.fromkeys(wanted))[:samples]


# --- pictures ---------------------------------------------------------------


def draw_targets(results: dict) -> np.ndarray:
    """Draw what a training pipeline made of an image.

    Args:
        results: Before ``PackPoseInputs``: ``img`` and, of those that the
            pipeline makes, ``instance_masks`` (N, h, w), ``heatmaps``
            (K, h, w) and ``heatmap_mask``.

    Returns:
        BGR (H, W, 3): masks in the colours of the persons, heatmaps white,
        what the heatmap loss leaves out dark.
    """
    image = results['img']
    h, w = image.shape[:2]

    def enlarged(small: np.ndarray) -> np.ndarray:
        return cv2.resize(small, (w, h), interpolation=cv2.INTER_NEAREST)

    masks = results.get('instance_masks', np.zeros((0, 1, 1), np.uint8))
    for mask, color in zip(masks, person_colors(len(masks))):
        image = paint_mask(image, enlarged(mask), color)
    if 'heatmap_mask' in results:
        valid = enlarged(np.asarray(results['heatmap_mask']).max(axis=0))
        image = np.where(valid[..., None] > 0, image, image // 4)
    if 'heatmaps' in results:
        heat = enlarged(results['heatmaps'].max(axis=0).clip(0, 1))[..., None]
        image = np.uint8(image * (1 - heat) + 255 * heat)
    return _fitted(image)[0]


def draw_annotations(image: np.ndarray, annotations: Sequence[dict],
                     skeleton: Skeleton,
                     named: Collection[object] = ()) -> np.ndarray:
    """Draw masks, boxes, keypoints and ids of annotations on their image.

    Args:
        image: BGR (H, W, 3).
        annotations: Checked.
        skeleton: What to draw.
        named: Ids of the annotations to write beside them.

    Returns:
        BGR, scaled to ``SIDE``. Keypoints with v = 1 are hollow.
    """
    size = image.shape[:2]
    image, scale = _fitted(image)
    h, w = image.shape[:2]
    matrix = scale * np.eye(2, 3)
    colors = person_colors(len(annotations)).tolist()
    for ann, color in zip(annotations, colors):
        if ann.get('segmentation'):
            try:
                mask = rasterize(ann['segmentation'], size, matrix, (w, h))
            except ValueError:  # of an image of another size: it is told
                continue
            image = paint_mask(image, mask, color, .35)
    for ann, color in zip(annotations, colors):
        table = np.reshape(ann.get('keypoints', ()), (-1, 3)).astype(float)
        if len(table):
            points = (table[:, :2] + .5) * scale - .5
            image = draw_skeleton(image, np.clip(points, -9999, 9999),
                                  table[:, 2] > 0, skeleton)
            for x, y in np.round(points[table[:, 2] == 1]).astype(int):
                cv2.circle(image, (int(x), int(y)), 1, BLACK, -1)
        if 'bbox' in ann:
            x, y, bw, bh = (float(side) * scale for side in ann['bbox'])
            low = round(max(x, -9999)), round(max(y, -9999))
            high = round(min(x + bw, 9999)), round(min(y + bh, 9999))
            cv2.rectangle(image, low, high, color, 1)
        if ann['id'] in named:
            image = _labelled(image, ann, scale, color)
    return image


def _labelled(image: np.ndarray, ann: dict, scale: float,
              color: Sequence[int]) -> np.ndarray:
    """The picture with an annotation's id at its box."""
    x, y = (np.multiply(ann.get('bbox', [0, 0])[:2], scale)).clip(
        0, [image.shape[1] - 40, image.shape[0] - 18]).astype(int).tolist()
    place = x + 2, y + 17
    for line, width in ((BLACK, 5), (color, 2)):
        cv2.putText(image, str(ann['id']), place, cv2.FONT_HERSHEY_SIMPLEX,
                    .6, line, width, cv2.LINE_AA)
    return image


def _fitted(image: np.ndarray) -> Tuple[np.ndarray, float]:
    """The image with a longer side of ``SIDE`` pixels, and its scale."""
    scale = SIDE / max(image.shape[:2])
    w, h = (max(round(side * scale), 1) for side in image.shape[1::-1])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (w, h), interpolation=way), scale


# --- the page ---------------------------------------------------------------


def _card(report: DataReport, image: dict,
          remarks: Sequence[Tuple[Finding, object]]) -> Card:
    annotations = [ann for ann in report.dataset.get('annotations', ())
                   if ann['image_id'] == image['id']]
    views = []
    try:
        pixels = LoadCheckedImage().transform(dict(
            img_path=str(Path(report.folder) / image['file_name'])))['img']
        named = {number for _, number in remarks} if len(
            annotations) > FEW else {ann['id'] for ann in annotations}
        views.append(draw_annotations(pixels, annotations, report.skeleton,
                                      named))
        targets = report.trial.run(image) if report.trial else None
        # parts of a CombinedDataset, which has further steps, have no image
        if targets and 'img' in targets:
            views.append(draw_targets(targets))
    except (OSError, ValueError):
        pass  # it is among the findings
    said = [(finding.level, (f'{number}: ' if number is not None else '')
             + _word(finding)) for finding, number in remarks]
    size = f"{image.get('width')} x {image.get('height')}"
    return Card(str(image['file_name']),
                f"image {image['id']}, {size}, "
                + counted(len(annotations), 'person'),
                views, said)


def _page(report: DataReport, cards: Sequence[Card]) -> str:
    escape = html.escape
    rows = ''.join(
        f'<tr><td class="level {f.level}">{f.level}</td>'
        f'<td class="kind">{_word(f)}</td>'
        f'<td>{escape(f.text)}'
        f'{escape(f" ({f.example})" if f.example else "")}</td>'
        f'<td>{escape(f.remedy)}</td></tr>\n' for f in report.findings)
    table = ('<table><tr><th></th><th>kind</th><th>what</th><th>remedy</th>'
             f'</tr>\n{rows}</table>' if rows else '<p>Nothing was found.</p>')
    wide = ' wide' if any(len(card.views) > 1 for card in cards) else ''
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(Path(report.ann_file).name)}</title>
<style>{STYLE}</style></head><body>
<h1>{escape(Path(report.ann_file).name)}</h1>
<p>{escape(report.ann_file)}, images in {escape(report.folder)}:<br>
{escape(report.summary)}.</p>
{table}
<p>{escape(_legend(bool(wide)))}</p>
<div class="cards{wide}">
{''.join(map(_figure, cards))}</div>
</body></html>
"""


def _word(finding: Finding) -> str:
    """A finding's kind as it is shown."""
    return finding.kind.removeprefix('image_').replace('_', ' ')


def _legend(targets: bool) -> str:
    text = ('Annotations: masks, boxes and skeletons, with the id of each; '
            'keypoints with v = 1 have a dark middle.')
    if targets:
        text += (' Beside them one view as training sees it: masks that '
                 'supervise the attention in colours, heatmaps white, dark '
                 'what the heatmap loss leaves out.')
    return text


def _figure(card: Card) -> str:
    views = ''.join(f'<img alt="" src="{_data(view)}">' for view in card.views)
    views = f'<div class="views">{views}</div>' if views else \
        '<p class="refused">cannot be shown</p>'
    remarks = ''.join(f'<li class="{level}">{html.escape(text)}</li>'
                      for level, text in card.remarks)
    return (f'<figure>{views}<figcaption>{html.escape(card.name)}<br>'
            f'{html.escape(card.size)}'
            f'{f"<ul>{remarks}</ul>" if remarks else ""}'
            '</figcaption></figure>\n')


def _data(picture: np.ndarray) -> str:
    """A picture as an address that holds it."""
    _, jpeg = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return 'data:image/jpeg;base64,' + base64.b64encode(jpeg).decode()

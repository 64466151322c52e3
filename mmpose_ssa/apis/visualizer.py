"""Pictures of persons and of the attention of single keypoints.

Images are BGR, uint8, (H, W, 3); points are in their pixels (indices). Pure:
arrays in, a new image out.
"""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
GREY = (160, 160, 160)  # of persons without an id
WIDEST = 1440  # pixels of a picture beside others


class Skeleton(NamedTuple):
    """How the K keypoints of a data set are drawn.

    Attributes:
        names: K names of keypoints.
        links: (E, 2) pairs of keypoints.
        keypoint_colors: (K, 3) RGB.
        link_colors: (E, 3) RGB. MMPose's tell left from right.
    """
    names: Sequence[str]
    links: Sequence[Tuple[int, int]]
    keypoint_colors: np.ndarray
    link_colors: np.ndarray

    @classmethod
    def from_meta(cls, meta: dict) -> 'Skeleton':
        """Of a model's ``dataset_meta``, as MMPose parses it."""
        names = meta['keypoint_id2name']
        return cls([names[i] for i in range(len(names))],
                   meta['skeleton_links'], meta['keypoint_colors'],
                   meta['skeleton_link_colors'])


def person_colors(number: int) -> np.ndarray:
    """(P, 3) BGR colours whose hues lie far apart.

    Successive hues differ by the golden ratio of the circle, so that the
    first of any number of colours are the same.
    """
    hues = np.arange(number) * 180 * 0.618 % 180
    return np.array([_hsv_to_bgr(hue, 200, 255) for hue in hues],
                    np.uint8).reshape(-1, 3)


class Marks(NamedTuple):
    """What is known of P persons beside keypoints and masks.

    Attributes:
        filled: (P, K), keypoints that are guesses: drawn as rings.
        hidden: (P, K), keypoints behind another person: drawn as crosses.
        ids: (P,) whole numbers whose colours the persons get, grey if
            negative; their places by default.
        labels: P lines of text above the persons.
    """
    filled: Optional[np.ndarray] = None
    hidden: Optional[np.ndarray] = None
    ids: Optional[Sequence[int]] = None
    labels: Sequence[str] = ()


def draw_persons(image: np.ndarray,
                 keypoints: np.ndarray,
                 scores: np.ndarray,
                 masks: Sequence[np.ndarray],
                 skeleton: Skeleton,
                 kpt_thr: float = 0.,
                 marks: Optional[Marks] = None) -> np.ndarray:
    """Draw masks and skeletons, one colour for each person.

    Args:
        image: (H, W, 3).
        keypoints: (P, K, 2), best person first.
        scores: (P, K); keypoints with a score of at most ``kpt_thr`` are not
            drawn, nor are persons without others.
        masks: P arrays (H, W) of 0 and 1; empty of a model without masks.
        skeleton: What to draw.
        kpt_thr: See above.
        marks: What else is known.

    Returns:
        (H, W, 3), the best persons on top.
    """
    marks = marks or Marks()
    shown = scores > kpt_thr
    persons = np.flatnonzero(shown.any(axis=1))[::-1]
    colors = colors_of(marks.ids, len(keypoints))
    nothing = np.zeros(scores.shape, bool)
    filled, hidden = (nothing if flags is None else np.asarray(flags, bool)
                      for flags in (marks.filled, marks.hidden))
    for p in persons:
        if len(masks):
            image = paint_mask(image, masks[p], colors[p])
    for p in persons:
        image = draw_skeleton(image, keypoints[p], shown[p], skeleton,
                              filled[p], hidden[p])
    for p in persons:
        if len(marks.labels):
            top = keypoints[p][shown[p]].min(axis=0)
            image = draw_label(image, marks.labels[p], top, colors[p])
    return image


def colors_of(ids: Optional[Sequence[int]], number: int) -> np.ndarray:
    """(P, 3) BGR colours of the ids, or of 0, 1, ... without them.

    Persons with a negative id, to whom a tracker gave none, are grey.
    """
    chosen = np.arange(number) if ids is None else np.asarray(ids, int)
    colors = person_colors(int(chosen.max(initial=-1)) + 1)
    # -1 and what is below take the last row
    return np.array([*colors, GREY], np.uint8)[np.maximum(chosen, -1)]


def draw_label(image: np.ndarray, text: str, point: Sequence[float],
               color: Sequence[int]) -> np.ndarray:
    """Write a line above a point (x, y), inside the image, on its colour."""
    scale = max(min(image.shape[:2]) / 1000, 0.35)
    stroke = max(round(2 * scale), 1)
    (w, h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale,
                                    stroke)
    height = h + below + 2
    x = int(np.clip(point[0], 0, max(image.shape[1] - w - 2, 0)))
    y = int(np.clip(point[1] - 2 * height, 0,
                    max(image.shape[0] - height, 0)))
    drawn = image.copy()
    cv2.rectangle(drawn, (x, y), (x + w + 2, y + height),
                  tuple(int(c) for c in color), -1)
    cv2.putText(drawn, text, (x + 1, y + h + 1), cv2.FONT_HERSHEY_SIMPLEX,
                scale, BLACK, stroke, cv2.LINE_AA)
    return drawn


def paint_mask(image: np.ndarray,
               mask: np.ndarray,
               color: Sequence[int],
               opacity: float = 0.45) -> np.ndarray:
    """Paint a mask (H, W) half transparent, its inner edge opaque."""
    painted, inside = image.copy(), mask.astype(bool)
    edge = inside & (cv2.erode(
        mask.astype(np.uint8), np.ones((3, 3)), borderValue=0) == 0)
    painted[inside] = np.round((1 - opacity) * image[inside]
                               + opacity * np.asarray(color, float))
    painted[edge] = color
    return painted


def draw_skeleton(image: np.ndarray,
                  keypoints: np.ndarray,
                  shown: np.ndarray,
                  skeleton: Skeleton,
                  filled: Optional[np.ndarray] = None,
                  hidden: Optional[np.ndarray] = None) -> np.ndarray:
    """Draw keypoints and their links.

    Args:
        image: (H, W, 3).
        keypoints: (K, 2).
        shown: (K,), those that are drawn.
        skeleton: Links and colours.
        filled: (K,), those drawn as rings.
        hidden: (K,), those drawn as crosses.

    Returns:
        (H, W, 3). Links of a filled or hidden keypoint are thin.
    """
    nothing = np.zeros(len(shown), bool)
    filled = nothing if filled is None else filled
    hidden = nothing if hidden is None else hidden
    drawn, width = image.copy(), _line_width(image)
    points = np.round(keypoints).astype(int).tolist()
    for (a, b), color in zip(skeleton.links, skeleton.link_colors):
        if not (shown[a] and shown[b]):
            continue
        unsure = filled[a] or filled[b] or hidden[a] or hidden[b]
        line = max(width // 2, 1) if unsure else width
        for shade, stroke in ((BLACK, line + 2), (_bgr(color), line)):
            cv2.line(drawn, points[a], points[b], shade, stroke, cv2.LINE_AA)
    for k in np.flatnonzero(shown):
        color = _bgr(skeleton.keypoint_colors[k])
        if hidden[k]:
            for shade, stroke in ((BLACK, width + 2), (color, width)):
                cv2.drawMarker(drawn, points[k], shade,
                               cv2.MARKER_TILTED_CROSS, 4 * width + 4, stroke,
                               cv2.LINE_AA)
        elif filled[k]:
            for shade, stroke in ((BLACK, width + 2), (color, width)):
                cv2.circle(drawn, points[k], 2 * width + 2, shade, stroke,
                           cv2.LINE_AA)
        else:
            for radius, shade in ((width + 2, BLACK), (width + 1, color)):
                cv2.circle(drawn, points[k], radius, shade, -1, cv2.LINE_AA)
    return drawn


# --- attention (Fig. 9) -----------------------------------------------------


def sample_keypoints(scores: np.ndarray,
                     number: int = 4) -> List[Tuple[int, int]]:
    """Choose found keypoints (person, type) to look from.

    The best keypoint of each person, best person first, then the second best
    ones, and so on.

    Args:
        scores: (P, K), 0 where missing, best person first.
        number: How many at most.
    """
    ranking = np.argsort(-scores, axis=1, kind='stable')
    return [(p, int(ranking[p, rank])) for rank in range(scores.shape[1])
            for p in range(len(scores))
            if scores[p, ranking[p, rank]] > 0][:number]


def draw_attention(image: np.ndarray,
                   attention: np.ndarray,
                   point: Sequence[float],
                   opacity: float = 0.6) -> np.ndarray:
    """Attention in heat colours, redder where higher, and a white star.

    Args:
        image: (H, W, 3).
        attention: (H, W) in [0, 1].
        point: (x, y) of the keypoint that attends.
        opacity: Of the colours over the image, which turns grey.

    Returns:
        (H, W, 3).
    """
    # 224 is the colour map's pure red; beyond it darkens
    heat = cv2.applyColorMap(np.uint8(np.round(224 * attention)),
                             cv2.COLORMAP_JET)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    mixed = np.uint8(np.round((1 - opacity) * grey + opacity * heat))
    return draw_star(mixed, point, 4 + 3 * _line_width(image))


def draw_star(image: np.ndarray, point: Sequence[float],
              radius: float) -> np.ndarray:
    """Draw a white pentagram with a black outline."""
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2, 0.45 * radius, radius)[:, None]
    corners = point + radii * np.stack([np.cos(angles), np.sin(angles)], -1)
    drawn, polygon = image.copy(), [np.round(corners).astype(np.int32)]
    cv2.fillPoly(drawn, polygon, WHITE, cv2.LINE_AA)
    cv2.polylines(drawn, polygon, True, BLACK, 1, cv2.LINE_AA)
    return drawn


def side_by_side(panels: Sequence[np.ndarray],
                 captions: Sequence[str],
                 height: int = 360) -> np.ndarray:
    """Set pictures of one size beside each other, with captions above.

    Args:
        panels: Images (H, W, 3).
        captions: As many lines of text.
        height: Of the panels in the picture, in pixels.

    Returns:
        (height + 24, W', 3); lower if a panel would be wider than
        `WIDEST` pixels.
    """
    columns = []
    for panel, caption in zip(panels, captions):
        factor = min(height / panel.shape[0], WIDEST / panel.shape[1])
        column = cv2.copyMakeBorder(resized(panel, factor), 24, 0, 0, 6,
                                    cv2.BORDER_CONSTANT, value=WHITE)
        cv2.putText(column, caption, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5,
                    BLACK, 1, cv2.LINE_AA)
        columns.append(column)
    return np.hstack(columns)


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """An image of other size, of one pixel at least on each side."""
    height, width = (max(round(n * factor), 1) for n in image.shape[:2])
    return cv2.resize(
        image, (width, height),
        interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _line_width(image: np.ndarray) -> int:
    """Width of lines that suits the size of an image."""
    return max(round(min(image.shape[:2]) / 240), 1)


def _hsv_to_bgr(*hsv: float) -> np.ndarray:
    return cv2.cvtColor(np.uint8([[hsv]]), cv2.COLOR_HSV2BGR)[0, 0]


def _bgr(rgb: Sequence[int]) -> Tuple[int, ...]:
    return tuple(int(c) for c in rgb[::-1])

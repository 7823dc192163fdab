"""From what the models say to an annotation, or the reason why a picture is no use.

The rules are those of the official tool: boxes above a score, without those that overlap a better one, one or two
things in a picture, each phrase once. Masks that do not fill their boxes are refused in addition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image

from mmdiff_core.training.annotate.annotators import Captioner, Detection, Detector, Segmenter
from mmdiff_core.training.annotate.noun_phrases import Span, noun_phrases
from mmdiff_core.training.annotated.format import Annotation, BoxPixels, Segment

Reason = Literal[
    "the picture cannot be read",
    "the picture is too small",
    "the caption is empty",
    "no noun phrase in the caption",
    "nothing was found",
    "too many things",
    "one phrase for several things",
    "a thing is too small or fills the picture",
    "a mask does not fit its box",
]


@dataclass(frozen=True)
class Rules:
    """What makes a picture good enough."""

    smallest_side: int = 256  # pixels
    overlap: float = 0.5  # of two boxes, above which only the better one stays
    subjects: int = 2  # at most
    least: float = 0.01  # of the picture that a thing covers
    most: float = 0.95
    fill: float = 0.15  # of its box that a mask covers at least
    inside: float = 0.7  # of a mask that lies in its box at least


class Dropped(Exception):
    """A picture is no use: why, and what exactly."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Annotators:
    """The models of an annotation."""

    caption: Captioner
    detect: Detector
    segment: Segmenter


def annotate_picture(
    picture: Image.Image, image_id: str, models: Annotators, rules: Rules, caption: str | None = None
) -> tuple[Annotation, np.ndarray]:
    """The annotation and the mask (H, W) of a picture.

    Args:
        picture: RGB.
        image_id: its name.
        models: the models.
        rules: what is good enough.
        caption: what a person wrote about it; else the captioner does.

    Raises:
        Dropped: it is no use; the reason says why.
    """
    if min(picture.size) < rules.smallest_side:
        raise Dropped("the picture is too small", f"{picture.width} x {picture.height}")
    text = " ".join((models.caption(picture) if caption is None else caption).split())
    if not text:
        raise Dropped("the caption is empty")
    spans = noun_phrases(text)
    if not spans:
        raise Dropped("no noun phrase in the caption", text)
    found = things(models.detect(picture, [text[start:end] for start, end in spans]), rules, text)
    masks = models.segment(picture, [thing.box for thing in found])
    ids = number_masks(picture, found, masks, rules, text)
    segments = tuple(_segment(number, text, spans[thing.phrase], thing) for number, thing in enumerate(found, start=1))
    return Annotation(image_id, text, segments), ids


def things(found: Sequence[Detection], rules: Rules, caption: str) -> list[Detection]:
    """The finds that count, in the order of their phrases. Raises Dropped if they are none, too many or unclear."""
    kept = without_overlaps(found, rules.overlap)
    if not kept:
        raise Dropped("nothing was found", caption)
    if len(kept) > rules.subjects:
        raise Dropped("too many things", f"{len(kept)}: {caption}")
    if len({thing.phrase for thing in kept}) < len(kept):
        raise Dropped("one phrase for several things", caption)
    return sorted(kept, key=lambda thing: thing.phrase)


def without_overlaps(found: Sequence[Detection], most: float) -> list[Detection]:
    """The best boxes, none of which overlaps a better one by more than ``most`` of their union."""
    kept: list[Detection] = []
    for thing in sorted(found, key=lambda thing: -thing.score):
        if all(overlap(thing.box, other.box) <= most for other in kept):
            kept.append(thing)
    return kept


def overlap(one: BoxPixels, other: BoxPixels) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def number_masks(
    picture: Image.Image, found: Sequence[Detection], masks: Sequence[np.ndarray], rules: Rules, caption: str
) -> np.ndarray:
    """The masks as ids (H, W); where two overlap, the smaller is in front. Raises Dropped if one does not fit."""
    ids = np.zeros((picture.height, picture.width), np.uint8)
    for number, mask in sorted(enumerate(masks, start=1), key=lambda pair: -int(pair[1].sum())):
        ids[mask] = number
    for number, (thing, mask) in enumerate(zip(found, masks, strict=True), start=1):
        share = float((ids == number).mean())
        if not rules.least <= share <= rules.most:
            raise Dropped("a thing is too small or fills the picture", f"{100 * share:.1f} %: {caption}")
        left, top, right, bottom = _whole_pixels(thing.box, picture.size)
        within = int(mask[top:bottom, left:right].sum())
        box = max(1, (right - left) * (bottom - top))
        if within < rules.fill * box or within < rules.inside * int(mask.sum()):
            raise Dropped("a mask does not fit its box", caption)
    return ids


def name_identity(annotation: Annotation, ids: np.ndarray, identity: str) -> Annotation:
    """The same with the identity on its largest segment."""
    sizes = np.bincount(ids.ravel(), minlength=256)
    largest = max(annotation.segments, key=lambda segment: sizes[segment.id])
    return replace(
        annotation,
        segments=tuple(replace(s, identity=identity) if s is largest else s for s in annotation.segments),
    )


def _segment(number: int, caption: str, span: Span, thing: Detection) -> Segment:
    """With the box on whole pixels inside, as the official tool rounds it."""
    left, top, right, bottom = thing.box
    box = (float(math.ceil(left)), float(math.ceil(top)), float(math.floor(right)), float(math.floor(bottom)))
    return Segment(number, caption[span[0] : span[1]], *span, box)


def _area(box: BoxPixels) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _whole_pixels(box: BoxPixels, size: tuple[int, int]) -> tuple[int, int, int, int]:
    return (
        max(0, math.floor(box[0])), max(0, math.floor(box[1])),
        min(size[0], math.ceil(box[2])), min(size[1], math.ceil(box[3])),
    )  # fmt: skip

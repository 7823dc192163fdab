"""From the models' outputs to an annotation, or to the reason why an image is dropped.

The rules are those of the official tool: boxes above a score, without those that overlap a better one, one or two
things in an image, each phrase once. In addition, masks must fill their boxes.
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
    "the image cannot be read",
    "the image is too small",
    "the caption is empty",
    "no noun phrase in the caption",
    "nothing was found",
    "too many things",
    "one phrase for several things",
    "a thing is too small or fills the image",
    "a mask does not fit its box",
]


@dataclass(frozen=True)
class Rules:
    """What an image must be like to be annotated."""

    smallest_side: int = 256  # pixels
    max_overlap: float = 0.5  # of two boxes; above it only the better one is kept
    subjects: int = 2  # the most in an image
    min_share: float = 0.01  # of the image, covered by a thing
    max_share: float = 0.95
    min_fill: float = 0.15  # of its box, covered by a mask
    min_inside: float = 0.7  # of a mask, inside its box


class Dropped(Exception):
    """An image cannot be annotated: the reason, and the details."""

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


def annotate_image(
    image: Image.Image, image_id: str, annotators: Annotators, rules: Rules, caption: str | None = None
) -> tuple[Annotation, np.ndarray]:
    """Return the annotation and the mask (H, W) of an image.

    Args:
        image: RGB.
        image_id: its name.
        annotators: the models.
        rules: what the image must be like.
        caption: written by a person; None: by the captioner.

    Raises:
        Dropped: the image cannot be annotated.
    """
    if min(image.size) < rules.smallest_side:
        raise Dropped("the image is too small", f"{image.width} x {image.height}")
    text = " ".join((annotators.caption(image) if caption is None else caption).split())
    if not text:
        raise Dropped("the caption is empty")
    spans = noun_phrases(text)
    if not spans:
        raise Dropped("no noun phrase in the caption", text)
    chosen = choose_detections(annotators.detect(image, [text[start:end] for start, end in spans]), rules, text)
    masks = annotators.segment(image, [thing.box for thing in chosen])
    ids = number_masks(image, chosen, masks, rules, text)
    segments = tuple(_segment(number, text, spans[thing.phrase], thing) for number, thing in enumerate(chosen, start=1))
    return Annotation(image_id, text, segments), ids


def choose_detections(detections: Sequence[Detection], rules: Rules, caption: str) -> list[Detection]:
    """Return the detections that count, in the order of their phrases; raise Dropped if none, too many or unclear."""
    kept = without_overlaps(detections, rules.max_overlap)
    if not kept:
        raise Dropped("nothing was found", caption)
    if len(kept) > rules.subjects:
        raise Dropped("too many things", f"{len(kept)}: {caption}")
    if len({thing.phrase for thing in kept}) < len(kept):
        raise Dropped("one phrase for several things", caption)
    return sorted(kept, key=lambda thing: thing.phrase)


def without_overlaps(detections: Sequence[Detection], max_overlap: float) -> list[Detection]:
    """Return the best boxes, none of which overlaps a better one by more than ``max_overlap`` of their union."""
    kept: list[Detection] = []
    for thing in sorted(detections, key=lambda thing: -thing.score):
        if all(overlap(thing.box, other.box) <= max_overlap for other in kept):
            kept.append(thing)
    return kept


def overlap(one: BoxPixels, other: BoxPixels) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def number_masks(
    image: Image.Image, detections: Sequence[Detection], masks: Sequence[np.ndarray], rules: Rules, caption: str
) -> np.ndarray:
    """Return the masks as ids (H, W), smaller ones in front of larger ones; raise Dropped if one does not fit."""
    ids = np.zeros((image.height, image.width), np.uint8)
    for number, mask in sorted(enumerate(masks, start=1), key=lambda pair: -int(pair[1].sum())):
        ids[mask] = number
    for number, (thing, mask) in enumerate(zip(detections, masks, strict=True), start=1):
        share = float((ids == number).mean())
        if not rules.min_share <= share <= rules.max_share:
            raise Dropped("a thing is too small or fills the image", f"{100 * share:.1f} %: {caption}")
        left, top, right, bottom = _whole_pixels(thing.box, image.size)
        inside = int(mask[top:bottom, left:right].sum())
        box = max(1, (right - left) * (bottom - top))
        if inside < rules.min_fill * box or inside < rules.min_inside * int(mask.sum()):
            raise Dropped("a mask does not fit its box", caption)
    return ids


def name_identity(annotation: Annotation, ids: np.ndarray, identity: str) -> Annotation:
    """Give the identity to the largest segment of an annotation."""
    sizes = np.bincount(ids.ravel(), minlength=256)
    largest = max(annotation.segments, key=lambda segment: sizes[segment.id])
    return replace(
        annotation,
        segments=tuple(replace(s, identity=identity) if s is largest else s for s in annotation.segments),
    )


def _segment(number: int, caption: str, span: Span, thing: Detection) -> Segment:
    """Make a segment, its box rounded inwards to whole pixels as by the official tool."""
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

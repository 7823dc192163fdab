"""Assignment of detected faces to the segments that contain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from PIL import Image

from mmdiff_core.encoders.photo import as_image
from mmdiff_core.training.annotated.format import Annotation
from mmdiff_core.types import Box, Face


class LocatedFace(Protocol):
    """A face and its place, in fractions of the image."""

    @property
    def box(self) -> Box: ...
    @property
    def face(self) -> Face: ...


class FaceFinder(Protocol):
    """Finds the faces of an image."""

    def find(self, photo: Image.Image) -> Sequence[LocatedFace]: ...


def add_faces(
    annotation: Annotation, ids: np.ndarray, detected: Sequence[LocatedFace]
) -> tuple[Annotation, dict[int, Image.Image]]:
    """Return the annotation with the embeddings of its segments' faces, and their crops by segment.

    A face belongs to the segment that covers most of its box, at least a third; of several faces the largest counts.
    """
    chosen: dict[int, LocatedFace] = {}
    for face in sorted(detected, key=lambda face: (face.box.right - face.box.left) * (face.box.bottom - face.box.top)):
        owner = _owner(face.box, ids)
        if owner:
            chosen[owner] = face
    segments = tuple(
        replace(segment, face=chosen[segment.id].face.embedding) if segment.id in chosen else segment
        for segment in annotation.segments
    )
    return replace(annotation, segments=segments), {number: as_image(face.face.crop) for number, face in chosen.items()}


def _owner(box: Box, ids: np.ndarray) -> int:
    """Return the segment with the largest part of the box; 0 if none covers a third of it."""
    height, width = ids.shape
    rows = slice(int(box.top * height), max(int(box.top * height) + 1, round(box.bottom * height)))
    columns = slice(int(box.left * width), max(int(box.left * width) + 1, round(box.right * width)))
    inside = ids[rows, columns]
    counts = np.bincount(inside.ravel(), minlength=256)
    counts[0] = 0
    best = int(counts.argmax())
    return best if counts[best] >= inside.size / 3 else 0

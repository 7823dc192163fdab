"""Annotators that find what a test says, for a caption with a cat and a dog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from mmdiff_core.training.annotate.annotators import Detection
from mmdiff_core.training.annotate.rules import Annotators, Rules, annotate_image
from mmdiff_core.training.annotated.format import Annotation, BoxPixels
from mmdiff_core.types import Box, Face
from tests.helpers import tiny

CAPTION = "a cat next to a dog on the beach"
CAT, DOG = (10.4, 10.0, 30.0, 50.2), (40.0, 20.0, 60.0, 60.0)
SIZE = (80, 64)
RULES = Rules(smallest_side=32)


@dataclass
class FakeAnnotators:
    """Annotators that find what a test says, and keep what they were asked."""

    caption_text: str = CAPTION
    found: Sequence[Detection] = (Detection(1, 0.8, DOG), Detection(0, 0.9, CAT))
    fill: float = 1.0  # of the box
    asked: list[object] = field(default_factory=list)

    def caption(self, image: Image.Image) -> str:
        self.asked.append(image.size)
        return self.caption_text

    def detect(self, image: Image.Image, phrases: Sequence[str]) -> list[Detection]:
        self.asked.append(tuple(phrases))
        return list(self.found)

    def segment(self, image: Image.Image, boxes: Sequence[BoxPixels]) -> list[np.ndarray]:
        masks = []
        for left, top, right, bottom in boxes:
            mask = np.zeros((image.height, image.width), bool)
            mask[int(top) : int(top + self.fill * (bottom - top)), int(left) : int(right)] = True
            masks.append(mask)
        return masks

    def all(self) -> Annotators:
        return Annotators(self.caption, self.detect, self.segment)


@dataclass(frozen=True)
class FakeFace:
    """A detected face."""

    box: Box
    face: Face


def annotate_photo(
    fake: FakeAnnotators, size: tuple[int, int] = SIZE, **options: object
) -> tuple[Annotation, np.ndarray]:
    """Annotate a photo of coloured blobs."""
    return annotate_image(tiny.photo(0, size), "000000000", fake.all(), RULES, **options)

"""From annotated images to training examples: a crop, the masks and photos of its subjects, and the caption.

Everything random about a sample follows from the sample's number, so that a run gives the same results after an
interruption, and with one process as with several.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmdiff_core.encoders.photo import NEUTRAL, prepare_photo
from mmdiff_core.training.annotated.folder import AnnotatedImage, cut_out
from mmdiff_core.training.annotated.format import Segment
from mmdiff_core.types import Face, Word

MIN_SHARE = 0.35  # of a subject's own pixels, in the crop
MIN_AREA = 0.004  # of the crop, covered by a subject
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)  # captions that mirroring would falsify

Sees = Literal["all", "text", "photos", "nothing"]


@dataclass(frozen=True)
class PhotoSettings:
    """How images and reference photos are sampled; shares are of all samples.

    These values are ours: those of the paper's authors could not be found. The dropout shares are IP-Adapter's.
    """

    subjects: int = 2  # the most in one image, as in the official annotation
    photos: int = 3  # the most of one subject
    cut: float = 0.5  # share of the reference photos that lose their background
    own: float = 0.3  # share of the subjects with other photos that are cut out of the image itself instead
    mirror: float = 0.5
    without_photos: float = 0.05
    without_text: float = 0.05
    without_both: float = 0.05


@dataclass(frozen=True)
class TrainingExample:
    """One sample. S: its number of subjects; R: the image encoder's side in pixels."""

    image: Tensor  # (3, H, W) float32 in [0, 1]
    masks: Tensor  # (S, h, w) in [0, 1] at the size of the latents
    caption: str
    words: tuple[Word, ...]  # of each subject
    photos: tuple[tuple[Tensor, ...], ...]  # of each subject, each (3, R, R) in [0, 1]
    faces: tuple[tuple[Face, ...], ...]  # of each subject, for the face variant; else empty
    sees: Sees
    original: tuple[int, int]  # (height, width) of the whole image, for SDXL
    corner: tuple[int, int]  # (top, left) of the crop in the resized image
    number: int
    timestep: int | None = None  # of the noise; None: random


@dataclass(frozen=True)
class ExampleMaker:
    """Makes examples.

    Args:
        size: side of the square crop in pixels.
        scale: pixels of the image per pixel of the latents.
        reference: R.
        settings: of the sampling.
        seed: of everything random.
        with_faces: only segments with a face are subjects.
        fixed: nothing is random: the middle of the image, all subjects, every photo cut out.
    """

    size: int
    scale: int
    reference: int
    settings: PhotoSettings
    seed: int
    with_faces: bool = False
    fixed: bool = False

    def make(self, number: int, record: AnnotatedImage) -> TrainingExample:
        """Make the example of sample ``number``."""
        rng = random.Random(f"{self.seed}:example:{number}")
        image, ids, corner = self._crop(rng, record)
        segments = self._choose(rng, record, ids)
        masks = np.stack([ids == s.id for s in segments]) if segments else np.zeros((0, *ids.shape), bool)
        faces = tuple(self._faces(rng, record.faces.get(s.id, ())) for s in segments) if self.with_faces else ()
        return TrainingExample(
            image=torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1),
            masks=_coverage(masks, self.size // self.scale),
            caption=record.annotation.caption,
            words=record.annotation.words(segments),
            photos=tuple(self._photos(rng, record, segment) for segment in segments),
            faces=faces,
            sees="all" if self.fixed else self._sees(rng),
            original=(record.image.height, record.image.width),
            corner=corner,
            number=number,
        )

    def _crop(self, rng: random.Random, record: AnnotatedImage) -> tuple[Image.Image, np.ndarray, tuple[int, int]]:
        """Return a square of the image, the same of the mask, and its (top, left)."""
        image, ids = record.image, Image.fromarray(record.mask)
        factor = self.size / min(image.size)
        width, height = (max(self.size, round(side * factor)) for side in image.size)
        left, top = self._corner(rng, record, factor, width), self._corner(rng, record, factor, height, down=True)
        image = image.resize((width, height), Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)
        ids = ids.resize((width, height), Image.Resampling.NEAREST)
        box = (left, top, left + self.size, top + self.size)
        image, ids = image.crop(box), ids.crop(box)
        if not self.fixed and rng.random() < self.settings.mirror and not _SIDES.search(record.annotation.caption):
            image, ids = (layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for layer in (image, ids))
            left = width - self.size - left  # of the crop in the mirrored image
        return image, np.asarray(ids), (top, left)

    def _corner(self, rng: random.Random, record: AnnotatedImage, factor: float, side: int, down: bool = False) -> int:
        """Return the start of the crop along one axis: a random one that keeps the subjects' centre inside."""
        free = side - self.size
        if free <= 0:
            return 0
        edges = [edge * factor for s in record.annotation.segments for edge in (s.box[down], s.box[2 + down])]
        centre = (min(edges) + max(edges)) / 2 if edges else side / 2
        if self.fixed:
            return round(min(max(centre - self.size / 2, 0), free))
        low, high = max(0, centre - 0.75 * self.size), min(free, centre - 0.25 * self.size)
        return min(free, max(0, round(rng.uniform(low, max(low, high)))))

    def _choose(self, rng: random.Random, record: AnnotatedImage, ids: np.ndarray) -> list[Segment]:
        """Choose the subjects among the segments that show enough in the crop; in the caption's order."""
        factor = self.size / min(record.image.size)
        whole = np.bincount(record.mask.ravel(), minlength=256) * factor**2
        inside = np.bincount(ids.ravel(), minlength=256)
        visible = [
            segment
            for segment in record.annotation.segments
            if inside[segment.id] >= max(MIN_SHARE * whole[segment.id], MIN_AREA * ids.size)
            and (not self.with_faces or segment.id in record.faces)
        ]
        count = min(self.settings.subjects, len(visible))
        chosen = visible[:count] if self.fixed else rng.sample(visible, count)
        return sorted(chosen, key=lambda segment: segment.start)

    def _sees(self, rng: random.Random) -> Sees:
        """Choose what the sample is conditioned on (condition dropout)."""
        chance, settings = rng.random(), self.settings
        if chance < settings.without_both:
            return "nothing"
        if chance < settings.without_both + settings.without_photos:
            return "text"
        if chance < settings.without_both + settings.without_photos + settings.without_text:
            return "photos"
        return "all"

    def _photos(self, rng: random.Random, record: AnnotatedImage, segment: Segment) -> tuple[Tensor, ...]:
        """Return reference photos of a subject: others where there are any, else the subject cut out of the image."""
        others = record.photos.get(segment.id, ())
        if others and (self.fixed or rng.random() >= self.settings.own):
            count = len(others) if self.fixed else rng.randint(1, len(others))
            chosen: Sequence[Image.Image] = others[: min(count, self.settings.photos)]
        else:
            chosen = (cut_out(record.image, record.mask, segment),)
        return tuple(self._photo(rng, photo) for photo in chosen)

    def _photo(self, rng: random.Random, photo: Image.Image) -> Tensor:
        if not self.fixed and rng.random() < self.settings.mirror:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.fixed or rng.random() < self.settings.cut:
            background = Image.new("RGBA", photo.size, (*NEUTRAL, 255))  # as ``load_photo`` fills transparency
            photo = Image.alpha_composite(background, photo)
        return prepare_photo(photo.convert("RGB"), self.reference)

    def _faces(self, rng: random.Random, faces: tuple[Face, ...]) -> tuple[Face, ...]:
        """Choose faces of an identity, those of other photos where there are any."""
        others = faces[1:]
        if not others or (not self.fixed and rng.random() < self.settings.own):
            return faces[:1]
        count = len(others) if self.fixed else rng.randint(1, len(others))
        return others[: min(count, self.settings.photos)]


def _coverage(masks: np.ndarray, size: int) -> Tensor:
    """Return the share of each of (size, size) squares that masks (S, H, W) bool cover."""
    if not len(masks):
        return torch.zeros(0, size, size)
    return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks).float(), size)

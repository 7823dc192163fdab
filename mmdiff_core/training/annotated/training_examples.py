"""From annotated pictures to what a training step sees: a crop, its subjects' masks, their photos, the caption.

Everything random about a sample follows the sample's number, so that a run gives the same whether it was interrupted
or not, and on one process or on several.
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

from mmdiff_core.encoders.photo import NEUTRAL, prepare
from mmdiff_core.training.annotated.folder import AnnotatedImage, cut_out
from mmdiff_core.training.annotated.format import Segment
from mmdiff_core.types import Face, Word

SMALLEST_SHARE = 0.35  # of a subject's own pixels that must be in the crop
SMALLEST_AREA = 0.004  # of the crop that a subject must cover
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)  # captions that a mirror would belie

Sees = Literal["all", "text", "photos", "nothing"]


@dataclass(frozen=True)
class PhotoSettings:
    """How pictures and reference photos are drawn; shares are of all samples.

    These are ours: what the paper's authors used could not be found. The dropout shares are IP-Adapter's.
    """

    subjects: int = 2  # at most in one picture, as in the official annotation
    photos: int = 3  # at most of one subject
    cut: float = 0.5  # of the reference photos, shown without their background
    own: float = 0.3  # of the subjects that have other photos, seen in the picture's own instead
    mirror: float = 0.5
    without_photos: float = 0.05
    without_text: float = 0.05
    without_both: float = 0.05


@dataclass(frozen=True)
class TrainingExample:
    """One sample. S subjects of this sample, R side of the image encoder."""

    picture: Tensor  # (3, H, W) float32 in [0, 1]
    masks: Tensor  # (S, h, w) in [0, 1] at the size of the latents
    caption: str
    words: tuple[Word, ...]  # of each subject
    photos: tuple[tuple[Tensor, ...], ...]  # of each subject, each (3, R, R) in [0, 1]; the first speaks for the word
    faces: tuple[tuple[Face, ...], ...]  # of each subject, for the face variant; else empty
    sees: Sees
    original: tuple[int, int]  # (height, width) of the whole picture, for SDXL
    corner: tuple[int, int]  # (top, left) of the crop in the picture brought to the crop's scale
    number: int
    timestep: int | None = None  # of the noise, where it is not drawn


@dataclass(frozen=True)
class ExampleMaker:
    """Makes examples.

    Args:
        size: side of the square crop in pixels.
        scale: pixels of the picture per pixel of the latents.
        reference: R.
        settings: what is drawn how often.
        seed: of everything random.
        with_faces: only segments with a face are subjects.
        still: no chance: the middle of the picture, all subjects, every photo cut out.
    """

    size: int
    scale: int
    reference: int
    settings: PhotoSettings
    seed: int
    with_faces: bool = False
    still: bool = False

    def make(self, number: int, record: AnnotatedImage) -> TrainingExample:
        """The example of sample ``number``."""
        rng = random.Random(f"{self.seed}:example:{number}")
        picture, ids, corner = self._crop(rng, record)
        segments = self._choose(rng, record, ids)
        masks = np.stack([ids == s.id for s in segments]) if segments else np.zeros((0, *ids.shape), bool)
        faces = tuple(self._faces(rng, record.faces.get(s.id, ())) for s in segments) if self.with_faces else ()
        return TrainingExample(
            picture=torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1),
            masks=_coverage(masks, self.size // self.scale),
            caption=record.annotation.caption,
            words=record.annotation.words(segments),
            photos=tuple(self._photos(rng, record, segment) for segment in segments),
            faces=faces,
            sees="all" if self.still else self._sees(rng),
            original=(record.picture.height, record.picture.width),
            corner=corner,
            number=number,
        )

    def _crop(self, rng: random.Random, record: AnnotatedImage) -> tuple[Image.Image, np.ndarray, tuple[int, int]]:
        """A square of the picture, the same of the mask, and its (top, left)."""
        picture, ids = record.picture, Image.fromarray(record.mask)
        factor = self.size / min(picture.size)
        width, height = (max(self.size, round(side * factor)) for side in picture.size)
        left, top = self._corner(rng, record, factor, width), self._corner(rng, record, factor, height, down=True)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)
        ids = ids.resize((width, height), Image.Resampling.NEAREST)
        box = (left, top, left + self.size, top + self.size)
        picture, ids = picture.crop(box), ids.crop(box)
        if not self.still and rng.random() < self.settings.mirror and not _SIDES.search(record.annotation.caption):
            picture, ids = (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in (picture, ids))
            left = width - self.size - left  # where the crop is in the mirrored picture
        return picture, np.asarray(ids), (top, left)

    def _corner(self, rng: random.Random, record: AnnotatedImage, factor: float, side: int, down: bool = False) -> int:
        """Where the crop starts along one axis: anywhere that keeps the subjects' middle inside."""
        free = side - self.size
        if free <= 0:
            return 0
        edges = [edge * factor for s in record.annotation.segments for edge in (s.box[down], s.box[2 + down])]
        middle = (min(edges) + max(edges)) / 2 if edges else side / 2
        if self.still:
            return round(min(max(middle - self.size / 2, 0), free))
        low, high = max(0, middle - 0.75 * self.size), min(free, middle - 0.25 * self.size)
        return min(free, max(0, round(rng.uniform(low, max(low, high)))))

    def _choose(self, rng: random.Random, record: AnnotatedImage, ids: np.ndarray) -> list[Segment]:
        """The subjects: segments that are in the crop with enough of them, at most so many, in the caption's order."""
        factor = self.size / min(record.picture.size)
        whole = np.bincount(record.mask.ravel(), minlength=256) * factor**2
        inside = np.bincount(ids.ravel(), minlength=256)
        seen = [
            segment
            for segment in record.annotation.segments
            if inside[segment.id] >= max(SMALLEST_SHARE * whole[segment.id], SMALLEST_AREA * ids.size)
            and (not self.with_faces or segment.id in record.faces)
        ]
        count = min(self.settings.subjects, len(seen))
        chosen = seen[:count] if self.still else rng.sample(seen, count)
        return sorted(chosen, key=lambda segment: segment.start)

    def _sees(self, rng: random.Random) -> Sees:
        """Condition dropout."""
        drawn, settings = rng.random(), self.settings
        if drawn < settings.without_both:
            return "nothing"
        if drawn < settings.without_both + settings.without_photos:
            return "text"
        if drawn < settings.without_both + settings.without_photos + settings.without_text:
            return "photos"
        return "all"

    def _photos(self, rng: random.Random, record: AnnotatedImage, segment: Segment) -> tuple[Tensor, ...]:
        """Reference photos of a subject: other ones where there are any, else the subject cut out of the picture."""
        others = record.photos.get(segment.id, ())
        if others and (self.still or rng.random() >= self.settings.own):
            count = len(others) if self.still else rng.randint(1, len(others))
            chosen: Sequence[Image.Image] = others[: min(count, self.settings.photos)]
        else:
            chosen = (cut_out(record.picture, record.mask, segment),)
        return tuple(self._photo(rng, photo) for photo in chosen)

    def _photo(self, rng: random.Random, photo: Image.Image) -> Tensor:
        if not self.still and rng.random() < self.settings.mirror:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.still or rng.random() < self.settings.cut:
            ground = Image.new("RGBA", photo.size, (*NEUTRAL, 255))  # as ``load_photo`` lays transparent photos
            photo = Image.alpha_composite(ground, photo)
        return prepare(photo.convert("RGB"), self.reference)

    def _faces(self, rng: random.Random, faces: tuple[Face, ...]) -> tuple[Face, ...]:
        """One to all of the faces of an identity; another photo's where there is one."""
        others = faces[1:]
        if not others or (not self.still and rng.random() < self.settings.own):
            return faces[:1]
        count = len(others) if self.still else rng.randint(1, len(others))
        return others[: min(count, self.settings.photos)]


def _coverage(masks: np.ndarray, size: int) -> Tensor:
    """Masks (S, H, W) bool -> the share of each of (size, size) squares that they cover."""
    if not len(masks):
        return torch.zeros(0, size, size)
    return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks).float(), size)

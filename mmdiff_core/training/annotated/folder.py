"""Annotated images in a folder, in the format of ``format``.

More photos of an identity may be in ``identities/NAME/`` of the folder: plain images, or cut-outs with a transparent
background.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from mmdiff_core.encoders.photo import MAX_SIDE, load_photo
from mmdiff_core.errors import AnnotationError, PhotoError, TrainingError
from mmdiff_core.training.annotated.format import Annotation, Segment, read_image, read_mask
from mmdiff_core.types import Face

logger = logging.getLogger(__name__)

IDENTITIES = "identities"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MASK_KINDS = ("npy", "png")
MARGIN = 0.1  # of a cut-out's longer side, around the subject
MAX_ERRORS_SHOWN = 5


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with its annotation, its mask, and other photos of its segments.

    ``photos`` are RGBA: where alpha is 0 is background, with its colours still there.
    """

    annotation: Annotation
    image: Image.Image
    mask: np.ndarray  # (H, W) uint8, the segments' ids
    photos: dict[int, tuple[Image.Image, ...]]  # by segment id; a segment without any is cut out of the image
    faces: dict[int, tuple[Face, ...]]  # by segment id, the segment's own first


class RecordSource(Protocol):
    """A source of annotated images for a stage."""

    def batch(self, index: int, count: int) -> Sequence[tuple[int, AnnotatedImage]]:
        """Return batch ``index`` of this process: its samples, each with a number that no other sample has."""
        ...


class AnnotatedFolder:
    """A folder as a sequence: ``len(folder)`` records, ``folder.read(i)`` opens one.

    Args:
        path: of the folder.
        max_others: the most other photos of an identity that are opened with a record.

    Raises:
        TrainingError: the folder has no usable annotation; the message lists the errors.
    """

    def __init__(self, path: Path, max_others: int = 3) -> None:
        self.path, self.max_others = path, max_others
        self.stems: list[Path] = []
        self.annotations: list[Annotation] = []
        errors = []
        for file in sorted(path.rglob("*.json")):
            try:
                annotation = Annotation.from_json(file.read_bytes(), str(file))
                _files(file.with_suffix(""))
            except AnnotationError as error:
                errors.append(str(error))
                continue
            self.stems.append(file.with_suffix(""))
            self.annotations.append(annotation)
        _report_errors(path, errors, len(self.stems))
        self.identities = self._identities()
        self.held_out: frozenset[int] = frozenset()  # records whose photos no other record shows
        self.extra = _extra_photos(path / IDENTITIES)

    def __len__(self) -> int:
        return len(self.stems)

    def read(self, index: int, rng: random.Random | None = None) -> AnnotatedImage:
        """Open one record; ``rng`` chooses among the other photos of its identities, the first ones without it.

        Raises:
            AnnotationError: a file is damaged, or image and mask differ in size.
        """
        annotation = self.annotations[index]
        image, mask = self._pixels(index)
        photos, faces = {}, {}
        for segment in annotation.segments:
            elsewhere = self._elsewhere(index, segment, rng)
            if segment.face is not None:
                with_face = [(other, its) for other, its in elsewhere if its.face is not None]
                others = (self._face(other, its) for other, its in with_face[: self.max_others])
                faces[segment.id] = (self._face(index, segment), *others)
            if other_photos := self._other_photos(segment, elsewhere, rng):
                photos[segment.id] = other_photos
        return AnnotatedImage(annotation, image, mask, photos, faces)

    def _pixels(self, index: int) -> tuple[Image.Image, np.ndarray]:
        image_file, mask_file = _files(self.stems[index])
        image = read_image(image_file.read_bytes(), str(image_file))
        mask = read_mask(mask_file.read_bytes(), mask_file.suffix[1:], str(mask_file))
        check_sizes(image, mask, str(image_file))
        return image, mask

    def _elsewhere(self, index: int, segment: Segment, rng: random.Random | None) -> list[tuple[int, Segment]]:
        """Return the other records and segments of a segment's identity, in random order."""
        if segment.identity is None:
            return []
        visible = [
            (other, its)
            for other, its in self.identities[segment.identity]
            if other != index and (index in self.held_out or other not in self.held_out)
        ]
        return visible if rng is None else rng.sample(visible, len(visible))

    def _other_photos(
        self, segment: Segment, elsewhere: Sequence[tuple[int, Segment]], rng: random.Random | None
    ) -> tuple[Image.Image, ...]:
        choices: list[Path | tuple[int, Segment]] = [*elsewhere, *self.extra.get(segment.identity or "", ())]
        if rng is not None:
            rng.shuffle(choices)
        return tuple(self._photo(choice) for choice in choices[: self.max_others])

    def _photo(self, choice: Path | tuple[int, Segment]) -> Image.Image:
        if isinstance(choice, Path):
            return open_cut_out(choice)
        index, segment = choice
        return cut_out(*self._pixels(index), segment)

    def _face(self, index: int, segment: Segment) -> Face:
        stem = self.stems[index]
        file = stem.with_name(f"{stem.name}.face{segment.id}.png")
        if not file.is_file():
            raise AnnotationError(f'The face "{file}" is missing, but the annotation has its embedding.')
        assert segment.face is not None
        return Face(segment.face, read_image(file.read_bytes(), str(file)))

    def _identities(self) -> dict[str, list[tuple[int, Segment]]]:
        places = defaultdict(list)
        for index, annotation in enumerate(self.annotations):
            for segment in annotation.segments:
                if segment.identity is not None:
                    places[segment.identity].append((index, segment))
        return dict(places)


class ShuffledRecords:
    """A folder's records in a random order, which differs from epoch to epoch and is the same on every machine.

    Batch ``index`` of process ``rank`` depends only on the seed, so that a run may stop anywhere, and one process with
    a large batch sees the same samples in a step as several processes with a part of it each.

    Args:
        folder: the records.
        seed: of the order.
        rank, world_size: this process and the number of processes.
        rows: the records that take part; by default all.
    """

    def __init__(
        self, folder: AnnotatedFolder, seed: int, rank: int = 0, world_size: int = 1, rows: Sequence[int] | None = None
    ) -> None:
        self.folder, self.seed, self.rank, self.world_size = folder, seed, rank, world_size
        self.rows = list(range(len(folder)) if rows is None else rows)
        self.epoch, self.order = -1, list[int]()

    def batch(self, index: int, count: int) -> list[tuple[int, AnnotatedImage]]:
        """Return batch ``index``; see ``RecordSource``."""
        first = (index * self.world_size + self.rank) * count
        return [(number, self._read(number)) for number in range(first, first + count)]

    def _read(self, number: int) -> AnnotatedImage:
        """Read sample ``number``; a damaged record is logged and replaced by the next one."""
        for shift in range(len(self.rows)):
            epoch, place = divmod(number, len(self.rows))
            index = self._order(epoch)[(place + shift) % len(self.rows)]
            try:
                return self.folder.read(index, random.Random(f"{self.seed}:read:{number}"))
            except (AnnotationError, PhotoError) as error:
                logger.warning("%s Another image takes its place.", error)
        raise TrainingError(f'No image of "{self.folder.path}" can be read: see the lines above.')

    def _order(self, epoch: int) -> list[int]:
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self.rows.copy()
            random.Random(f"{self.seed}:epoch:{epoch}").shuffle(self.order)
        return self.order


def split_for_validation(folder: AnnotatedFolder, share: float, max_count: int) -> tuple[list[int], list[int]]:
    """Return the records to train on and those to validate on, at least one of each.

    The choice follows the records' names, so that a growing folder keeps its validation images.

    Raises:
        TrainingError: there are fewer than two records.
    """
    if len(folder) < 2:
        raise TrainingError(f'"{folder.path}" has only one usable image: training needs at least two.')
    count = min(max_count, max(1, round(share * len(folder))))
    lots = [random.Random(f"validation:{stem.name}").random() for stem in folder.stems]
    held_out = set(sorted(range(len(folder)), key=lots.__getitem__)[:count])
    return [index for index in range(len(folder)) if index not in held_out], sorted(held_out)


def cut_out(image: Image.Image, mask: np.ndarray, segment: Segment) -> Image.Image:
    """Cut out a segment with a margin, RGBA with the mask as alpha; by its box where the mask does not have it."""
    alpha = mask == segment.id
    if alpha.any():
        rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    else:
        alpha, box = np.ones_like(alpha), segment.box
    margin = MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
    right, bottom = min(image.width, int(np.ceil(box[2] + margin))), min(image.height, int(np.ceil(box[3] + margin)))
    if right <= left or bottom <= top:
        raise AnnotationError(f'The box of "{segment.word}" is outside the image.')
    layered = image.copy()
    layered.putalpha(Image.fromarray(alpha.astype(np.uint8) * 255))
    return layered.crop((left, top, right, bottom))


def open_cut_out(file: Path) -> Image.Image:
    """Open a photo as RGBA; without transparency nothing of it is background.

    Raises:
        PhotoError: as ``load_photo``.
    """
    photo = load_photo(file)
    with Image.open(file) as image:
        if image.has_transparency_data:
            turned = ImageOps.exif_transpose(image).convert("RGBA")
            turned.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
            return turned
    return photo.convert("RGBA")


def check_sizes(image: Image.Image, mask: np.ndarray, source: str) -> None:
    """Raise AnnotationError where image and mask differ in size."""
    if image.size != (mask.shape[1], mask.shape[0]):
        raise AnnotationError(
            f'The image "{source}" has {image.width} x {image.height} pixels, its mask {mask.shape[1]} x '
            f"{mask.shape[0]}."
        )


def _files(stem: Path) -> tuple[Path, Path]:
    """Return the image and the mask of a record; raise AnnotationError where one is missing."""
    masks = [stem.with_name(f"{stem.name}.{kind}") for kind in MASK_KINDS]
    mask = next((file for file in masks if file.is_file()), None)
    if mask is None:
        raise AnnotationError(f'The annotation "{stem}.json" has no mask: neither "{masks[0].name}" nor .png.')
    images = [stem.with_name(stem.name + suffix) for suffix in IMAGE_SUFFIXES]
    image = next((file for file in images if file.is_file() and file != mask), None)
    if image is None:
        raise AnnotationError(f'The annotation "{stem}.json" has no image next to it ({", ".join(IMAGE_SUFFIXES)}).')
    return image, mask


def _extra_photos(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the photos in ``identities/NAME/``, by name."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return {
        path.name: tuple(sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES))
        for path in inside
    }


def _report_errors(path: Path, errors: Sequence[str], usable: int) -> None:
    """Log the annotations that are left out; raise TrainingError if none is left."""
    shown = " ".join(errors[:MAX_ERRORS_SHOWN]) + (" ..." if len(errors) > MAX_ERRORS_SHOWN else "")
    if not usable:
        raise TrainingError(
            f'There is no usable annotation in "{path}": "python -m mmdiff_core annotate" makes them from images. '
            f"{shown}".strip()
        )
    if errors:
        logger.warning("%d of %d annotations are left out: %s", len(errors), usable + len(errors), shown)

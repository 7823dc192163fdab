"""Annotated pictures in a folder, in any order and as often as one likes.

The format is in ``annotations``. More photos of an identity may lie in ``identities/NAME/`` of the folder: plain
pictures, or cut-outs with a transparent background.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from mmdiff_core.encoders.photo import KEPT_SIDE, load_photo
from mmdiff_core.errors import AnnotationError, PhotoError, TrainingError
from mmdiff_core.training.annotated.format import Annotation, Segment, read_mask, read_picture
from mmdiff_core.types import Face

logger = logging.getLogger(__name__)

IDENTITIES = "identities"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MASKS = ("npy", "png")
MARGIN = 0.1  # of a cut-out's longer side, around the subject
MOST_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class AnnotatedImage:
    """A picture with its annotation, its mask, and other photos of what is in it.

    ``photos`` are RGBA: where alpha is 0 is background, with its colours still there.
    """

    annotation: Annotation
    picture: Image.Image
    mask: np.ndarray  # (H, W) uint8, the segments' ids
    photos: dict[int, tuple[Image.Image, ...]]  # by segment id; a segment without any is cut out of the picture
    faces: dict[int, tuple[Face, ...]]  # by segment id, the segment's own first


class RecordSource(Protocol):
    """Where a stage gets annotated pictures."""

    def draw(self, draw: int, count: int) -> Sequence[tuple[int, AnnotatedImage]]:
        """The ``draw``-th batch of this process: its samples, each with a number that no other sample has."""
        ...


class AnnotatedFolder:
    """A folder as a sequence: ``len(folder)`` records, ``folder.read(i)`` opens one.

    Args:
        path: of the folder.
        others: at most so many other photos of an identity are opened with a record.

    Raises:
        TrainingError: no usable annotation is in the folder; the message lists what is wrong.
    """

    def __init__(self, path: Path, others: int = 3) -> None:
        self.path, self.others = path, others
        self.stems: list[Path] = []
        self.annotations: list[Annotation] = []
        faults = []
        for file in sorted(path.rglob("*.json")):
            try:
                annotation = Annotation.from_json(file.read_bytes(), str(file))
                _files(file.with_suffix(""))
            except AnnotationError as error:
                faults.append(str(error))
                continue
            self.stems.append(file.with_suffix(""))
            self.annotations.append(annotation)
        _tell(path, faults, len(self.stems))
        self.identities = self._identities()
        self.apart: frozenset[int] = frozenset()  # records that are held out: no other record shows photos of them
        self.extra = _extra_photos(path / IDENTITIES)

    def __len__(self) -> int:
        return len(self.stems)

    def read(self, index: int, rng: random.Random | None = None) -> AnnotatedImage:
        """Open one record; ``rng`` chooses among the other photos of its identities, the first without it.

        Raises:
            AnnotationError: a file is damaged, or picture and mask differ in size.
        """
        annotation = self.annotations[index]
        picture, mask = self._pixels(index)
        photos, faces = {}, {}
        for segment in annotation.segments:
            elsewhere = self._elsewhere(index, segment, rng)
            if segment.face is not None:
                faces[segment.id] = (self._face(index, segment), *self._other_faces(elsewhere))
            if found := self._other_photos(segment, elsewhere, rng):
                photos[segment.id] = found
        return AnnotatedImage(annotation, picture, mask, photos, faces)

    def _pixels(self, index: int) -> tuple[Image.Image, np.ndarray]:
        picture_file, mask_file = _files(self.stems[index])
        picture = read_picture(picture_file.read_bytes(), str(picture_file))
        mask = read_mask(mask_file.read_bytes(), mask_file.suffix[1:], str(mask_file))
        check_sizes(picture, mask, str(picture_file))
        return picture, mask

    def _elsewhere(self, index: int, segment: Segment, rng: random.Random | None) -> list[tuple[int, Segment]]:
        """Where else the segment's identity is, in random order."""
        if segment.identity is None:
            return []
        others = self.identities[segment.identity]
        found = [place for place in others if place[0] != index and (index in self.apart or place[0] not in self.apart)]
        return found if rng is None else rng.sample(found, len(found))

    def _other_photos(
        self, segment: Segment, elsewhere: Sequence[tuple[int, Segment]], rng: random.Random | None
    ) -> tuple[Image.Image, ...]:
        extra = list(self.extra.get(segment.identity or "", ()))
        choices: list[Path | tuple[int, Segment]] = [*elsewhere, *extra]
        if rng is not None:
            rng.shuffle(choices)
        return tuple(self._photo(choice) for choice in choices[: self.others])

    def _photo(self, choice: Path | tuple[int, Segment]) -> Image.Image:
        if isinstance(choice, Path):
            return open_cut_out(choice)
        index, segment = choice
        return cut_out(*self._pixels(index), segment)

    def _other_faces(self, elsewhere: Sequence[tuple[int, Segment]]) -> Iterator[Face]:
        with_face = [(index, segment) for index, segment in elsewhere if segment.face is not None]
        yield from (self._face(index, segment) for index, segment in with_face[: self.others])

    def _face(self, index: int, segment: Segment) -> Face:
        stem = self.stems[index]
        file = stem.with_name(f"{stem.name}.face{segment.id}.png")
        if not file.is_file():
            raise AnnotationError(f'The face "{file}" is missing, but the annotation has its embedding.')
        assert segment.face is not None
        return Face(segment.face, read_picture(file.read_bytes(), str(file)))

    def _identities(self) -> dict[str, list[tuple[int, Segment]]]:
        found = defaultdict(list)
        for index, annotation in enumerate(self.annotations):
            for segment in annotation.segments:
                if segment.identity is not None:
                    found[segment.identity].append((index, segment))
        return dict(found)


class ShuffledRecords:
    """A folder's records in a random order that is another in every epoch, the same on every machine.

    Batch ``draw`` of process ``rank`` depends on nothing but the seed, so that a run may stop anywhere, and the samples
    of a step are the same for one process with a large batch and for several with a part of it each.

    Args:
        folder: the records.
        seed: of the order.
        rank, world: this process and how many there are.
        rows: which records take part; all by default.
    """

    def __init__(
        self, folder: AnnotatedFolder, seed: int, rank: int = 0, world: int = 1, rows: Sequence[int] | None = None
    ) -> None:
        self.folder, self.seed, self.rank, self.world = folder, seed, rank, world
        self.rows = list(range(len(folder)) if rows is None else rows)
        self.epoch, self.order = -1, list[int]()

    def draw(self, draw: int, count: int) -> list[tuple[int, AnnotatedImage]]:
        first = (draw * self.world + self.rank) * count
        return [(number, self._read(number)) for number in range(first, first + count)]

    def _read(self, number: int) -> AnnotatedImage:
        """Sample ``number``; a damaged record is told and the next one stands in for it."""
        for shift in range(len(self.rows)):
            epoch, place = divmod(number, len(self.rows))
            index = self._order(epoch)[(place + shift) % len(self.rows)]
            try:
                return self.folder.read(index, random.Random(f"{self.seed}:read:{number}"))
            except (AnnotationError, PhotoError) as error:
                logger.warning("%s Another picture stands in for it.", error)
        raise TrainingError(f'Not one picture of "{self.folder.path}" can be read: see the lines above.')

    def _order(self, epoch: int) -> list[int]:
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self.rows.copy()
            random.Random(f"{self.seed}:epoch:{epoch}").shuffle(self.order)
        return self.order


def split_for_validation(folder: AnnotatedFolder, share: float, most: int) -> tuple[list[int], list[int]]:
    """Which records to train on and which to keep for validation: always at least one of each.

    The choice follows the records' names, so that a folder that grows keeps its validation pictures.

    Raises:
        TrainingError: there are not two records.
    """
    if len(folder) < 2:
        raise TrainingError(f'"{folder.path}" has one usable picture only: training needs at least two.')
    count = min(most, max(1, round(share * len(folder))))
    lots = [random.Random(f"validation:{stem.name}").random() for stem in folder.stems]
    held = set(sorted(range(len(folder)), key=lots.__getitem__)[:count])
    return [index for index in range(len(folder)) if index not in held], sorted(held)


def cut_out(picture: Image.Image, mask: np.ndarray, segment: Segment) -> Image.Image:
    """A segment with a little room around it, RGBA with the mask as alpha; by its box where the mask has none of it."""
    alpha = mask == segment.id
    if alpha.any():
        rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    else:
        alpha, box = np.ones_like(alpha), segment.box
    room = MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = max(0, int(box[0] - room)), max(0, int(box[1] - room))
    right, bottom = min(picture.width, int(np.ceil(box[2] + room))), min(picture.height, int(np.ceil(box[3] + room)))
    if right <= left or bottom <= top:
        raise AnnotationError(f'The box of "{segment.word}" is outside the picture.')
    layered = picture.copy()
    layered.putalpha(Image.fromarray(alpha.astype(np.uint8) * 255))
    return layered.crop((left, top, right, bottom))


def open_cut_out(file: Path) -> Image.Image:
    """A photo as RGBA; without transparency nothing of it is background.

    Raises:
        PhotoError: as ``load_photo``.
    """
    photo = load_photo(file)
    with Image.open(file) as image:
        if image.has_transparency_data:
            turned = ImageOps.exif_transpose(image).convert("RGBA")
            turned.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
            return turned
    return photo.convert("RGBA")


def check_sizes(picture: Image.Image, mask: np.ndarray, source: str) -> None:
    """Raises AnnotationError where picture and mask differ in size."""
    if picture.size != (mask.shape[1], mask.shape[0]):
        raise AnnotationError(
            f'The picture "{source}" has {picture.width} x {picture.height} pixels, its mask {mask.shape[1]} x '
            f"{mask.shape[0]}."
        )


def _files(stem: Path) -> tuple[Path, Path]:
    """Picture and mask of a record. Raises AnnotationError where one is missing."""
    masks = [stem.with_name(f"{stem.name}.{kind}") for kind in MASKS]
    mask = next((file for file in masks if file.is_file()), None)
    if mask is None:
        raise AnnotationError(f'The annotation "{stem}.json" has no mask: neither "{masks[0].name}" nor .png.')
    pictures = [stem.with_name(stem.name + ending) for ending in PICTURES]
    picture = next((file for file in pictures if file.is_file() and file != mask), None)
    if picture is None:
        raise AnnotationError(f'The annotation "{stem}.json" has no picture beside it ({", ".join(PICTURES)}).')
    return picture, mask


def _extra_photos(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Photos in ``identities/NAME/``, by name."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return {
        path.name: tuple(sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)) for path in inside
    }


def _tell(path: Path, faults: Sequence[str], good: int) -> None:
    """Warn of the annotations that are left out. Raises TrainingError if none is left."""
    shown = " ".join(faults[:MOST_FAULTS_SHOWN]) + (" ..." if len(faults) > MOST_FAULTS_SHOWN else "")
    if not good:
        raise TrainingError(
            f'There is no usable annotation in "{path}": "python -m mmdiff_core annotate" makes them from pictures. '
            f"{shown}".strip()
        )
    if faults:
        logger.warning("%d of %d annotations are left out: %s", len(faults), good + len(faults), shown)

"""The annotation of a training image: its caption, and the words of it that stand for parts of the image.

The format is that of the official annotation tool, with three optional additions (marked +)::

    FOLDER/00000/000000000.jpg          the image
    FOLDER/00000/000000000.npy          (H, W) numbers: 0 background, else the id of a segment
    FOLDER/00000/000000000.png        + the same as a gray image, a hundredth of the size
    FOLDER/00000/000000000.json         {"image_id": "000000000", "caption": "a cat next to a dog", "segments": [
                                           {"id": 1, "word": "a cat", "start": 0, "end": 5, "box": [8, 20, 90, 120]},
                                           ...]}
        "identity": "tom"             + in a segment: the same person or thing as elsewhere under that name
        "face": [512 numbers]         + in a segment: its ArcFace embedding, for adapters of the face variant
    FOLDER/00000/000000000.face1.png  + the aligned face of segment 1
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmdiff_core.encoders.photo import MAX_PIXELS
from mmdiff_core.encoders.photo_formats import open_photo
from mmdiff_core.errors import AnnotationError
from mmdiff_core.nn.config import FACE_WIDTH
from mmdiff_core.types import Word

MAX_ID = 255  # of a segment, so that a mask is an image of bytes
BoxPixels = tuple[float, float, float, float]


@dataclass(frozen=True)
class Segment:
    """A part of the image and the words that stand for it."""

    id: int  # its number in the mask
    word: str  # caption[start:end]
    start: int
    end: int
    box: BoxPixels  # left, top, right, bottom in pixels
    identity: str | None = None
    face: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Annotation:
    """The contents of a ``.json`` file."""

    image_id: str
    caption: str
    segments: tuple[Segment, ...]

    def to_json(self) -> str:
        """Return the text of the file, without additions that are not used."""
        segments = [{k: v for k, v in asdict(segment).items() if v is not None} for segment in self.segments]
        values = {"image_id": self.image_id, "caption": self.caption, "segments": segments}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Annotation:
        """Read and check an annotation.

        Args:
            text: of the file.
            source: its name in messages.

        Raises:
            AnnotationError: not JSON, a field is missing, or a word is not at its place in the caption.
        """
        try:
            values = json.loads(text)
            segments = tuple(_segment(segment, values["caption"]) for segment in values["segments"])
            ids = [segment.id for segment in segments]
            if len(set(ids)) < len(ids):
                raise ValueError("two segments share an id")
            return cls(str(values.get("image_id", "")), values["caption"], segments)
        except KeyError as error:
            raise AnnotationError(f'The annotation "{source}" has no field {error}.') from error
        except (TypeError, ValueError) as error:
            raise AnnotationError(f'The annotation "{source}" cannot be used: {error}.') from error

    def words(self, segments: Sequence[Segment]) -> tuple[Word, ...]:
        """Return the places of some segments' words in the caption, numbered in that order."""
        return tuple(Word(s, segment.word, segment.start, segment.end) for s, segment in enumerate(segments))


def _segment(values: Mapping[str, Any], caption: str) -> Segment:
    """Read and check a segment; raise ValueError, TypeError or KeyError."""
    start, end, word = int(values["start"]), int(values["end"]), str(values["word"])
    if not 0 <= start < end <= len(caption) or caption[start:end].lower() != word.lower():
        raise ValueError(f'the word "{word}" is not at {start} to {end} of the caption "{caption}"')
    box = tuple(float(edge) for edge in values["box"])
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f'the box of "{word}" is not four numbers')
    number = int(values["id"])
    if not 1 <= number <= MAX_ID:
        raise ValueError(f'the id of "{word}" is {number}, but must be from 1 to {MAX_ID}')
    face = values.get("face")
    if face is not None and len(face) != FACE_WIDTH:
        raise ValueError(f'the face of "{word}" is not {FACE_WIDTH} numbers')
    return Segment(
        number, word, start, end, (box[0], box[1], box[2], box[3]), values.get("identity"), face and tuple(face)
    )


def read_mask(data: bytes, kind: str, source: str) -> np.ndarray:
    """Return the ids of the segments, (H, W) uint8; what is no id of a segment is background. Nothing is unpickled.

    Args:
        data: of the file.
        kind: ``npy`` or ``png``.
        source: its name in messages.

    Raises:
        AnnotationError: it cannot be read, or is not such a mask.
    """
    try:
        if kind == "npy":
            values = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError("it is too large")
                keeps_numbers = image.mode in ("L", "P") or image.mode.startswith("I")
                values = np.asarray(image if keeps_numbers else image.convert("L"))
    except (OSError, ValueError, EOFError, SyntaxError, UnidentifiedImageError) as error:
        raise AnnotationError(f'The mask "{source}" cannot be read: {error}.') from error
    if values.ndim != 2:
        raise AnnotationError(f'The mask "{source}" has {values.ndim} axes instead of height and width.')
    # Other numbers are of no segment in the annotation, whose ids are checked; bytes would wrap them onto those.
    return np.where((values >= 1) & (values <= MAX_ID), values, 0).astype(np.uint8)


def write_mask(ids: np.ndarray) -> bytes:
    """Return the ids (H, W) of the segments as a gray PNG."""
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def read_image(data: bytes, source: str) -> Image.Image:
    """Open an image as RGB, in its full size and as it is stored; ``load_photo`` would turn and shrink it.

    Raises:
        AnnotationError: it cannot be read, or is too large.
    """
    try:
        with open_photo(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS // 1_000_000} million pixels")
            return image.convert("RGB")
    except (OSError, ValueError, EOFError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise AnnotationError(f'The image "{source}" cannot be read: {error}.') from error

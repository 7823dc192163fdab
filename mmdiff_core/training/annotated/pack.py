"""Packing of an annotated folder into WebDataset shards, in the format of ``shards``."""

from __future__ import annotations

import io
import json
import logging
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.encoders.photo import as_image
from mmdiff_core.errors import AnnotationError, PhotoError, TrainingError
from mmdiff_core.training.annotated.folder import AnnotatedFolder, AnnotatedImage
from mmdiff_core.training.annotated.format import write_mask

logger = logging.getLogger(__name__)


def pack(folder: AnnotatedFolder, out: Path, per_shard: int = 1000, seed: int = 0) -> list[Path]:
    """Write a folder as shards, with shuffled records and the other photos of their identities in each sample.

    Raises:
        TrainingError: there are shards already, which would be mixed with these; or no record can be read.
        WritingError: the disk is full or cannot be written.
    """
    if old := sorted(out.glob("*.tar")):
        raise TrainingError(f'There are shards in "{out}" already ({old[0].name}): choose a new folder.')
    order = list(range(len(folder)))
    random.Random(seed).shuffle(order)
    written, packed = [], 0
    for first in range(0, len(order), per_shard):
        path = out / f"{first // per_shard:05d}.tar"
        with atomic_file(path) as temporary, tarfile.open(temporary, "w") as tar:
            packed += sum(_add(tar, folder, index) for index in order[first : first + per_shard])
        written.append(path)
    if not packed:
        for path in written:
            path.unlink()
        raise TrainingError("No image of the folder can be read: nothing was packed.")
    return written


def _add(tar: tarfile.TarFile, folder: AnnotatedFolder, index: int) -> bool:
    """Add a record to a shard; return whether it could be read."""
    try:
        record = folder.read(index, random.Random(f"pack:{index}"))
    except (AnnotationError, PhotoError) as error:
        logger.warning("%s It is left out.", error)
        return False
    for ending, data in _files_of(record):
        info = tarfile.TarInfo(f"{index:09d}.{ending}")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return True


def _files_of(record: AnnotatedImage) -> Iterator[tuple[str, bytes]]:
    """Yield the ending and the content of each file of a record."""
    yield "jpg", _encode(record.image, "JPEG", quality=95)
    yield "json", record.annotation.to_json().encode()
    yield "png", write_mask(np.asarray(record.mask))
    for number, photos in record.photos.items():
        for index, photo in enumerate(photos):
            yield f"photo{number}-{index}.webp", _encode(photo, "WEBP", quality=92, exact=True)
    for number, (own, *others) in record.faces.items():
        yield f"face{number}.png", _encode(as_image(own.crop), "PNG")
        for index, face in enumerate(others):
            yield f"face{number}-{index}.png", _encode(as_image(face.crop), "PNG")
            yield f"face{number}-{index}.json", json.dumps(face.embedding).encode()


def _encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()

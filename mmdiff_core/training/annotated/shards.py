"""Annotated pictures in WebDataset shards: tar files that are read from front to back, from a disk or a stream.

A sample is the files that share a key::

    000000000.jpg  000000000.json  000000000.png (or .npy)      as in a folder
    000000000.photo1-0.webp                                     another photo of segment 1, alpha 0 where background is
    000000000.face1.png  000000000.face1-0.png  .face1-0.json   its own face; another one, with its embedding

The order of the shards is another in every epoch; within a shard the samples pass through a buffer that mixes them.
Each process reads shards of its own. All of it follows the seed, so that a run that goes on sees what it would have
seen; shards that it is through with are counted by their table of files, and not read, where they lie on a disk.
"""

from __future__ import annotations

import io
import json
import logging
import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import count as count_from
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.encoders.photo import as_picture
from mmdiff_core.errors import AnnotationError, PhotoError, TrainingError
from mmdiff_core.training.annotated.folder import AnnotatedFolder, AnnotatedImage
from mmdiff_core.training.annotated.format import Annotation, read_mask, read_picture, write_mask
from mmdiff_core.types import Face

logger = logging.getLogger(__name__)

BUFFER = 500  # samples, compressed, among which one is drawn
NEEDED = "reading shards needs webdataset: pip install -r requirements-train.txt"
PICTURES = ("jpg", "jpeg", "webp")
OPENABLE = "a local path, or anything that webdataset opens: http(s)://, s3://, gs://, pipe:"


class ShardedRecords:
    """Batches from shards; see ``folder.Records``.

    Args:
        urls: of the shards: local paths, or anything that webdataset opens.
        seed: of the order.
        rank, world: this process and how many there are.

    Raises:
        TrainingError: there are fewer shards than processes, or webdataset is not installed.
    """

    def __init__(self, urls: Sequence[str], seed: int, rank: int = 0, world: int = 1) -> None:
        if len(urls) < world:
            raise TrainingError(f"{len(urls)} shard(s) cannot feed {world} processes: pack the pictures into more.")
        self.urls, self.seed, self.rank, self.world = tuple(urls), seed, rank, world
        self.sizes: dict[str, int] = {}  # samples of the shards that were counted
        self.place = 0  # samples of this process given out so far
        self.stream = self._from(0)

    def draw(self, draw: int, count: int) -> list[tuple[int, AnnotatedImage]]:
        """The next batch, or any other after a search."""
        if draw * count != self.place:
            self.place, self.stream = draw * count, self._from(draw * count)
        samples = [next(self.stream) for _ in range(count)]
        self.place += count
        return [((self.place - count + i) * self.world + self.rank, sample) for i, sample in enumerate(samples)]

    def _from(self, place: int) -> Iterator[AnnotatedImage]:
        """This process's samples from its ``place``-th on, without end.

        For a damaged one the next good one stands in, so that the count stays wherever a run goes on.
        """
        damaged = 0
        for epoch in count_from():
            whole, seen, good = place == 0, 0, 0
            for url in self._mine(epoch):
                if place and place >= (size := self._size(url)):
                    place, seen = place - size, seen + size
                    continue
                for sample in self._mixed(url, epoch):
                    seen += 1
                    if place:
                        place -= 1
                    elif (found := _open_or_tell(sample)) is None:
                        damaged += 1
                    else:
                        yield from [found] * (1 + damaged)
                        damaged, good = 0, good + 1
            if not seen or (whole and not good):
                raise TrainingError(f"There is no usable sample in the shards {', '.join(self._mine(epoch)[:3])} ...")

    def _size(self, url: str) -> int:
        """How many samples a shard has, by the file's table where it is here, else by reading it once."""
        if url not in self.sizes:
            self.sizes[url] = count_samples(url)
        return self.sizes[url]

    def _mine(self, epoch: int) -> list[str]:
        """This process's shards of an epoch; all processes have equally many, so that none falls behind."""
        order = list(self.urls)
        random.Random(f"{self.seed}:epoch:{epoch}").shuffle(order)
        return order[: len(order) // self.world * self.world][self.rank :: self.world]

    def _mixed(self, url: str, epoch: int) -> Iterator[Mapping[str, Any]]:
        """The shard's samples, each drawn from a buffer."""
        rng, buffer = random.Random(f"{self.seed}:{epoch}:{url}"), list[Mapping[str, Any]]()
        for sample in read_shard(url):
            buffer.append(sample)
            if len(buffer) > BUFFER:
                yield buffer.pop(rng.randrange(len(buffer)))
        rng.shuffle(buffer)
        yield from buffer


def find_shards(pattern: str) -> list[str]:
    """The shards of a folder, or of a pattern such as ``s3://bucket/shard-{0000..0099}.tar``.

    Raises:
        TrainingError: there is none, or webdataset is not installed.
    """
    if Path(pattern).is_dir():
        return [str(path) for path in sorted(Path(pattern).glob("*.tar"))]
    try:
        from webdataset.shardlists import expand_urls
    except ImportError as error:
        raise TrainingError(f"{NEEDED}.") from error
    urls = [str(url) for url in expand_urls(pattern)]
    missing = [url for url in urls if ":" not in url and not Path(url).is_file()]
    if missing:
        raise TrainingError(f'The shard "{missing[0]}" is not there: give a folder of .tar files, or {OPENABLE}.')
    return urls


def read_shard(url: str) -> Iterator[Mapping[str, Any]]:
    """The samples of a shard, file ending -> bytes; nothing is decoded.

    Raises:
        TrainingError: it cannot be opened, was cut off, or webdataset is not installed.
    """
    try:
        from webdataset.tariterators import group_by_keys, tar_file_expander, url_opener
    except ImportError as error:
        raise TrainingError(f"{NEEDED}.") from error
    try:
        yield from group_by_keys(tar_file_expander(url_opener([{"url": url}])))
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise TrainingError(f'The shard "{url}" cannot be read to its end: {error}. Get or pack it again.') from error


def count_samples(url: str) -> int:
    """How many samples a shard has. Errors as ``read_shard``."""
    if not Path(url).is_file():
        return sum(1 for _ in read_shard(url))
    from webdataset.tariterators import base_plus_ext

    try:
        with tarfile.open(url) as tar:  # as webdataset groups them: neighbours with one key
            keys = [base_plus_ext(member.name)[0] for member in tar if member.isfile()]
        return sum(1 for key, _ in groupby(keys) if key is not None)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise TrainingError(f'The shard "{url}" cannot be read to its end: {error}. Get or pack it again.') from error


def _open_or_tell(sample: Mapping[str, Any]) -> AnnotatedImage | None:
    """The sample decoded, or None with a warning."""
    try:
        return open_sample(sample)
    except (AnnotationError, PhotoError) as error:
        logger.warning("%s Another picture stands in for it.", error)
        return None


def open_sample(sample: Mapping[str, Any]) -> AnnotatedImage:
    """Decode a sample.

    Raises:
        AnnotationError: a file is missing or damaged.
    """
    name = f"{sample.get('__url__', '')}:{sample['__key__']}"
    picture_kind = next((kind for kind in PICTURES if kind in sample), None)
    mask_kind = next((kind for kind in ("npy", "png") if kind in sample), None)
    if "json" not in sample or picture_kind is None or mask_kind is None:
        raise AnnotationError(f'The sample "{name}" lacks its picture, its mask or its annotation.')
    annotation = Annotation.from_json(sample["json"], name)
    picture = read_picture(sample[picture_kind], name)
    mask = read_mask(sample[mask_kind], mask_kind, name)
    if picture.size != (mask.shape[1], mask.shape[0]):
        raise AnnotationError(f'The picture and the mask of "{name}" differ in size.')
    photos, faces = {}, {}
    for segment in annotation.segments:
        others = [_open_photo(data, name) for data in _numbered(sample, f"photo{segment.id}", "webp")]
        if others:
            photos[segment.id] = tuple(others)
        if segment.face is not None:
            faces[segment.id] = tuple(_open_faces(sample, segment.id, segment.face, name))
    return AnnotatedImage(annotation, picture, mask, photos, faces)


def _open_photo(data: bytes, name: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            return image.convert("RGBA")
    except (OSError, ValueError, EOFError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationError(f'A photo of the sample "{name}" is damaged: {error}.') from error


def _open_faces(sample: Mapping[str, Any], number: int, own: tuple[float, ...], name: str) -> Iterator[Face]:
    if f"face{number}.png" not in sample:
        raise AnnotationError(f'The sample "{name}" has the embedding of face {number}, but not the face.')
    yield Face(own, read_picture(sample[f"face{number}.png"], name))
    for index, crop in enumerate(_numbered(sample, f"face{number}", "png")):
        embedding = sample.get(f"face{number}-{index}.json", b"")
        yield Face(_read_embedding(embedding, name), read_picture(crop, name))


def _read_embedding(data: bytes, name: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, json.loads(data)))
    except (ValueError, TypeError) as error:
        raise AnnotationError(f'A face of the sample "{name}" has no embedding, or a damaged one.') from error


def _numbered(sample: Mapping[str, Any], what: str, ending: str) -> Iterator[bytes]:
    for index in count_from():
        data = sample.get(f"{what}-{index}.{ending}")
        if data is None:
            return
        yield data


# ---------------------------------------------------------------- packing


def pack(folder: AnnotatedFolder, out: Path, per_shard: int = 1000, seed: int = 0) -> list[Path]:
    """Write a folder as shards, its records shuffled, other photos of its identities within each sample.

    Raises:
        TrainingError: there are shards already, which would be mixed with these; or not one record can be read.
        WritingError: the disk is full or cannot be written.
    """
    if old := sorted(out.glob("*.tar")):
        raise TrainingError(f'There are shards in "{out}" already ({old[0].name}): choose a new folder.')
    order = list(range(len(folder)))
    random.Random(seed).shuffle(order)
    written, packed = [], 0
    for first in range(0, len(order), per_shard):
        path = out / f"{first // per_shard:05d}.tar"
        with atomic_file(path) as aside, tarfile.open(aside, "w") as tar:
            packed += sum(_add(tar, folder, index) for index in order[first : first + per_shard])
        written.append(path)
    if not packed:
        for path in written:
            path.unlink()
        raise TrainingError("Not one picture of the folder can be read: nothing was packed.")
    return written


def _add(tar: tarfile.TarFile, folder: AnnotatedFolder, index: int) -> bool:
    """Whether the record can be read, and is now in the shard."""
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
    yield "jpg", _encoded(record.picture, "JPEG", quality=95)
    yield "json", record.annotation.to_json().encode()
    yield "png", write_mask(np.asarray(record.mask))
    for number, photos in record.photos.items():
        for index, photo in enumerate(photos):
            yield f"photo{number}-{index}.webp", _encoded(photo, "WEBP", quality=92, exact=True)
    for number, (own, *others) in record.faces.items():
        yield f"face{number}.png", _encoded(as_picture(own.crop), "PNG")
        for index, face in enumerate(others):
            yield f"face{number}-{index}.png", _encoded(as_picture(face.crop), "PNG")
            yield f"face{number}-{index}.json", json.dumps(face.embedding).encode()


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()

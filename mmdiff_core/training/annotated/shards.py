"""Annotated images in WebDataset shards: tar files that are read from front to back, from a disk or a stream.

A sample is the files that share a key::

    000000000.jpg  000000000.json  000000000.png (or .npy)      as in a folder
    000000000.photo1-0.webp                                     another photo of segment 1, alpha 0 where background is
    000000000.face1.png  000000000.face1-0.png  .face1-0.json   its own face; another one, with its embedding

The order of the shards differs from epoch to epoch; within a shard the samples pass through a buffer that shuffles
them. Each process reads its own shards. All of it follows the seed, so that a resumed run sees what it would have seen;
on a disk it counts the samples of the shards that it skips by their tables of files, without reading them.
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

from PIL import Image

from mmdiff_core.errors import AnnotationError, PhotoError, TrainingError
from mmdiff_core.training.annotated.folder import MASK_KINDS, AnnotatedImage, check_sizes
from mmdiff_core.training.annotated.format import Annotation, read_image, read_mask
from mmdiff_core.types import Face

logger = logging.getLogger(__name__)

BUFFER = 500  # compressed samples, from which the next one is sampled
NEEDED = "reading shards needs webdataset: pip install -r requirements-train.txt"
IMAGE_KINDS = ("jpg", "jpeg", "webp")
OPENABLE = "a local path, or anything that webdataset opens: http(s)://, s3://, gs://, pipe:"


class ShardedRecords:
    """Annotated images from shards; a ``RecordSource``.

    Args:
        urls: of the shards: local paths, or anything that webdataset opens.
        seed: of the order.
        rank, world_size: this process and the number of processes.

    Raises:
        TrainingError: there are fewer shards than processes, or webdataset is not installed.
    """

    def __init__(self, urls: Sequence[str], seed: int, rank: int = 0, world_size: int = 1) -> None:
        if len(urls) < world_size:
            raise TrainingError(f"{len(urls)} shard(s) cannot feed {world_size} processes: pack more shards.")
        self.urls, self.seed, self.rank, self.world_size = tuple(urls), seed, rank, world_size
        self.sizes: dict[str, int] = {}  # number of samples of the shards that were counted
        self.place = 0  # number of samples that this process has returned
        self.samples = self._from(0)

    def batch(self, index: int, count: int) -> list[tuple[int, AnnotatedImage]]:
        """Return batch ``index``, at once if it is the next one, else after skipping to it."""
        first = index * count
        if first != self.place:
            self.samples = self._from(first)
        batch = [((first + i) * self.world_size + self.rank, next(self.samples)) for i in range(count)]
        self.place = first + count
        return batch

    def _from(self, place: int) -> Iterator[AnnotatedImage]:
        """Yield this process's samples from its ``place``-th on, without end.

        A damaged one is replaced by the next good one, so that the count is the same wherever a run resumes.
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
                    elif (opened := _open_or_log(sample)) is None:
                        damaged += 1
                    else:
                        yield from [opened] * (1 + damaged)
                        damaged, good = 0, good + 1
            if not seen or (whole and not good):
                raise TrainingError(f"There is no usable sample in the shards {', '.join(self._mine(epoch)[:3])} ...")

    def _size(self, url: str) -> int:
        """Count the samples of a shard, once."""
        if url not in self.sizes:
            self.sizes[url] = count_samples(url)
        return self.sizes[url]

    def _mine(self, epoch: int) -> list[str]:
        """Return this process's shards of an epoch; every process has the same number, so that none falls behind."""
        order = list(self.urls)
        random.Random(f"{self.seed}:epoch:{epoch}").shuffle(order)
        return order[: len(order) // self.world_size * self.world_size][self.rank :: self.world_size]

    def _mixed(self, url: str, epoch: int) -> Iterator[Mapping[str, Any]]:
        """Yield the shard's samples, each sampled from a buffer."""
        rng, buffer = random.Random(f"{self.seed}:{epoch}:{url}"), list[Mapping[str, Any]]()
        for sample in read_shard(url):
            buffer.append(sample)
            if len(buffer) > BUFFER:
                yield buffer.pop(rng.randrange(len(buffer)))
        rng.shuffle(buffer)
        yield from buffer


def find_shards(pattern: str) -> list[str]:
    """Return the shards of a folder, or of a pattern such as ``s3://bucket/shard-{0000..0099}.tar``.

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
    """Yield the samples of a shard, as the bytes of each file by its ending; nothing is decoded.

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
    """Count the samples of a shard: by its table of files, or by reading it where that is not local.

    Errors as ``read_shard``.
    """
    if not Path(url).is_file():
        return sum(1 for _ in read_shard(url))
    from webdataset.tariterators import base_plus_ext

    try:
        with tarfile.open(url) as tar:  # as webdataset groups them: neighbours with one key
            keys = [base_plus_ext(member.name)[0] for member in tar if member.isfile()]
        return sum(1 for key, _ in groupby(keys) if key is not None)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise TrainingError(f'The shard "{url}" cannot be read to its end: {error}. Get or pack it again.') from error


def _open_or_log(sample: Mapping[str, Any]) -> AnnotatedImage | None:
    """Return the sample decoded, or None with a warning."""
    try:
        return open_sample(sample)
    except (AnnotationError, PhotoError) as error:
        logger.warning("%s Another image takes its place.", error)
        return None


def open_sample(sample: Mapping[str, Any]) -> AnnotatedImage:
    """Decode a sample.

    Raises:
        AnnotationError: a file is missing or damaged.
    """
    name = f"{sample.get('__url__', '')}:{sample['__key__']}"
    image_kind = next((kind for kind in IMAGE_KINDS if kind in sample), None)
    mask_kind = next((kind for kind in MASK_KINDS if kind in sample), None)
    if "json" not in sample or image_kind is None or mask_kind is None:
        raise AnnotationError(f'The sample "{name}" lacks its image, its mask or its annotation.')
    annotation = Annotation.from_json(sample["json"], name)
    image = read_image(sample[image_kind], name)
    mask = read_mask(sample[mask_kind], mask_kind, name)
    check_sizes(image, mask, name)
    photos, faces = {}, {}
    for segment in annotation.segments:
        others = [_open_photo(data, name) for data in _numbered(sample, f"photo{segment.id}", "webp")]
        if others:
            photos[segment.id] = tuple(others)
        if segment.face is not None:
            faces[segment.id] = tuple(_open_faces(sample, segment.id, segment.face, name))
    return AnnotatedImage(annotation, image, mask, photos, faces)


def _open_photo(data: bytes, name: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            return image.convert("RGBA")
    except (OSError, ValueError, EOFError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationError(f'A photo of the sample "{name}" is damaged: {error}.') from error


def _open_faces(sample: Mapping[str, Any], number: int, own: tuple[float, ...], name: str) -> Iterator[Face]:
    if f"face{number}.png" not in sample:
        raise AnnotationError(f'The sample "{name}" has the embedding of face {number}, but not the face.')
    yield Face(own, read_image(sample[f"face{number}.png"], name))
    for index, crop in enumerate(_numbered(sample, f"face{number}", "png")):
        embedding = sample.get(f"face{number}-{index}.json", b"")
        yield Face(_read_embedding(embedding, name), read_image(crop, name))


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

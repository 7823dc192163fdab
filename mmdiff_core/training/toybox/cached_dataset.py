"""Samples that are rendered once into shards on disk and reused, with the outputs of the frozen encoders.

Rendering an image takes as long as a training step on a CPU, and longer than one on a GPU. The files of a folder::

    00000.safetensors                        250 scenes: images, masks, reference photos, captions
    latents-<fingerprint>/00000.safetensors  float16 latents of those images, by one autoencoder
    features-<fingerprint>/00000.safetensors float16 features of those photos, by one image encoder

Shards are memory-mapped: what a stage does not read costs nothing, and the system may drop what it has read.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.errors import TrainingError
from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.toyworld.scenes.scene import Caption
from mmdiff_core.training.precision import mixed_precision
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from mmdiff_core.training.toybox.recipes import Recipe
from mmdiff_core.training.toybox.samples import ImagesWithMasks, Samples, join_samples

if TYPE_CHECKING:  # the processes that render do not need them, and they are slow to import
    from diffusers import AutoencoderKL

    from mmdiff_core.encoders.image import ImageEncoder

SHARD_SIZE = 250  # scenes
REFRESH_EVERY = 100  # batches between two looks for new shards
SHARDS_PER_BATCH = 4


@dataclass(frozen=True)
class Shard:
    """The scenes of one file; photos and features of the n subjects that are there, without padding."""

    masks: Tensor  # uint8 (B, S, MASK_SIZE, MASK_SIZE)
    present: Tensor  # bool (B, S)
    captions: tuple[Caption, ...]
    descriptions: tuple[tuple[str, ...], ...]
    images: Tensor | None  # uint8 (B, 3, H, W); None where there are latents
    references: Tensor | None  # uint8 (n, P, 3, R, R); None where there are features
    latents: Tensor | None = None  # float16 (B, c, h, w)
    cls: Tensor | None = None  # float16 (n, P, Dv)
    patches: Tensor | None = None  # float16 (n, P, M, Dh)

    @cached_property
    def _numbers(self) -> Tensor:
        """The index of each subject among the n that are there, long (B, S)."""
        return self.present.flatten().cumsum(0).view_as(self.present) - 1

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Return the number of subjects of each scene."""
        return tuple(self.present.sum(1).tolist())

    def take(self, rows: Sequence[int]) -> Samples:
        """Return some of the scenes, padded."""
        index = torch.as_tensor(rows, dtype=torch.long)
        present = self.present[index]
        subjects = self._numbers[index][present]

        def pad(values: Tensor) -> Tensor:
            full = values.new_zeros(*present.shape, *values.shape[1:])
            full[present] = values[subjects]
            return full

        features = None
        if self.cls is not None and self.patches is not None:
            photos = present[..., None].expand(-1, -1, self.cls.shape[1])
            features = ImageFeatures(pad(self.cls), pad(self.patches), photos)
        return Samples(
            images=None if self.images is None else self.images[index],
            masks=self.masks[index],
            references=None if self.references is None else pad(self.references),
            present=present,
            captions=tuple(self.captions[i] for i in rows),
            descriptions=tuple(self.descriptions[i] for i in rows),
            latents=None if self.latents is None else self.latents[index],
            features=features,
        )


class CachedDataset:
    """Random samples of the shards in a folder.

    Shard k is the same whoever renders it, so that several processes may fill a folder side by side.

    Args:
        folder: where the shards are.
        recipe: what is in them.
        seed: of the order of the samples.
    """

    def __init__(self, folder: Path, recipe: Recipe, seed: int = 0) -> None:
        self.folder, self.recipe, self.seed = folder, recipe, seed
        self.rng = random.Random(seed)
        self.shards: dict[Path, Shard] = {}
        self._latents: EncoderCache | None = None
        self._features: EncoderCache | None = None
        self._batches = 0
        folder.mkdir(parents=True, exist_ok=True)

    def seek(self, step: int) -> None:
        """Continue with the samples of that training step."""
        self.rng.seed(f"pool:{self.seed}:{step}")  # changing this text would change every run

    def render(self, workers: int = 1) -> None:
        """Render the missing shards in random order, in ``workers`` processes."""
        wanted = [self.folder / f"{k:05d}.safetensors" for k in range(-(-self.recipe.scenes // SHARD_SIZE))]
        missing = [path for path in wanted if not path.exists()]
        random.shuffle(missing)
        bar = tqdm(total=len(missing), desc="rendering the dataset", unit="shard")
        with bar, ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker) as executor:
            jobs = [executor.submit(render_shard, path, self.recipe, SHARD_SIZE) for path in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
            finally:
                executor.shutdown(cancel_futures=True)  # Ctrl-C waits only for the shards that are being rendered
        self.refresh()

    def refresh(self) -> None:
        """Open new shards; raise TrainingError if there are none at all."""
        new = [path for path in sorted(self.folder.glob("*.safetensors")) if path not in self.shards]
        self.shards.update((path, self._open(path)) for path in new)
        if not self.shards:
            check_not_empty(self.folder)

    def encode_with(self, vae: AutoencoderKL, image_encoder: ImageEncoder | None = None) -> None:
        """Replace images by latents and, with an image encoder, reference photos by features.

        Both are computed once per encoder and stored in the folder.
        """
        self._latents = EncoderCache(
            self.folder / f"latents-{fingerprint_weights(vae.encoder.state_dict().values())}",
            lambda images: {"latents": encode_latents(vae, images)},
        )
        self._features = None
        if image_encoder is not None:
            weights = [*image_encoder.model.state_dict().values(), image_encoder.mean, image_encoder.std]
            self._features = EncoderCache(
                self.folder / f"features-{fingerprint_weights(weights)}", partial(encode_features, image_encoder)
            )
        folders = [cache.folder for cache in (self._latents, self._features) if cache is not None]
        encoded = all((folder / path.name).exists() for folder in folders for path in self.shards)
        bar = tqdm(self.shards, desc="encoding the dataset", unit="shard", disable=encoded)
        self.shards = {path: self._open(path) for path in bar}

    def _open(self, path: Path) -> Shard:
        """Open a shard with what the encoders made of it."""
        shard = open_shard(path)
        if self._latents is not None:
            assert shard.images is not None  # as read
            latents = self._latents.get(path.name, shard.images)["latents"]
            shard = replace(shard, images=None, latents=latents)
        if self._features is not None:
            assert shard.references is not None
            features = self._features.get(path.name, shard.references)
            shard = replace(shard, references=None, cls=features["cls"], patches=features["patches"])
        return shard

    def sample(self, count: int) -> Samples:
        """Return samples of random shards, at most ``SHARDS_PER_BATCH`` of them."""
        self._batches += 1
        if self._batches % REFRESH_EVERY == 0:
            self.refresh()
        shards = self.rng.sample(list(self.shards.values()), k=min(SHARDS_PER_BATCH, len(self.shards)))
        sizes = [len(part) for part in torch.arange(count).tensor_split(len(shards))]
        return join_samples([shard.take(self._rows(shard, size)) for shard, size in zip(shards, sizes, strict=True)])

    def _rows(self, shard: Shard, count: int) -> list[int]:
        """Draw scenes of a shard, each as often as its number of subjects weighs."""
        weights = self.recipe.count_weights
        if len(set(weights)) == 1:
            return self.rng.choices(range(len(shard.captions)), k=count)
        return self.rng.choices(range(len(shard.captions)), [weights[n - 1] for n in shard.counts], k=count)

    def sample_images(self, count: int) -> ImagesWithMasks:
        """Return images of one to three subjects."""
        samples = self.sample(count)
        assert samples.images is not None  # of a dataset that is not encoded
        return ImagesWithMasks(samples.images, samples.masks.amax(1))

    def sample_photo_pairs(self, count: int) -> tuple[Tensor, list[str]]:
        """Return two photos of each of ``count`` toys, uint8 (count, 2, 3, R, R), and each first one described."""
        samples = self.sample(count)
        assert samples.references is not None  # of a dataset that is not encoded
        subjects = [self.rng.randrange(int(present.sum())) for present in samples.present]
        photos = samples.references[torch.arange(count), torch.tensor(subjects), :2]
        return photos, [texts[s] for texts, s in zip(samples.descriptions, subjects, strict=True)]


def check_not_empty(folder: Path) -> None:
    """Raise TrainingError for a folder without shards, before any work that needs them."""
    if not any(folder.glob("*.safetensors")):
        raise TrainingError(f'The dataset "{folder}" is empty: add "dataset" to the --stages to render it.')


# ---------------------------------------------------------------- encoders


@dataclass(frozen=True)
class EncoderCache:
    """What a frozen encoder made of each shard, in a folder."""

    folder: Path
    encode: Callable[[Tensor], Mapping[str, Tensor]]

    def get(self, name: str, images: Tensor) -> dict[str, Tensor]:
        """Read the file of that name; compute and write it where it is missing."""
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(exist_ok=True)
            _write_tensors(self.encode(images), path)
        return _read_tensors(path)[0]


@torch.no_grad()
def encode_latents(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Encode uint8 images to latents, float16 (B, c, h, w)."""
    latents, mixed = [], mixed_precision(vae.device.type)
    for chunk in images.split(32):
        scaled = chunk.to(vae.device).float() / 127.5 - 1
        with torch.autocast(vae.device.type, torch.bfloat16, enabled=mixed == "bf16"):
            latents.append(vae.encode(scaled).latent_dist.mode().half())
    return torch.cat(latents)


@torch.no_grad()
def encode_features(encoder: ImageEncoder, references: Tensor) -> dict[str, Tensor]:
    """Encode uint8 photos (n, P, 3, R, R): float16 ``cls`` (n, P, Dv) and ``patches`` (n, P, M, Dh)."""
    parts = []
    for chunk in references.flatten(0, 1).split(64):
        parts.append([x.half() for x in encoder.encode(chunk.to(encoder.mean.device).float() / 255)])
    cls, patches = (torch.cat(part).unflatten(0, references.shape[:2]) for part in zip(*parts, strict=True))
    return {"cls": cls, "patches": patches}


def fingerprint_weights(weights: Iterable[Tensor]) -> str:
    """Return a short digest of a network's weights."""
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


# ---------------------------------------------------------------- files


def _start_worker() -> None:
    """Use one thread, which is fastest for several processes; ignore Ctrl-C, which the waiting process handles."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def render_dataset(folder: Path, recipe: Recipe, workers: int) -> None:
    """Render the missing shards of a folder, until Ctrl-C; for a process of its own."""
    with suppress(KeyboardInterrupt):
        CachedDataset(folder, recipe).render(workers)


def render_shard(path: Path, recipe: Recipe, size: int) -> None:
    """Render a shard, unless another process did so in the meantime."""
    if not path.exists():
        dataset = OnTheFlyDataset(recipe, seed=recipe.seed + 1 + int(path.stem))
        write_shard(path, dataset.sample(min(size, recipe.scenes)))


def write_shard(path: Path, samples: Samples) -> None:
    """Write rendered samples as a shard."""
    captions = [
        {"text": caption.text, "names": caption.names, "detailed": caption.detailed} for caption in samples.captions
    ]
    assert samples.images is not None  # as rendered
    assert samples.references is not None
    tensors = {
        "pictures": samples.images,
        "masks": samples.masks,
        "present": samples.present,
        "references": samples.references[samples.present],  # (n, P, 3, R, R): padding is not stored
    }
    _write_tensors(tensors, path, {"captions": json.dumps(captions), "descriptions": json.dumps(samples.descriptions)})


def open_shard(path: Path) -> Shard:
    """Open a shard as it was rendered."""
    tensors, metadata = _read_tensors(path)
    captions = [Caption(c["text"], tuple(c["names"]), c["detailed"]) for c in json.loads(metadata["captions"])]
    return Shard(
        masks=tensors["masks"],
        present=tensors["present"],
        captions=tuple(captions),
        descriptions=tuple(tuple(texts) for texts in json.loads(metadata["descriptions"])),
        images=tensors["pictures"],
        references=tensors["references"],
    )


def _write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    with atomic_file(path) as temporary:
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, temporary, metadata)


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the memory-mapped tensors of a file, and its metadata."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118

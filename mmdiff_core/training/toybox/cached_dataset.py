"""Training data: rendered anew for every batch, or rendered once into a pool on disk and used again.

A picture costs as much as a training step on a CPU, and more than one on a GPU, so that a pool pays; its shards are
rendered by as many processes as there are cores.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from mmdiff_core.atomic_files import written_aside
from mmdiff_core.errors import TrainingError
from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.scenes.random_scenes import random_scene, reference_scene
from mmdiff_core.toyworld.scenes.scene import Caption, Scene
from mmdiff_core.training.precision import mixed_precision
from mmdiff_core.training.toybox.recipes import Recipe

if TYPE_CHECKING:  # the processes that render a pool have no need of it, and it is slow to import
    from diffusers import AutoencoderKL

logger = logging.getLogger(__name__)

SUBJECTS = 3  # at most in one picture
MASK_SIZE = 32  # masks are kept as coverage of this many squares a side
SHARD = 250
REFRESH_EVERY = 100  # draws between two looks for new shards

Identities = Literal["train", "held_out"]


@dataclass(frozen=True)
class Samples:
    """Pictures with everything a stage may learn from. S = SUBJECTS, padded."""

    pictures: Tensor | None  # uint8 (B, 3, H, W); None where the latents stand for them
    masks: Tensor  # uint8 (B, S, MASK_SIZE, MASK_SIZE), 255 = covered by the subject
    references: Tensor  # uint8 (B, S, P, 3, R, R)
    present: Tensor  # bool (B, S)
    captions: tuple[Caption, ...]
    descriptions: tuple[tuple[str, ...], ...]  # of each subject's first reference photo, in words
    latents: Tensor | None = None  # (B, c, h, w)

    def take(self, rows: Sequence[int]) -> Samples:
        """Some of these samples."""
        index = torch.as_tensor(rows)
        return Samples(
            None if self.pictures is None else self.pictures[index],
            self.masks[index],
            self.references[index],
            self.present[index],
            tuple(self.captions[i] for i in rows),
            tuple(self.descriptions[i] for i in rows),
            None if self.latents is None else self.latents[index],
        )


class Pictures(NamedTuple):
    """Pictures alone, with where their subjects are."""

    images: Tensor  # uint8 (B, 3, H, W)
    subjects: Tensor  # uint8 (B, MASK_SIZE, MASK_SIZE), 255 = covered by any subject


class Source(Protocol):
    """Where a stage gets its data."""

    def seek(self, step: int) -> None:
        """Draw from here on what belongs to that step of a training."""
        ...

    def samples(self, count: int) -> Samples: ...
    def pictures(self, count: int) -> Pictures: ...
    def photo_pairs(self, count: int) -> tuple[Tensor, list[str]]: ...


class Stream:
    """Renders every sample anew; needs no files and never repeats.

    Args:
        recipe: sizes, the number of photos per subject, and the world.
        seed: two streams of the same seed are the same.
        identities: ``held_out`` toys are never trained on.
    """

    def __init__(self, recipe: Recipe, seed: int, identities: Identities = "train", device: str = "cpu") -> None:
        self.recipe, self.identities, self.device = recipe, identities, device
        self.name = f"stream:{seed}:{identities}"
        self.rng = random.Random(self.name)

    def seek(self, step: int) -> None:
        """Draw from here on what belongs to that step of a training."""
        self.rng.seed(f"{self.name}:{step}")

    def samples(self, count: int) -> Samples:
        """Pictures of one to three subjects with reference photos of each."""
        scenes = [self._scene() for _ in range(count)]
        photos = self.recipe.photos
        views = [
            [reference_scene(self.rng, placed.toy, scene, self.recipe.world) for _ in range(photos)]
            for scene in scenes
            for placed in scene.toys
        ]
        drawn = render(scenes, self.recipe.size, self.device)
        seen = render([view for toy in views for view in toy], self.recipe.reference, self.device).images
        present = torch.tensor([[s < len(scene.toys) for s in range(SUBJECTS)] for scene in scenes])
        references = torch.zeros(count, SUBJECTS, photos, *seen.shape[1:], dtype=torch.uint8, device=seen.device)
        references[present] = to_bytes(seen).unflatten(0, (-1, photos))
        said = iter([toy[0].caption.detailed for toy in views])
        return Samples(
            pictures=to_bytes(drawn.images),
            masks=_coverage(drawn.masks),
            references=references,
            present=present,
            captions=tuple(scene.caption for scene in scenes),
            descriptions=tuple(tuple(next(said) for _ in scene.toys) for scene in scenes),
        )

    def pictures(self, count: int) -> Pictures:
        """Pictures of one to three subjects."""
        drawn = render([self._scene() for _ in range(count)], self.recipe.size, self.device)
        return Pictures(to_bytes(drawn.images), _coverage(drawn.masks).amax(1))

    def photo_pairs(self, count: int) -> tuple[Tensor, list[str]]:
        """Two photos of each of ``count`` toys, uint8 (count, 2, 3, R, R), and a description of each first photo."""
        toys = [self._scene(1).toys[0].toy for _ in range(count)]
        views = [reference_scene(self.rng, toy, vocabulary=self.recipe.world) for toy in toys for _ in range(2)]
        seen = render(views, self.recipe.reference, self.device).images
        return to_bytes(seen).unflatten(0, (count, 2)), [view.caption.detailed for view in views[::2]]

    def _scene(self, subjects: int | None = None) -> Scene:
        return random_scene(self.rng, subjects, self.identities, self.recipe.world)


class Pool:
    """Samples in shards on disk, drawn from at random.

    Shard k is the same whoever renders it, so that several processes may fill a pool side by side.

    Args:
        folder: where the shards are.
        recipe: what is in them.
        seed: of the order in which samples are drawn.
    """

    def __init__(self, folder: Path, recipe: Recipe, seed: int = 0) -> None:
        self.folder, self.recipe, self.seed = folder, recipe, seed
        self.rng = random.Random(seed)
        self.shards: dict[Path, Samples] = {}
        self.encoder: AutoencoderKL | None = None
        self.draws = 0
        folder.mkdir(parents=True, exist_ok=True)

    def seek(self, step: int) -> None:
        """Draw from here on what belongs to that step of a training."""
        self.rng.seed(f"pool:{self.seed}:{step}")

    def fill(self, workers: int = 1) -> None:
        """Render the shards that are missing, in an order of one's own, on so many processes."""
        wanted = [self.folder / f"{k:05d}.safetensors" for k in range(-(-self.recipe.pool // SHARD))]
        missing = [path for path in wanted if not path.exists()]
        random.shuffle(missing)
        bar = tqdm(total=len(missing), desc="rendering the pool", unit="shard")
        with bar, ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as executor:
            jobs = [executor.submit(_render_shard, path, self.recipe, SHARD) for path in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
            finally:
                executor.shutdown(cancel_futures=True)  # Ctrl-C waits for the shards at hand alone
        self.refresh()

    def refresh(self) -> None:
        """Read the shards that are there and not read yet; with their latents once an autoencoder is known."""
        found = [path for path in sorted(self.folder.glob("*.safetensors")) if path not in self.shards]
        self.shards.update((path, _read_shard(path)) for path in found)
        if not self.shards:
            check_pool(self.folder)
        if self.encoder is not None:
            self._add_latents(self.encoder)

    def encode_with(self, vae: AutoencoderKL) -> None:
        """Give every sample its latents, computed once per autoencoder and kept beside the shards."""
        self.encoder = vae
        self.shards = {path: _read_shard(path) for path in self.shards}
        self._add_latents(vae)

    def _add_latents(self, vae: AutoencoderKL) -> None:
        kept = self.folder / f"latents-{_fingerprint(vae)}"
        kept.mkdir(exist_ok=True)
        bare = [path for path, shard in self.shards.items() if shard.latents is None]
        for path in tqdm(bare, desc="encoding the pool", unit="shard", disable=not bare):
            shard, beside = self.shards[path], kept / path.name
            if not beside.exists():
                assert shard.pictures is not None  # only latents take their place
                _write_aside({"latents": encode(vae, shard.pictures)}, beside, {})
            with safe_open(beside, framework="pt") as file:
                self.shards[path] = replace(shard, pictures=None, latents=file.get_tensor("latents"))

    def samples(self, count: int) -> Samples:
        """Samples of random shards; those of one call come from at most four."""
        self.draws += 1
        if self.draws % REFRESH_EVERY == 0:
            self.refresh()
        shards = self.rng.sample(list(self.shards.values()), k=min(4, len(self.shards)))
        sizes = [len(part) for part in torch.arange(count).tensor_split(len(shards))]
        pairs = zip(shards, sizes, strict=True)
        return join([shard.take(self.rng.choices(range(len(shard.captions)), k=size)) for shard, size in pairs])

    def pictures(self, count: int) -> Pictures:
        """Pictures of one to three subjects."""
        drawn = self.samples(count)
        assert drawn.pictures is not None  # of a pool that was not encoded
        return Pictures(drawn.pictures, drawn.masks.amax(1))

    def photo_pairs(self, count: int) -> tuple[Tensor, list[str]]:
        """Two photos of each of ``count`` toys, uint8 (count, 2, 3, R, R), and a description of each first photo."""
        drawn = self.samples(count)
        subjects = [self.rng.randrange(int(present.sum())) for present in drawn.present]
        photos = drawn.references[torch.arange(count), torch.tensor(subjects), :2]
        return photos, [texts[s] for texts, s in zip(drawn.descriptions, subjects, strict=True)]


def check_pool(folder: Path) -> None:
    """Refuse an empty pool before work begins that needs it; raises TrainingError."""
    if not any(folder.glob("*.safetensors")):
        raise TrainingError(f'The pool "{folder}" is empty: name "pool" among the --stages, too, to render it.')


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Latents (B, c, h, w) of uint8 pictures, in half precision."""
    latents, mixed = [], mixed_precision(vae.device.type)
    for chunk in pictures.split(32):
        scaled = chunk.to(vae.device).float() / 127.5 - 1
        with torch.autocast(vae.device.type, torch.bfloat16, enabled=mixed == "bf16"):
            latents.append(vae.encode(scaled).latent_dist.mode().half())
    return torch.cat(latents)


def join(parts: Sequence[Samples]) -> Samples:
    """Samples one after the other."""
    return Samples(
        _cat([part.pictures for part in parts]),
        torch.cat([part.masks for part in parts]),
        torch.cat([part.references for part in parts]),
        torch.cat([part.present for part in parts]),
        tuple(caption for part in parts for caption in part.captions),
        tuple(texts for part in parts for texts in part.descriptions),
        _cat([part.latents for part in parts]),
    )


def _cat(parts: Sequence[Tensor | None]) -> Tensor | None:
    """One after the other; None where any is missing."""
    there = [part for part in parts if part is not None]
    return torch.cat(there) if len(there) == len(parts) else None


def _coverage(masks: Tensor) -> Tensor:
    """Masks (B, s, H, W) bool -> uint8 (B, SUBJECTS, MASK_SIZE, MASK_SIZE)."""
    padded = F.pad(masks.float(), (0, 0, 0, 0, 0, SUBJECTS - masks.shape[1]))
    return to_bytes(F.adaptive_avg_pool2d(padded, MASK_SIZE))


def _fingerprint(vae: AutoencoderKL) -> str:
    digest = hashlib.sha256()
    for tensor in vae.encoder.state_dict().values():
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _one_thread() -> None:
    """Side by side, processes of one thread are the fastest; Ctrl-C is for the process that waits for them."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _render_shard(path: Path, recipe: Recipe, size: int) -> None:
    """Shard ``path``, unless somebody else rendered it in the meantime."""
    if not path.exists():
        stream = Stream(recipe, seed=recipe.seed + 1 + int(path.stem))
        _write_shard(path, stream.samples(min(size, recipe.pool)))


def _write_shard(path: Path, samples: Samples) -> None:
    words = {
        "captions": json.dumps([asdict(caption) for caption in samples.captions]),
        "descriptions": json.dumps(samples.descriptions),
    }
    present = samples.present
    assert samples.pictures is not None
    tensors = {
        "pictures": samples.pictures,
        "masks": samples.masks,
        "present": present,
        "references": samples.references[present],  # (n, P, 3, R, R): padding is not stored
    }
    _write_aside(tensors, path, words)


def _write_aside(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    with written_aside(path) as aside:
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, aside, metadata)


def _read_shard(path: Path) -> Samples:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    present = tensors["present"]
    references = torch.zeros(*present.shape, *tensors["references"].shape[1:], dtype=torch.uint8)
    references[present] = tensors["references"]
    captions = [Caption(c["text"], tuple(c["names"]), c["detailed"]) for c in json.loads(metadata["captions"])]
    descriptions = tuple(tuple(texts) for texts in json.loads(metadata["descriptions"]))
    return Samples(tensors["pictures"], tensors["masks"], references, present, tuple(captions), descriptions)

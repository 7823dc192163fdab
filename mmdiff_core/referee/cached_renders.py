"""What the referee learns from: renders with everything about them known, kept in shards on disk.

Letters: C scenes, S = SUBJECTS toys of a scene at most (padded), R the side of a picture, Q of a photo.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmdiff_core.atomic_files import written_aside
from mmdiff_core.referee.network import RefereeConfig
from mmdiff_core.toyworld.bodies.toys import Toy
from mmdiff_core.toyworld.scenes.random_scenes import Identities, random_scene, reference_scene, render, to_bytes
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

SUBJECTS = 3
SHARD = 250
NONE = -1  # in the place of a number where there is no toy


@dataclass(frozen=True)
class Renders:
    """Scenes, and one photo of each toy in them. Numbers index the referee's words."""

    pictures: Tensor  # uint8 (C, 3, R, R)
    slots: Tensor  # uint8 (C, R, R) 0 background, 1 + s where toy s shows
    places: Tensor  # long (C,)
    styles: Tensor  # long (C,)
    nouns: Tensor  # long (C, S), NONE where there is no toy
    looks: Tensor  # long (C, S, 4) main, second and accent colour, pattern
    photos: Tensor  # uint8 (C, S, 3, Q, Q)
    photo_slots: Tensor  # uint8 (C, S, Q, Q) 1 where the toy shows
    photo_places: Tensor  # long (C, S)

    def __len__(self) -> int:
        return len(self.pictures)


def render_samples(
    rng: random.Random,
    count: int,
    vocabulary: Vocabulary,
    config: RefereeConfig,
    identities: Identities = "train",
    size: int | None = None,
    device: str = "cpu",
) -> Renders:
    """Draw ``count`` scenes of a world and a photo of each toy, ``size`` pixels wide or as the referee sees them."""
    size, side = size or config.size, size or config.photo_size
    scenes = [random_scene(rng, identities=identities, vocabulary=vocabulary) for _ in range(count)]
    views = [reference_scene(rng, placed.toy, scene, vocabulary) for scene in scenes for placed in scene.toys]
    drawn, seen = render(scenes, size, device), render(views, side, device)
    present = torch.tensor([[s < len(scene.toys) for s in range(SUBJECTS)] for scene in scenes])
    photos = torch.zeros(count, SUBJECTS, 3, side, side, dtype=torch.uint8)
    photo_slots = torch.zeros(count, SUBJECTS, side, side, dtype=torch.uint8)
    photos[present], photo_slots[present] = to_bytes(seen.images).cpu(), slot_map(seen.masks)
    photo_places = torch.full((count, SUBJECTS), NONE)
    photo_places[present] = torch.tensor([config.places.index(view.place) for view in views])
    return Renders(
        pictures=to_bytes(drawn.images).cpu(),
        slots=slot_map(drawn.masks),
        places=torch.tensor([config.places.index(scene.place) for scene in scenes]),
        styles=torch.tensor([config.styles.index(scene.style) for scene in scenes]),
        nouns=_padded([[config.nouns.index(p.toy.noun) for p in scene.toys] for scene in scenes]),
        looks=_looks(scenes, config),
        photos=photos,
        photo_slots=photo_slots,
        photo_places=photo_places,
    )


def slot_map(masks: Tensor) -> Tensor:
    """Masks (B, S, H, W) bool that do not overlap -> uint8 (B, H, W): 1 + s where toy s shows, else 0."""
    numbers = torch.arange(1, masks.shape[1] + 1, device=masks.device, dtype=torch.uint8)
    return (masks * numbers[:, None, None]).amax(1).to(torch.uint8).cpu()


def look_of(toy: Toy, config: RefereeConfig) -> list[int]:
    """The numbers of a toy's three colours and its pattern."""
    return [*(config.colours.index(name) for name in toy.look.names), config.patterns.index(toy.look.pattern)]


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([[*row, *[NONE] * (SUBJECTS - len(row))] for row in rows])


def _looks(scenes: Sequence[Scene], config: RefereeConfig) -> Tensor:
    looks = torch.full((len(scenes), SUBJECTS, 4), NONE)
    for c, scene in enumerate(scenes):
        for s, placed in enumerate(scene.toys):
            looks[c, s] = torch.tensor(look_of(placed.toy, config))
    return looks


class RenderPool:
    """Shards of ``SHARD`` scenes in a folder. Shard k is the same whoever renders it, and is rendered once.

    ``grow`` adds one more, so that training may begin with the first of them.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary, config: RefereeConfig, seed: int = 0) -> None:
        self.folder, self.vocabulary, self.config, self.seed = folder, vocabulary, config, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.shards: list[Renders] = []
        self.toys: dict[int, list[Pick]] = {}  # by noun
        while self._path(len(self.shards)).exists():
            self.grow()

    def grow(self, device: str = "cpu") -> None:
        """Read one more shard, rendered first if it is not there yet."""
        number = len(self.shards)
        path = self._path(number)
        if not path.exists():
            rng = random.Random(f"referee:{self.seed}:{number}")
            _write(render_samples(rng, SHARD, self.vocabulary, self.config, device=device), path)
        shard = _read(path)
        self.shards.append(shard)
        for scene, slot in (shard.nouns != NONE).nonzero().tolist():
            self.toys.setdefault(int(shard.nouns[scene, slot]), []).append(Pick(number, scene, slot))

    def draw(self, rng: random.Random, groups: int, each: int) -> tuple[Renders, Tensor]:
        """Scenes with ``each`` toys of so many nouns, and which toy of each was meant; fewer if there are no more."""
        nouns = rng.sample(sorted(self.toys), min(groups, len(self.toys)))
        picks = [pick for noun in nouns for pick in _sample(rng, self.toys[noun], each)]
        chosen = [_rows(self.shards[pick.shard], [pick.scene]) for pick in picks]
        return join(chosen), torch.tensor([pick.slot for pick in picks])

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"


def _sample(rng: random.Random, toys: list[Pick], count: int) -> list[Pick]:
    """Different toys as long as there are enough: two of the same are no contrast."""
    return rng.sample(toys, min(count, len(toys)))


class Pick(NamedTuple):
    """A toy in the pool."""

    shard: int
    scene: int
    slot: int


def _rows(renders: Renders, rows: Sequence[int]) -> Renders:
    index = torch.tensor(rows)
    return Renders(**{field.name: getattr(renders, field.name)[index] for field in fields(Renders)})


def join(parts: Sequence[Renders]) -> Renders:
    """Renders one after the other."""
    return Renders(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Renders)))


def _write(renders: Renders, path: Path) -> None:
    with written_aside(path) as aside:
        save_file({field.name: getattr(renders, field.name).contiguous() for field in fields(Renders)}, aside)


def _read(path: Path) -> Renders:
    with safe_open(path, framework="pt") as file:
        return Renders(**{field.name: file.get_tensor(field.name) for field in fields(Renders)})

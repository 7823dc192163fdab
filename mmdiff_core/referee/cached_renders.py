"""The referee's training data: renders and the truth about them, cached in shards on disk.

Letters: C scenes, S = SUBJECTS toys per scene at most (padded), R the side of an image, Q of a photo.
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

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.referee.network import RefereeConfig
from mmdiff_core.toyworld.bodies.toys import Toy
from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.scenes.random_scenes import Identities, random_scene, reference_scene
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

SUBJECTS = 3
SHARD = 250
NONE = -1  # stands for the number of a class or attribute where there is no toy


@dataclass(frozen=True)
class Renders:
    """Scenes, and one photo of each toy in them. Numbers index the names of the referee's configuration."""

    images: Tensor  # uint8 (C, 3, R, R)
    slots: Tensor  # uint8 (C, R, R) 0 background, 1 + s where toy s is visible
    backgrounds: Tensor  # long (C,)
    styles: Tensor  # long (C,)
    classes: Tensor  # long (C, S), NONE where there is no toy
    attributes: Tensor  # long (C, S, 4) main, second and accent colour, pattern
    photos: Tensor  # uint8 (C, S, 3, Q, Q)
    photo_slots: Tensor  # uint8 (C, S, Q, Q) 1 where the toy is visible
    photo_backgrounds: Tensor  # long (C, S)

    def __len__(self) -> int:
        return len(self.images)


_FIELDS = tuple(field.name for field in fields(Renders))
# Keys of a shard, where they differ from the names of the fields.
_KEYS = {
    "images": "pictures",
    "classes": "nouns",
    "attributes": "looks",
    "backgrounds": "places",
    "photo_backgrounds": "photo_places",
}


def render_samples(
    rng: random.Random,
    count: int,
    vocabulary: Vocabulary,
    config: RefereeConfig,
    identities: Identities = "train",
    size: int | None = None,
    device: str = "cpu",
) -> Renders:
    """Render ``count`` random scenes and a photo of each toy, ``size`` pixels wide or in the referee's sizes."""
    size, side = size or config.size, size or config.photo_size
    scenes = [random_scene(rng, identities=identities, vocabulary=vocabulary) for _ in range(count)]
    views = [reference_scene(rng, placed.toy, scene, vocabulary) for scene in scenes for placed in scene.toys]
    rendered, seen = render(scenes, size, device), render(views, side, device)
    present = torch.tensor([[s < len(scene.toys) for s in range(SUBJECTS)] for scene in scenes])
    photos = torch.zeros(count, SUBJECTS, 3, side, side, dtype=torch.uint8)
    photo_slots = torch.zeros(count, SUBJECTS, side, side, dtype=torch.uint8)
    photos[present], photo_slots[present] = to_bytes(seen.images).cpu(), slot_map(seen.masks)
    photo_backgrounds = torch.full((count, SUBJECTS), NONE)
    photo_backgrounds[present] = torch.tensor([config.backgrounds.index(view.background) for view in views])
    return Renders(
        images=to_bytes(rendered.images).cpu(),
        slots=slot_map(rendered.masks),
        backgrounds=torch.tensor([config.backgrounds.index(scene.background) for scene in scenes]),
        styles=torch.tensor([config.styles.index(scene.style) for scene in scenes]),
        classes=_padded([[config.classes.index(p.toy.class_name) for p in scene.toys] for scene in scenes]),
        attributes=_attributes(scenes, config),
        photos=photos,
        photo_slots=photo_slots,
        photo_backgrounds=photo_backgrounds,
    )


def slot_map(masks: Tensor) -> Tensor:
    """Turn disjoint masks (B, S, H, W) bool into uint8 (B, H, W): 1 + s where toy s is visible, else 0."""
    numbers = torch.arange(1, masks.shape[1] + 1, device=masks.device, dtype=torch.uint8)
    return (masks * numbers[:, None, None]).amax(1).to(torch.uint8).cpu()


def attribute_numbers(toy: Toy, config: RefereeConfig) -> list[int]:
    """Return the numbers of a toy's three colours and its pattern."""
    return [
        *(config.colours.index(name) for name in toy.attributes.colour_names),
        config.patterns.index(toy.attributes.pattern),
    ]


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([[*row, *[NONE] * (SUBJECTS - len(row))] for row in rows])


def _attributes(scenes: Sequence[Scene], config: RefereeConfig) -> Tensor:
    numbers = torch.full((len(scenes), SUBJECTS, 4), NONE)
    for c, scene in enumerate(scenes):
        for s, placed in enumerate(scene.toys):
            numbers[c, s] = torch.tensor(attribute_numbers(placed.toy, config))
    return numbers


class CachedRenders:
    """Shards of ``SHARD`` scenes in a folder. Shard k is rendered once; its content depends on the seed alone.

    Training may begin with the first shard, as ``grow`` adds one at a time.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary, config: RefereeConfig, seed: int = 0) -> None:
        self.folder, self.vocabulary, self.config, self.seed = folder, vocabulary, config, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.shards: list[Renders] = []
        self.toys: dict[int, list[Pick]] = {}  # by class
        while self._path(len(self.shards)).exists():
            self.grow()

    def grow(self, device: str = "cpu") -> None:
        """Read one more shard, and render it first if necessary."""
        number = len(self.shards)
        path = self._path(number)
        if not path.exists():
            rng = random.Random(f"referee:{self.seed}:{number}")
            _write(render_samples(rng, SHARD, self.vocabulary, self.config, device=device), path)
        shard = _read(path)
        self.shards.append(shard)
        for scene, slot in (shard.classes != NONE).nonzero().tolist():
            self.toys.setdefault(int(shard.classes[scene, slot]), []).append(Pick(number, scene, slot))

    def sample(self, rng: random.Random, groups: int, each: int) -> tuple[Renders, Tensor]:
        """Sample ``each`` toys of ``groups`` classes; return their scenes and slots, fewer if there are too few."""
        classes = rng.sample(sorted(self.toys), min(groups, len(self.toys)))
        picks = [
            pick for number in classes for pick in rng.sample(self.toys[number], min(each, len(self.toys[number])))
        ]
        chosen = [_rows(self.shards[pick.shard], [pick.scene]) for pick in picks]
        return concatenate(chosen), torch.tensor([pick.slot for pick in picks])

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"


class Pick(NamedTuple):
    """A cached toy."""

    shard: int
    scene: int
    slot: int


def _rows(renders: Renders, rows: Sequence[int]) -> Renders:
    index = torch.tensor(rows)
    return Renders(**{name: getattr(renders, name)[index] for name in _FIELDS})


def concatenate(parts: Sequence[Renders]) -> Renders:
    """Concatenate renders."""
    return Renders(**{name: torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS})


def _write(renders: Renders, path: Path) -> None:
    with atomic_file(path) as aside:
        save_file({_key(name): getattr(renders, name).contiguous() for name in _FIELDS}, aside)


def _read(path: Path) -> Renders:
    with safe_open(path, framework="pt") as file:
        return Renders(**{name: file.get_tensor(_key(name)) for name in _FIELDS})


def _key(field: str) -> str:
    return _KEYS.get(field, field)

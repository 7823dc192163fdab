"""The settings of a training run, as data: the world, the sizes of the networks, and every stage.

recipe      image    latent    UNet                 for
rehearsal      32    8x8x4     16-32                every stage in under three minutes on two cores; a test
cpu            96    24x24x8   96-192-256           a CPU, in hours, resumable over days; made the shipped weights
gpu           256    32x32x8   96-192-288           one H200-class card; sized for 25 minutes, not yet run there
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmdiff_core.atomic_files import write_text
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, Vocabulary
from mmdiff_core.training.stage import StageSettings

STAGES = ("autoencoder", "encoders", "base", "adapter", "joint", "decoder")


@dataclass(frozen=True)
class Shapes:
    """Sizes of the networks, which are stock classes of diffusers and transformers."""

    vae_channels: tuple[int, ...] = (32, 64, 128)
    vae_layers: int = 1
    latent_channels: int = 4
    unet_channels: tuple[int, ...] = (96, 192, 256)
    unet_attention: tuple[bool, ...] = (False, True, True)
    unet_layers: int = 1
    head_width: int = 64
    norm_groups: int = 16
    text_width: int = 192
    text_layers: int = 4
    text_tokens: int = 48
    vocabulary: int = 2000
    image_width: int = 192
    image_layers: int = 4
    patch: int = 8
    projection: int = 128
    rank: int = 32
    tokens: int = 4
    refiner_head: int = 64
    null_token: bool = True


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms, and of a subject's pixels and of strong noise within them."""

    subject_pixels: float = 4.0
    noise_shift: float = 2.5  # above 1: more of the training on nearly pure noise, where shapes are decided
    text_constraint: float = 0.03
    image_constraint: float = 0.03
    kl: float = 1e-6
    edges: float = 0.5
    subject_detail: float = 3.0  # weight of a subject's pixel in the autoencoder: faces are small


@dataclass(frozen=True)
class ConditionMix:
    """Shares of a batch without photos: with no text at all, or with text that describes the toys instead."""

    empty: float = 0.1
    described: float = 0.25


@dataclass(frozen=True)
class Recipe:
    """A complete training run.

    ``scenes`` of the ``world`` are rendered once and reused; 0 renders every sample on the fly.
    """

    name: str
    size: int
    reference: int
    photos: int
    scenes: int
    stages: Mapping[str, StageSettings]
    shapes: Shapes = field(default_factory=Shapes)
    losses: LossWeights = field(default_factory=LossWeights)
    mix: ConditionMix = field(default_factory=ConditionMix)
    world: Vocabulary = WHOLE_WORLD
    seed: int = 0
    save_every_s: float = 60.0
    sheet_every: int = 1000

    def with_stage(self, stage: str, **changes: Any) -> Recipe:
        """Return the recipe with some settings of one stage changed."""
        stages = {**self.stages, stage: replace(self.stages[stage], **changes)}
        return replace(self, stages=stages)

    def resolved(self) -> dict[str, Any]:
        """Return every setting as plain JSON values."""
        stages = {name: asdict(settings) for name, settings in self.stages.items()}
        plain = {**asdict(replace(self, stages={})), "stages": stages, "world": self.world.to_json()}
        return dict(json.loads(json.dumps(plain)))

    def write(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Write the resolved recipe into the run folder, together with the options of the run."""
        write_text(folder / "recipe.json", json.dumps({**self.resolved(), "run": dict(options)}, indent=2) + "\n")


_REHEARSAL = Recipe(
    name="rehearsal",
    size=32,
    reference=32,
    photos=2,
    scenes=96,
    shapes=Shapes(
        vae_channels=(8, 16, 16),
        unet_channels=(16, 32),
        unet_attention=(True, True),
        head_width=16,
        norm_groups=8,
        text_width=32,
        text_layers=2,
        text_tokens=48,
        vocabulary=600,
        image_width=32,
        image_layers=2,
        projection=32,
        rank=4,
        refiner_head=16,
    ),
    stages={
        "autoencoder": StageSettings(steps=30, batch=16, lr=2e-3, warmup=5, ema=0.9, crop=32),
        "encoders": StageSettings(steps=30, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "base": StageSettings(steps=30, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "adapter": StageSettings(steps=30, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "joint": StageSettings(steps=10, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "decoder": StageSettings(steps=10, batch=16, lr=1e-3, warmup=5, ema=0.9),
    },
    world=FIRST_WORLD,
    sheet_every=15,
)

_CPU = Recipe(
    name="cpu",
    size=96,
    reference=64,
    photos=2,
    scenes=40_000,
    shapes=Shapes(latent_channels=8),
    stages={
        "autoencoder": StageSettings(steps=1_600, batch=16, lr=1e-3, warmup=100, ema=0.995, crop=64),
        "encoders": StageSettings(steps=1_000, batch=64, lr=1e-3, warmup=100, weight_decay=0.05, ema=0.99),
        "joint": StageSettings(steps=30_000, batch=24, lr=8e-4, warmup=100, ema=0.998),
        "decoder": StageSettings(steps=4_000, batch=8, lr=4e-4, ema=0.995),
    },
    mix=ConditionMix(described=0.15),  # these weights are used with photos most of the time
    world=FIRST_WORLD,
    sheet_every=500,
)

_GPU = Recipe(
    name="gpu",
    size=256,
    reference=112,
    photos=2,
    scenes=48_000,
    shapes=Shapes(
        vae_channels=(32, 64, 128, 160),
        latent_channels=8,
        unet_channels=(96, 192, 288),
        unet_attention=(False, True, True),
        head_width=32,
        text_width=256,
        vocabulary=3000,
        image_width=256,
        image_layers=5,
        patch=14,
        projection=192,
    ),
    stages={
        "autoencoder": StageSettings(steps=3_500, batch=64, lr=5e-4, warmup=300, crop=128, time_budget=4),
        "encoders": StageSettings(steps=2_000, batch=512, lr=5e-4, warmup=300, weight_decay=0.05, time_budget=3),
        "base": StageSettings(steps=6_000, batch=512, lr=6e-4, warmup=300, time_budget=10),
        "adapter": StageSettings(steps=4_000, batch=512, lr=6e-4, warmup=200, time_budget=6),
    },
    sheet_every=2000,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in (_REHEARSAL, _CPU, _GPU)})

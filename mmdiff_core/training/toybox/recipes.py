"""The settings of a training run, as data: the world, the sizes of the networks, and every stage.

recipe      image    latent     UNet            for
rehearsal      32    8x8x4      16-32           every stage in under three minutes on two cores; a test
cpu           192    24x24x16   96-192-256      a CPU, in hours, resumable over days
gpu           192    24x24x16   96-192-256      nine minutes of one H200-class card, going on from trained weights; not
                                                yet run there
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

STAGES = ("autoencoder", "whole-images", "encoders", "base", "adapter", "joint", "student")


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
    # of the autoencoder, beside the L1 error
    l2: float = 4.0
    edges: float = 0.5
    subject_detail: float = 3.0  # weight of a subject's pixel: faces are small
    smooth: float = 0.005  # differences of neighbouring latents
    unit: float = 0.01  # latents off zero mean and unit variance, on whole images
    crop_noise: float = 0.15  # the largest deviation of the noise on latents, on crops
    whole_noise: float = 0.1  # and on whole images


@dataclass(frozen=True)
class ConditionMix:
    """Shares of a batch without photos: with no text at all, or with text that describes the toys instead."""

    empty: float = 0.1
    described: float = 0.25


@dataclass(frozen=True)
class Distillation:
    """The student for few steps: ``images`` of the teacher to learn from, made in ``teacher_steps`` of its own."""

    steps: int = 4
    teacher_steps: int = 8
    images: int = 1600
    rank: int = 32


@dataclass(frozen=True)
class Recipe:
    """A complete training run.

    ``scenes`` of the ``world`` are rendered once and reused; 0 renders every sample on the fly. The autoencoder learns
    from ``autoencoder_scenes`` of the whole world, which are rendered apart, or with 0 from the other scenes.
    ``count_weights`` say how often a scene of one, two or three subjects is drawn.
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
    distillation: Distillation = field(default_factory=Distillation)
    world: Vocabulary = WHOLE_WORLD
    autoencoder_scenes: int = 0
    count_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    seed: int = 0
    save_every_s: float = 60.0
    sheet_every: int = 1000

    def with_stage(self, stage: str, **changes: Any) -> Recipe:
        """Return the recipe with some settings of one stage changed; other ``steps`` cool down over the same share."""
        settings = self.stages[stage]
        if "steps" in changes:
            changes = {"cool_down": round(settings.cool_down * changes["steps"] / settings.steps), **changes}
        stages = {**self.stages, stage: replace(settings, **changes)}
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
        "autoencoder": StageSettings(
            steps=30, batch=16, lr=2e-3, muon_lr=2e-3, warmup=5, cool_down=25, ema=0.9, crop=16
        ),
        "whole-images": StageSettings(steps=10, batch=8, lr=1e-3, muon_lr=1e-3, warmup=2, cool_down=8, ema=0.9),
        "encoders": StageSettings(steps=30, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "base": StageSettings(steps=30, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "adapter": StageSettings(steps=30, batch=16, lr=1e-3, warmup=5, ema=0.9),
        "joint": StageSettings(steps=10, batch=16, lr=8e-4, muon_lr=3e-3, warmup=5, cool_down=2, ema=0.9),
        "student": StageSettings(steps=10, batch=8, lr=1e-3, warmup=2, cool_down=5, ema=0.9),
    },
    distillation=Distillation(steps=2, teacher_steps=4, images=32, rank=4),
    world=FIRST_WORLD,
    sheet_every=15,
)

_CPU = Recipe(
    name="cpu",
    size=192,
    reference=64,
    photos=2,
    scenes=60_000,
    autoencoder_scenes=10_000,
    shapes=Shapes(vae_channels=(16, 32, 64, 128), latent_channels=16),
    stages={
        "autoencoder": StageSettings(
            steps=6_000, batch=16, lr=2e-3, muon_lr=2e-3, warmup=60, cool_down=5_940, ema=0.998, crop=96
        ),
        "whole-images": StageSettings(steps=1_000, batch=4, lr=1e-3, muon_lr=1e-3, warmup=30, cool_down=970, ema=0.995),
        "encoders": StageSettings(steps=1_000, batch=64, lr=1e-3, warmup=100, weight_decay=0.05, ema=0.99),
        "joint": StageSettings(steps=20_000, batch=96, lr=8e-4, muon_lr=3e-3, warmup=100, cool_down=4_000, ema=0.998),
        "student": StageSettings(steps=900, batch=16, lr=1e-3, warmup=20, cool_down=300, ema=0.99),
    },
    losses=LossWeights(text_constraint=0.1, image_constraint=0.1),
    mix=ConditionMix(described=0.15),  # these weights are used with photos most of the time
    world=FIRST_WORLD,
    count_weights=(1.0, 1.2, 2.0),
    sheet_every=500,
)

_GPU = replace(
    _CPU,
    name="gpu",
    stages={
        "joint": StageSettings(
            steps=100_000, batch=384, lr=8e-4, muon_lr=3e-3, warmup=100, cool_down=40_000, ema=0.998, time_budget=6.5
        ),
    },
    sheet_every=10**6,  # one, at the end
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in (_REHEARSAL, _CPU, _GPU)})

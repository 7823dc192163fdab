"""Recipes for Stable Diffusion: the settings of a training run on annotated images, as data.

They follow what is known of the authors' training from the paper, the released checkpoint and the annotation tool: the
frozen base, four tokens per photo, an SE-Refiner of depth 4 with heads of 256, LoRAs of rank 64, one or two subjects in
an image, the constraints on both maps, CLIP ViT-L/14, and for portraits ArcFace embeddings in the place of the CLS with
LoRAs also in the self-attention and in the text encoders. Their steps, batch sizes, learning rates and loss weights
could not be found: those, the dropout shares and the null token are ours, and untried at full size.

recipe         base      image      steps    batch of a process    trained, in millions
sd15-general   SD 1.5      512      60,000            8                    39
sdxl-general   SDXL       1024      60,000            4                   243
portrait       SDXL       1024      40,000            4                   306
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from mmdiff_core.training.annotated.training_examples import PhotoSettings
from mmdiff_core.training.stage import StageSettings

PipelineName = Literal["StableDiffusionPipeline", "StableDiffusionXLPipeline"]
Optimizer = Literal["adamw", "adamw8bit"]
MixedPrecision = Literal["auto", "no", "fp16", "bf16"]


@dataclass(frozen=True)
class AdapterSettings:
    """Sizes of the adapter that a recipe chooses; the others follow from the base model."""

    rank: int = 64
    tokens: int = 4
    refiner_depth: int = 4
    refiner_head: int = 256  # or the largest that divides the base's width
    null_token: bool = True
    face: bool = False  # the official portrait release's configuration
    self_attention_rank: int = 0
    text_rank: int = 0


@dataclass(frozen=True)
class SdLossWeights:
    """Weights of the constraints, and of a subject's pixel in the denoising loss."""

    subject_pixels: float = 1.0
    text_constraint: float = 0.01
    image_constraint: float = 0.01


@dataclass(frozen=True)
class SdRecipe:
    """A training run of an adapter on a frozen base."""

    name: str
    kind: PipelineName  # of the base
    size: int  # side of the images in pixels; 0: the base's own
    training: StageSettings  # ``batch`` is that of one process
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    weights: SdLossWeights = field(default_factory=SdLossWeights)
    data: PhotoSettings = field(default_factory=PhotoSettings)
    accumulate: int = 1  # batches per step
    checkpointing: bool = True  # compute activations twice instead of storing them
    optimizer: Optimizer = "adamw"
    precision: MixedPrecision = "auto"
    half_base: bool = False  # the frozen base in half precision, where the training is mixed
    validation: float = 0.01  # share of the records, unless there is a folder for validation
    max_validation: int = 64  # records
    validate_every: int = 500
    sheet_every: int = 1000
    log_every: int = 10
    save_every_s: float = 600.0
    seed: int = 0

    def write(self, folder: Path) -> None:
        """Write the resolved recipe into the run folder."""
        (folder / "recipe.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


_SD15 = SdRecipe(
    name="sd15-general",
    kind="StableDiffusionPipeline",
    size=0,
    training=StageSettings(steps=60_000, batch=8, lr=1e-4, warmup=500, weight_decay=0.01, ema=0.9999),
    half_base=True,
)
_SDXL = SdRecipe(
    name="sdxl-general",
    kind="StableDiffusionXLPipeline",
    size=0,
    training=StageSettings(steps=60_000, batch=4, lr=5e-5, warmup=1000, weight_decay=0.01, ema=0.9999),
    half_base=True,
)
_PORTRAIT = SdRecipe(
    name="portrait",
    kind="StableDiffusionXLPipeline",
    size=0,
    training=StageSettings(steps=40_000, batch=4, lr=5e-5, warmup=1000, weight_decay=0.01, ema=0.9999),
    adapter=AdapterSettings(face=True, self_attention_rank=64, text_rank=64),
    half_base=True,
)

SD_RECIPES: Mapping[str, SdRecipe] = MappingProxyType({recipe.name: recipe for recipe in (_SD15, _SDXL, _PORTRAIT)})

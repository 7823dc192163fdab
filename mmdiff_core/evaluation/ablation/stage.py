"""Training of one variant: the method's own stage, with batches and noise that depend on the step's number alone.

So every variant sees the same samples, photos, words and noise in the same order, even after an interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.evaluation.ablation.adapter_variants import AdapterVariant
from mmdiff_core.evaluation.ablation.baselines import create_ip_adapter_plus
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter
from mmdiff_core.training.toybox.cached_dataset import CachedDataset
from mmdiff_core.training.toybox.flow_matching import FlowMatchingBatch, FlowMatchingLoss, FlowMatchingStage
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from mmdiff_core.training.toybox.recipes import Recipe
from mmdiff_core.weights.adapter_file import load_adapter, save_adapter

ADAPTER = "adapter.safetensors"
STAGE = "adapter"
ARCHITECTURE_KEY = "kind"  # in the metadata of an adapter's file


@dataclass(frozen=True)
class NumberedBatch:
    """The batch of a step, and the step's number."""

    number: int
    batch: FlowMatchingBatch


class NumberedMatching(nn.Module):
    """The loss of a batch, with noise that depends on its number."""

    def __init__(self, matching: FlowMatchingLoss, seed: int) -> None:
        super().__init__()
        self.matching, self.seed = matching, seed

    def forward(self, numbered: NumberedBatch) -> dict[str, Tensor]:
        torch.manual_seed((self.seed << 32) + numbered.number)
        return self.matching(numbered.batch)


class VariantStage:
    """Trains the adapter of one variant on a frozen base, as a stage of ``training.trainer.Trainer``.

    Args:
        variant: what differs from the whole method.
        folder: for the finished adapter.
        backbone: the base model.
        adapter: fresh, of :func:`create_variant_adapter`.
        dataset: samples that are rendered already.
        recipe: its stage "adapter", its losses, of which the variant changes some, and its mix.
        seed: of the order of the samples and of the noise.
    """

    name = STAGE

    def __init__(
        self, variant: AdapterVariant, folder: Path, backbone: StableDiffusion, adapter: MMDiffAdapter,
        dataset: CachedDataset, recipe: Recipe, seed: int = 0,
    ) -> None:  # fmt: skip
        self.variant, self.folder, self.adapter, self.dataset, self.seed = variant, folder, adapter, dataset, seed
        self.settings = recipe.stages[STAGE]
        self.number = 0  # of the next batch
        held_out = OnTheFlyDataset(recipe, seed=1, identities="held_out", device=str(backbone.device))
        dataset.refresh()
        dataset.encode_with(backbone.vae, backbone.image_encoder)
        self.stage = FlowMatchingStage(
            STAGE, folder, backbone, adapter, dataset, held_out, self.settings, variant.weigh(recipe.losses),
            recipe.mix, layers=variant.layers,
        )  # fmt: skip
        self.network = NumberedMatching(self.stage.network, seed)

    def trained(self) -> list[nn.Parameter]:
        return self.stage.trained()

    def batch(self) -> NumberedBatch:
        self.dataset.rng.seed(f"samples:{self.seed}:{self.number}")
        self.stage.rng.seed(f"photos:{self.seed}:{self.number}")
        self.number += 1
        return NumberedBatch(self.number - 1, self.stage.batch())

    def sheet(self) -> Image.Image:
        return self.stage.sheet()

    def finish(self) -> Mapping[str, float]:
        """Write the adapter; return its number of parameters."""
        self.network.eval()
        about = {ARCHITECTURE_KEY: self.variant.architecture, "name": self.variant.name}
        save_adapter(self.adapter, self.folder / ADAPTER, about)
        return {"parameters": sum(parameter.numel() for parameter in self.trained())}


def create_variant_adapter(
    variant: AdapterVariant, like: AdapterConfig, unet: nn.Module, seed: int = 0
) -> MMDiffAdapter:
    """Create a new adapter of a variant, the same for the same seed."""
    torch.manual_seed(seed)
    config = variant.configure(like)
    return create_ip_adapter_plus(config, unet) if variant.architecture == "ip-adapter-plus" else MMDiffAdapter(config)


def load_variant(path: Path) -> MMDiffAdapter:
    """Load an adapter that :meth:`VariantStage.finish` wrote, ready to generate with; errors as ``load_adapter``."""
    return load_adapter(path).eval().requires_grad_(False)

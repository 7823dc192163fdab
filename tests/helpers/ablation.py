"""An ablation at toy size."""

from __future__ import annotations

from pathlib import Path

from mmdiff_core.backbones.toybox import Toybox
from mmdiff_core.evaluation.ablation.adapter_variants import VARIANTS
from mmdiff_core.evaluation.ablation.run import AblationOptions, recipe_of
from mmdiff_core.evaluation.ablation.stage import VariantStage, create_variant_adapter
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.training.toybox.cached_dataset import CachedDataset

NAMES = ("no-image-branch", "ip-adapter-plus")


def stage_of(
    name: str, options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], folder: Path, steps: int = 3
) -> VariantStage:
    """Return the stage that trains a variant."""
    backbone, like = base
    recipe = recipe_of(backbone, options, steps)
    adapter = create_variant_adapter(VARIANTS[name], like.config, backbone.unet)
    return VariantStage(
        VARIANTS[name], folder, backbone, adapter, CachedDataset(options.folder / "pool", recipe), recipe
    )

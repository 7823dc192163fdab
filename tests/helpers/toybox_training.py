"""The toybox training at its smallest: a recipe, and datasets that are rendered in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmdiff_core.training.toybox.cached_dataset import render_shard
from mmdiff_core.training.toybox.recipes import RECIPES, Recipe

SHARD_SIZE = 6
RECIPE = replace(RECIPES["rehearsal"], scenes=3 * SHARD_SIZE)


def render_shards(folder: Path, recipe: Recipe = RECIPE, count: int = 3) -> Path:
    """Render shards as ``CachedDataset.render`` does, but without other processes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        render_shard(folder / f"{number:05d}.safetensors", recipe, SHARD_SIZE)
    return folder

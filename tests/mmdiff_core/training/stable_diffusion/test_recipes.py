"""Recipes for Stable Diffusion: written whole, and each of a configuration that the official releases have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES


@pytest.mark.parametrize("name", SD_RECIPES)
def test_a_recipe_is_written_whole(name: str, tmp_path: Path) -> None:
    recipe = replace(SD_RECIPES[name], seed=7)
    recipe.write(tmp_path)
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert written["name"] == name
    assert written["seed"] == 7
    assert written["training"]["lr"] == recipe.training.lr
    assert written["data"]["photos"] == recipe.data.photos
    assert written["adapter"]["rank"] == 64


def test_only_portraits_have_loras_beyond_cross_attention() -> None:
    for name, recipe in SD_RECIPES.items():
        ranks = (recipe.adapter.self_attention_rank, recipe.adapter.text_rank)
        assert ranks == ((64, 64) if name == "portrait" else (0, 0))
        assert recipe.adapter.face == (name == "portrait")


def test_recipes_fit_their_bases() -> None:
    kinds = {name: recipe.kind for name, recipe in SD_RECIPES.items()}
    assert kinds == {
        "sd15-general": "StableDiffusionPipeline",
        "sdxl-general": "StableDiffusionXLPipeline",
        "portrait": "StableDiffusionXLPipeline",
    }

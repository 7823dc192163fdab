"""Recipes: written with everything that a run depends on, and changed a stage at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD
from mmdiff_core.training.toybox.recipes import RECIPES, STAGES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_written_whole(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    recipe.write(tmp_path, {"seed": 7})
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert written["name"] == name
    assert written["shapes"]["unet_channels"] == list(recipe.shapes.unet_channels)
    assert written["stages"]["encoders"]["lr"] == recipe.stages["encoders"].lr
    assert written["run"] == {"seed": 7}
    assert written["world"] == json.loads(json.dumps(recipe.world.to_json()))


def test_each_recipe_has_its_world() -> None:
    worlds = {name: recipe.world for name, recipe in RECIPES.items()}
    assert worlds == {"rehearsal": FIRST_WORLD, "cpu": FIRST_WORLD, "gpu": WHOLE_WORLD}


def test_stages_are_known_and_begin_with_the_encoders() -> None:
    for recipe in RECIPES.values():
        assert set(recipe.stages) <= set(STAGES)
        assert {"autoencoder", "encoders"} < set(recipe.stages)


def test_one_stage_is_changed_and_the_others_stay() -> None:
    recipe = RECIPES["cpu"]
    changed = recipe.with_stage("joint", steps=7, lr=0.1)
    assert (changed.stages["joint"].steps, changed.stages["joint"].lr) == (7, 0.1)
    assert changed.stages["joint"].batch == recipe.stages["joint"].batch
    assert changed.with_stage("joint", steps=30_000, lr=8e-4) == recipe

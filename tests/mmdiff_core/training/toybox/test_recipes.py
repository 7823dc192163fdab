"""Recipes: written with everything that a run depends on, and changed a stage at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.training.toybox.recipes import RECIPES, STAGES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_written_whole(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    recipe.write(tmp_path, {"seed": 7})
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert written["name"] == name
    assert written["shapes"]["unet_channels"] == list(recipe.shapes.unet_channels)
    assert written["stages"]["joint"]["muon_lr"] == recipe.stages["joint"].muon_lr
    assert written["run"] == {"seed": 7}
    assert written["world"] == json.loads(json.dumps(recipe.world.to_json()))


def test_a_whole_run_begins_with_the_autoencoder() -> None:
    for recipe in RECIPES.values():
        assert set(recipe.stages) <= set(STAGES)
    for name in ("rehearsal", "cpu"):
        assert tuple(RECIPES[name].stages)[:3] == ("autoencoder", "whole-images", "encoders")
    assert set(RECIPES["rehearsal"].stages) == set(STAGES)


def test_gpu_goes_on_from_what_cpu_makes_within_ten_minutes() -> None:
    cpu, gpu = RECIPES["cpu"], RECIPES["gpu"]
    assert tuple(gpu.stages) == ("joint",)
    assert (gpu.shapes, gpu.size, gpu.reference, gpu.world) == (cpu.shapes, cpu.size, cpu.reference, cpu.world)
    assert 0 < gpu.stages["joint"].time_budget < 10


def test_one_stage_is_changed_and_the_others_stay() -> None:
    recipe = RECIPES["cpu"]
    joint = recipe.stages["joint"]
    changed = recipe.with_stage("joint", steps=joint.steps // 100, lr=0.1)
    assert (changed.stages["joint"].lr, changed.stages["joint"].batch) == (0.1, joint.batch)
    assert changed.stages["joint"].cool_down == joint.cool_down // 100  # the same share
    assert changed.stages["encoders"] == recipe.stages["encoders"]
    assert changed.with_stage("joint", steps=joint.steps, lr=joint.lr) == recipe

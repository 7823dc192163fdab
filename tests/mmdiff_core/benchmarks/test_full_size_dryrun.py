"""The dry run at tiny size, and the full-size arithmetic of the maps that are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from mmdiff_core.backbones.processors import cross_attention_layers, layer_sizes
from mmdiff_core.benchmarks import full_size_models
from mmdiff_core.benchmarks.full_size_dryrun import DryRunOptions, describe_dry_run, dry_run
from mmdiff_core.cli.main import main
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.types import MAP_KINDS
from tests.helpers.tiny_shapes import TINY_SHAPES

ADAPTER = {"rank": 4, "refiner_depth": 1, "refiner_head_dim": 16}


@pytest.mark.parametrize("model", TINY_SHAPES)
def test_two_steps_with_every_map(model: str) -> None:
    found = dry_run(TINY_SHAPES[model], DryRunOptions(), **ADAPTER)
    layers = 2 * 1 + 2 * 2 + 1  # a cross-attention in each down block, two in each up block, one in the middle
    assert found.records == 2 * layers
    assert found.finite
    assert found.size == (16, 16)
    fine, coarse = 8 * 8, 4 * 4
    pixels = (1 + 2) * fine + (1 + 2 + 1) * coarse
    assert found.maps == 2 * pixels * 2 * len(MAP_KINDS) * 2  # steps, pixels, subjects, kinds, bytes of a half
    assert found.maps_usual == 15 * found.maps
    assert found.weights["merged"] > 0
    assert found.peak > sum(found.weights.values())
    assert "MB for 30 steps" in describe_dry_run(found)


def test_size_subjects_and_precision_are_as_asked() -> None:
    options = DryRunOptions(steps=1, subjects=1, guidance=1.0, width=24, height=16, dtype=torch.bfloat16)
    found = dry_run(TINY_SHAPES["sd15"], options, **ADAPTER)
    assert found.size == (24, 16)
    assert found.dtype == "bfloat16"
    full = dry_run(TINY_SHAPES["sd15"], replace(options, dtype=torch.float32), **ADAPTER)
    assert found.weights["unet"] < full.weights["unet"]


def test_sdxl_keeps_less_than_100_megabytes() -> None:
    """1024 pixels, 30 steps, two subjects: real records of the real layers' sizes."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**full_size_models.MODEL_SHAPES["sdxl"].unet)
    sizes, cross = layer_sizes(unet, 128, 128), [layer.path for layer in cross_attention_layers(unet)]
    assert len(cross) == 70
    one_step = tuple(
        StepMaps(0, path, sizes[path], {stream: torch.zeros(2, *sizes[path]).half() for stream in MAP_KINDS})
        for path in cross
    )
    kept = 30 * AttentionMaps(("cat", "dog"), one_step).nbytes
    assert kept == 30 * (10 * 64**2 + 60 * 32**2) * 2 * len(MAP_KINDS) * 2
    assert kept < 100e6


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(full_size_models, "MODEL_SHAPES", TINY_SHAPES)
    out = tmp_path / "found.json"
    assert main(["dryrun", "--model", "sd15", "--steps", "1", "--device", "cpu", "--out", str(out)]) == 0
    assert "peak memory" in capsys.readouterr().out
    assert json.loads(out.read_text())["model"] == "sd15"
    assert main(["dryrun", "--model", "sd15", "--subjects", "5"]) == 2
    assert "from 1 to 4" in capsys.readouterr().err

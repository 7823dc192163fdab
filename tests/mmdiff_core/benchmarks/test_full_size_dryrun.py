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
from mmdiff_core.benchmarks.full_size_dryrun import DryRun, describe_findings, dry_run
from mmdiff_core.cli.main import main
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.types import MAP_KINDS

_VAE = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "latent_channels": 4,
}
_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_UNET = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 24,
    "image_size": 32,
    "patch_size": 8,
}
TINY = {
    "sd15": replace(
        full_size_models.SHAPES["sd15"],
        unet={**_UNET, "cross_attention_dim": 32},
        vae=_VAE,
        text=({**_TEXT, "projection_dim": 32},),
        vision=_VISION,
    ),
    "sdxl": replace(
        full_size_models.SHAPES["sdxl"],
        unet={
            **_UNET,
            "cross_attention_dim": 64,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 32 + 6 * 8,
        },
        vae=_VAE,
        text=({**_TEXT, "projection_dim": 32}, {**_TEXT, "projection_dim": 32}),
        vision=_VISION,
    ),
}
ADAPTER = {"rank": 4, "refiner_depth": 1, "refiner_head_dim": 16}


@pytest.mark.parametrize("model", TINY)
def test_two_steps_with_every_map(model: str) -> None:
    found = dry_run(TINY[model], DryRun(), **ADAPTER)
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
    assert "MB for 30 steps" in describe_findings(found)


def test_size_subjects_and_precision_are_as_asked() -> None:
    options = DryRun(steps=1, subjects=1, guidance=1.0, width=24, height=16, dtype=torch.bfloat16)
    found = dry_run(TINY["sd15"], options, **ADAPTER)
    assert found.size == (24, 16)
    assert found.dtype == "bfloat16"
    assert (
        found.weights["unet"] < dry_run(TINY["sd15"], replace(options, dtype=torch.float32), **ADAPTER).weights["unet"]
    )


@pytest.mark.parametrize("model", full_size_models.SHAPES)
def test_full_size_networks_have_their_published_sizes(model: str) -> None:
    """Parameters in millions: 860 and 2567 are the UNets of SD 1.5 and of SDXL."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**full_size_models.SHAPES[model].unet)
    millions = sum(x.numel() for x in unet.parameters()) / 1e6
    assert round(millions) == {"sd15": 860, "sdxl": 2567}[model]


def test_sdxl_keeps_less_than_100_megabytes() -> None:
    """1024 pixels, 30 steps, two subjects: real records of the real layers' sizes."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**full_size_models.SHAPES["sdxl"].unet)
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
    monkeypatch.setattr(full_size_models, "SHAPES", TINY)
    out = tmp_path / "found.json"
    assert main(["dryrun", "--model", "sd15", "--steps", "1", "--device", "cpu", "--out", str(out)]) == 0
    assert "peak memory" in capsys.readouterr().out
    assert json.loads(out.read_text())["model"] == "sd15"
    assert main(["dryrun", "--model", "sd15", "--subjects", "5"]) == 2
    assert "from 1 to 4" in capsys.readouterr().err

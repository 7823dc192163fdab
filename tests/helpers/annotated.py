"""A small annotated folder of rendered toys and tiny models to train on, for the tests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState

from mmdiff_core.training.annotated.toy_folder import render_folder
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES, AdapterSettings, SdRecipe
from mmdiff_core.training.stable_diffusion.run import SdOptions, make_stage, open_adapter, open_base
from tests.helpers import tiny

IMAGES = 6
IN_SHARDS, PER_SHARD = 9, 2


def folder(path: Path, count: int = IMAGES) -> Path:
    """Rendered toys of 48 pixels, annotated."""
    render_folder(path, count, size=48)
    return path


def folder_of_one_identity(path: Path, count: int) -> Path:
    """The same, where every first segment is the same toy, with a face."""
    folder(path, count)
    for file in path.rglob("*.json"):
        values = json.loads(file.read_text())
        segment = values["segments"][0]
        segment |= {"identity": "tom", "face": [0.01 * float(file.stem)] * 512}
        file.write_text(json.dumps(values))
        tiny.photo(int(file.stem), (16, 16)).save(file.with_name(f"{file.stem}.face{segment['id']}.png"))
    return path


def recipe(name: str = "sd15-general", steps: int = 3, batch: int = 2, **changes: object) -> SdRecipe:
    """A recipe at the size of the tiny models, in full precision."""
    whole = SD_RECIPES[name]
    adapter = whole.adapter
    small = AdapterSettings(
        rank=2, refiner_depth=1, face=adapter.face, self_attention_rank=2 * (adapter.self_attention_rank > 0),
        text_rank=2 * (adapter.text_rank > 0),
    )  # fmt: skip
    training = replace(whole.training, steps=steps, batch=batch, lr=1e-2, warmup=1, ema=0.9)
    settings = {
        "training": training, "adapter": small, "precision": "no", "log_every": 1, "sheet_every": 1000,
        "validate_every": 1000, "save_every_s": 1e9, **changes,
    }  # fmt: skip
    return replace(whole, **settings)


def base(path: Path, kind: str = "sd") -> Path:
    """A tiny stock folder."""
    return tiny.save_model(kind, path)


def make_tiny_stage(folders: dict[str, Path], recipe: SdRecipe, base: str) -> NoisePredictionStage:
    """The stage of a recipe on one of the bases, with a fresh adapter."""
    options = SdOptions(folders["root"] / "out", str(folders[base]), str(folders["data"]))
    backbone = open_base(recipe, options, "cpu", torch.float32)
    return make_stage(recipe, options, backbone, open_adapter(recipe, options, backbone), PartialState(cpu=True))

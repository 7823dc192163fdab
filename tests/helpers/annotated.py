"""A small annotated folder of rendered toys and tiny models to train on, for the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmdiff_core.training.annotated.toy_folder import render_folder
from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES, AdapterSettings, SdRecipe
from tests.helpers import tiny

PICTURES = 6


def folder(path: Path, count: int = PICTURES) -> Path:
    """Rendered toys of 48 pixels, annotated."""
    render_folder(path, count, size=48)
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

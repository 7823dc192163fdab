"""Tiny bases, annotated toys, and a stage on them, which no test changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from mmdiff_core.training.annotated.training_examples import TrainingExample
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.types import Word
from tests.helpers import annotated, tiny


@pytest.fixture(scope="package")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny bases by their kind, "data" to train on, and "root" for the rest."""
    root = tmp_path_factory.mktemp("stable_diffusion")
    tiny.stable_diffusion(
        DDIMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction", clip_sample=False, steps_offset=1)
    ).save_pretrained(root / "v")
    return {
        "data": annotated.folder(root / "data"),
        "sd": annotated.base(root / "sd"),
        "sdxl": annotated.base(root / "sdxl", "sdxl"),
        "v": root / "v",
        "toybox": tiny.save_toybox(root / "toybox"),
        "root": root,
    }


@pytest.fixture(scope="package")
def stage(folders: dict[str, Path]) -> NoisePredictionStage:
    return annotated.make_tiny_stage(folders, annotated.recipe(), "sd")


@pytest.fixture(scope="package")
def example(stage: NoisePredictionStage) -> TrainingExample:
    """Two subjects, the second with two photos."""
    made = stage.examples.make(0, stage.records.batch(0, 1)[0][1])
    size = len(made.masks[0])
    photo = torch.full((3, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE), 0.3)
    return replace(
        made,
        caption="a cat next to a dog",
        words=(Word(0, "cat", 2, 5), Word(1, "dog", 16, 19)),
        photos=((photo,), (photo, photo + 0.2)),
        masks=torch.rand(2, size, size),
        sees="all",
    )

"""The weights that ship: small, stock, offline, and good for what the README says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.toybox import FOLDER, Toybox
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import judge
from mmdiff_core.referee.metrics import peak_inside
from mmdiff_core.referee.network import load_referee
from mmdiff_core.results import GeneratedImage
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, toy_photos
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, load_vocabulary
from mmdiff_core.types import GenerateRequest, Subject

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def personalizer() -> Personalizer:
    return Personalizer.from_assets()


def make(
    personalizer: Personalizer, prompt: str, subjects: dict[str, tuple[str, int]], **numbers: object
) -> GeneratedImage:
    """A picture of held-out toys, each given as (noun, how many after the first held-out identity)."""
    chosen = tuple(
        Subject(name, tuple(toy_photos(noun, HELD_OUT + seed, 2, 128))) for name, (noun, seed) in subjects.items()
    )
    *_, last = personalizer.generate(GenerateRequest(prompt=prompt, subjects=chosen, **numbers))  # type: ignore[arg-type]
    assert last.result is not None
    return last.result[0]


def files() -> list[Path]:
    return [path for path in FOLDER.rglob("*") if path.is_file()]


def test_weights_are_small_and_nothing_is_pickled() -> None:
    sizes = [path.stat().st_size for path in files()]
    assert sum(sizes) < 90 * MEGABYTE
    assert max(sizes) < 40 * MEGABYTE
    assert {path.suffix for path in files() if path.stat().st_size > MEGABYTE} == {".safetensors"}


def test_the_weights_say_what_they_were_trained_on(personalizer: Personalizer) -> None:
    backbone = personalizer.backbone
    assert isinstance(backbone, Toybox)
    assert backbone.vocabulary == load_vocabulary(FOLDER)
    assert set(FIRST_WORLD.classes) <= set(backbone.vocabulary.classes)
    assert set(FIRST_WORLD.backgrounds) <= set(backbone.vocabulary.backgrounds)


def test_stock_pipeline_opens_the_folder_and_draws() -> None:
    stock = StableDiffusionPipeline.from_pretrained(FOLDER, local_files_only=True)
    stock.set_progress_bar_config(disable=True)
    image = stock("a cat on the beach", num_inference_steps=4, generator=torch.Generator().manual_seed(0)).images[0]
    assert np.asarray(image).std() > 20


def test_a_student_for_few_steps_ships(personalizer: Personalizer) -> None:
    assert personalizer.fast == Defaults(steps=4, guidance=1.0, few=True, scheduler="distilled")


@pytest.mark.parametrize("numbers", [{"steps": 10}, {"scheduler": "distilled"}])
def test_two_subjects_come_out_where_their_heatmaps_say(personalizer: Personalizer, numbers: dict[str, object]) -> None:
    """The referee, which knows nothing of the maps, finds each toy around the peak of its heatmap."""
    names = ("cat", "robot")
    toys = {"cat": ("cat", 5), "robot": ("robot", 3)}
    picture = make(personalizer, "a cat next to a robot on the beach", toys, seeds=(1,), **numbers)
    maps = picture.maps
    assert maps is not None
    image = torch.from_numpy(np.asarray(picture.image, dtype=np.float32) / 255).permute(2, 0, 1)
    (judgement,) = judge(load_referee(), image[None], [names])
    assert all(judgement.found)
    for name, region in zip(names, judgement.regions.numpy(), strict=True):
        assert peak_inside(maps.at(name, "image"), region), name


def test_the_photo_decides_the_colours(personalizer: Personalizer) -> None:
    """Two toys of one noun from the same noise: the pictures differ, and more where the heatmap says."""
    pictures = [
        make(personalizer, "a bear in the snow", {"bear": ("bear", seed)}, seeds=(3,), steps=10) for seed in (1, 2)
    ]
    difference = np.abs(np.diff([np.asarray(p.image, dtype=np.float32) for p in pictures], axis=0))[0].mean(-1)
    maps = pictures[0].maps
    assert maps is not None
    weight = maps.at("bear", "image")
    height, width = weight.shape
    cells = difference.reshape(height, difference.shape[0] // height, width, -1).mean((1, 3))
    inside = weight > np.quantile(weight, 0.8)
    assert cells[inside].mean() > 2 * cells[~inside].mean()


@pytest.mark.slow
def test_another_place_is_another_picture(personalizer: Personalizer) -> None:
    snow, space = (
        np.asarray(make(personalizer, f"a bear in {place}", {"bear": ("bear", 1)}, seeds=(3,), steps=10).image)
        for place in ("the snow", "space")
    )
    assert snow[:8].mean() > space[:8].mean() + 60  # a bright sky, and a dark one

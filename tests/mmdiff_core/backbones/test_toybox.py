"""The built-in model's folder: the stock parts, an adapter, a preview and a vocabulary."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core.backbones.toybox import FAST, is_toybox, load_toybox
from mmdiff_core.errors import ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny


def test_toybox_makes_pictures(toybox: Path) -> None:
    backbone, adapter = load_toybox(toybox)
    assert backbone.name == "toybox"
    assert backbone.sizes.largest == 2 * backbone.sizes.default[0]
    request = GenerateRequest("a cat and a robot", tiny.cat_and_robot(), steps=3)
    *_, last = Personalizer(backbone, adapter).generate(request)
    assert np.asarray(last.finished.image).std() > 0
    assert last.maps.steps == (0, 1, 2)


def test_toybox_preview_is_its_files(toybox: Path) -> None:
    backbone, _ = load_toybox(toybox)
    latents = torch.zeros(1, 4, 2, 3)
    latents[0, 0] = 1.0
    assert backbone.preview(latents).size == (3, 2)
    assert backbone.preview(latents).getpixel((0, 0)) == (178, 128, 128)


@pytest.mark.parametrize("part", ["adapter.safetensors", "preview.json", "model_index.json"])
def test_an_incomplete_toybox_names_what_is_missing(part: str, tmp_path: Path) -> None:
    for name in {"adapter.safetensors", "preview.json", "model_index.json"} - {part}:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=f"{part} not found"):
        load_toybox(tmp_path)


def test_a_toybox_is_told_by_its_files(toybox: Path, sd: Path) -> None:
    assert is_toybox(toybox)
    assert not is_toybox(sd)
    assert not is_toybox(toybox / "unet")


def test_it_knows_its_world_and_a_preset_for_few_steps(toybox: Path) -> None:
    backbone, adapter = load_toybox(toybox)
    assert backbone.vocabulary == FIRST_WORLD
    assert backbone.fast is FAST
    assert FAST.steps < backbone.defaults.steps
    assert {x.dtype for x in (*backbone.unet.parameters(), *adapter.parameters())} == {torch.float32}


def test_another_adapter_in_place_of_its_own(toybox: Path, sd: Path) -> None:
    own, other = load_toybox(toybox)[1], load_toybox(toybox, adapter=sd / "adapter.safetensors")[1]
    assert own.config == other.config


@pytest.mark.parametrize("text", ["{", "{}", '{"matrix": 3, "bias": null}'])
def test_a_damaged_preview_is_named(text: str, toybox: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(toybox, tmp_path / "model"))
    (damaged / "preview.json").write_text(text)
    with pytest.raises(ModelError, match=r"preview.json\" is damaged"):
        load_toybox(damaged)

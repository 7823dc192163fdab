"""What can be loaded from here, and what a menu of models says about the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.backbones import registry
from mmdiff_core.backbones.registry import AvailableModel, available_models, image_encoder_state
from tests.helpers import tiny


def _by_key(folders: list[Path]) -> dict[str, AvailableModel]:
    return {model.key: model for model in available_models(folders)}


def test_what_there_is(sd: Path, copied: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toybox = tiny.save_toybox(copied.parent / "trained")
    monkeypatch.setattr(registry, "FOLDER", toybox)
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    found = _by_key([sd, copied.parent])
    assert next(iter(found)) == "toybox"

    assert found["toybox"].present
    assert (found["toybox"].where, found["toybox"].complete) == ("built-in", True)
    assert found[str(toybox)].complete
    stock = found[str(sd)]
    assert (stock.title, stock.where, stock.present, stock.complete) == ("Stable Diffusion", "folder", True, False)
    assert stock.size == sum(path.stat().st_size for path in sd.rglob("*") if path.is_file())
    assert stock.how_to_get == stock.missing == ""
    broken = found[str(copied)]
    assert not broken.present
    assert "was cut off" in broken.missing
    assert "again" in broken.how_to_get
    cached = found["maker/model"]
    assert (cached.where, cached.present) == ("hub cache", True)
    assert 0 < cached.size < 2 * stock.size
    absent = found["stabilityai/stable-diffusion-xl-base-1.0"]
    assert (absent.where, absent.present, absent.size) == ("hub", False, None)
    assert absent.how_to_get == "python -m mmdiff_core models --download stabilityai/stable-diffusion-xl-base-1.0"


def test_an_incomplete_built_in_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    model = _by_key([])["toybox"]
    assert not model.present
    assert "adapter.safetensors" in model.missing
    assert model.how_to_get


def test_a_model_of_another_kind(copied: Path) -> None:
    (copied / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    model = _by_key([copied])[str(copied)]
    assert (model.title, model.present) == ("FluxPipeline", False)
    assert "cannot be used" in model.missing


def test_the_image_encoder_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    state = image_encoder_state()
    assert (state.key, state.where, state.present) == ("openai/clip-vit-large-patch14", "hub", False)
    assert "--download openai/clip-vit-large-patch14" in state.how_to_get

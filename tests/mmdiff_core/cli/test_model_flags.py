"""The flags that choose a model, in the app as in ``generate``."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from demo.server import launch
from mmdiff_core.backbones import placement
from mmdiff_core.cli import model_flags
from mmdiff_core.errors import CheckpointError, ModelError, SettingsError
from tests.helpers import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("model"))


@pytest.fixture
def built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model in the place of the built-in one."""
    folder = tiny.save_toybox(tmp_path)
    monkeypatch.setattr("mmdiff_core.backbones.registry.FOLDER", folder)
    return folder


def test_the_words_are_those_of_the_core() -> None:
    """They are written twice, so that --help starts without torch."""
    assert placement.Offloading.__args__ == model_flags.OFFLOADING
    assert placement.Precision.__args__ == model_flags.PRECISIONS


def test_the_app_loads_a_base(model: Path) -> None:
    given = ["--base", str(model), "--adapter", str(model / "adapter.safetensors"), "--device", "cpu"]
    personalizer = launch.load_model(launch.parse_flags(given))
    assert personalizer.backbone.name == str(model)
    assert personalizer.adapter is not None


def test_the_app_goes_on_with_the_built_in_model(built_in: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = ["--base", "maker/not-here", "--adapter", "none.safetensors", "--device", "cpu"]
    with caplog.at_level(logging.WARNING):
        assert launch.load_model(launch.parse_flags(given)).backbone.name == "toybox"
    assert "python -m mmdiff_core models --download maker/not-here" in caplog.text
    assert "The built-in model is used instead." in caplog.text


def test_a_wrong_adapter_is_no_reason_to_go_on(model: Path, built_in: Path) -> None:
    given = ["--base", str(model), "--adapter", "none.safetensors", "--device", "cpu"]
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        launch.load_model(launch.parse_flags(given))


def test_a_missing_complete_model_is_an_error(built_in: Path) -> None:
    with pytest.raises(ModelError, match="neither"):
        launch.load_model(launch.parse_flags(["--model", "nowhere", "--device", "cpu"]))


def test_the_built_in_model_has_one_text_encoder(built_in: Path) -> None:
    with pytest.raises(SettingsError, match="one text encoder"):
        launch.load_model(launch.parse_flags(["--text-encoder-2-lora", "--device", "cpu"]))

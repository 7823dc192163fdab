"""A host without flags: variables in their place, and what they name is fetched on a Space alone."""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from pathlib import Path

import pytest

from demo.server import launch, model_variables
from demo.server.model_variables import VARIABLES, fetch_models, with_variables
from mmdiff_core.errors import ModelError
from tests.helpers import tiny

SPACE = {"SPACE_ID": "somebody/studio"}
PLUS = "h94/IP-Adapter/models/ip-adapter-plus_sd15.safetensors"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, model_variables.SWITCH, "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)


def test_every_model_flag_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MMDIFF_BASE": "maker/model", "MMDIFF_ADAPTER": PLUS, "MMDIFF_IMAGE_ENCODER": "maker/eyes",
              "MMDIFF_DEVICE": "cpu", "MMDIFF_DTYPE": "bfloat16", "MMDIFF_OFFLOAD": "tiling",
              "MMDIFF_TEXT_ENCODER_2_LORA": "1"}  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    flags = launch.parse_flags([])
    assert {name: str(getattr(flags, name.removeprefix("MMDIFF_").lower())) for name in values} == {
        **values,
        "MMDIFF_TEXT_ENCODER_2_LORA": "True",
    }
    monkeypatch.delenv("MMDIFF_BASE")
    monkeypatch.setenv("MMDIFF_MODEL", "trained")
    assert launch.parse_flags([]).model == "trained"


def test_a_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDIFF_BASE", "maker/model")
    monkeypatch.setenv("MMDIFF_DTYPE", "float16")
    assert launch.parse_flags(["--base", "other/model"]).base == "other/model"
    flags = launch.parse_flags(["--model", "toybox", "--dtype=float32"])
    assert (flags.base, flags.model, flags.dtype) == (None, "toybox", "float32")
    assert with_variables(["--dev", "cpu"], {"MMDIFF_DEVICE": "cuda"}) == ["--dev", "cpu"]
    assert with_variables([], {"MMDIFF_BASE": ""}) == []


def test_the_help_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launch.parse_flags(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in VARIABLES)


def test_a_value_that_is_none_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMDIFF_DTYPE", "half")
    with pytest.raises(SystemExit):
        launch.parse_flags([])
    assert 'MMDIFF_DTYPE must be one of auto, float32, float16, bfloat16, but is "half"' in capsys.readouterr().err


# ---------------------------------------------------------------- fetching


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names that were fetched, from a hub that has everything."""
    names: list[str] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("mmdiff_core.weights.hub.download_model", names.append)
    monkeypatch.setattr("mmdiff_core.weights.hub_adapters.download_adapter", lambda name, tell: names.append(name))
    return names


def _flags(**names: str) -> argparse.Namespace:
    return argparse.Namespace(**{"base": None, "adapter": None, "image_encoder": None, **names})


def test_a_space_fetches_what_its_variables_name(fetched: list[str], caplog: pytest.LogCaptureFixture) -> None:
    given = {"MMDIFF_BASE": "maker/model", "MMDIFF_ADAPTER": PLUS, "MMDIFF_IMAGE_ENCODER": "maker/eyes"}
    flags = _flags(base="maker/model", adapter=Path(PLUS), image_encoder="maker/eyes")
    with caplog.at_level(logging.INFO):
        fetch_models(flags, {**SPACE, **given})
    assert fetched == ["maker/model", PLUS, "maker/eyes"]
    assert "Fetching maker/model from the hub ..." in caplog.text
    assert f"Fetched {PLUS} in 0 s." in caplog.text


def test_nothing_is_fetched_elsewhere_or_by_a_flag(fetched: list[str]) -> None:
    flags = _flags(base="maker/model", adapter=Path(PLUS))
    fetch_models(flags, {"MMDIFF_BASE": "maker/model", "MMDIFF_ADAPTER": PLUS})
    fetch_models(flags, SPACE)
    fetch_models(flags, {**SPACE, "MMDIFF_BASE": "other/model"})
    assert fetched == []


def test_what_is_here_is_not_fetched(fetched: list[str], tmp_path: Path) -> None:
    folder = tiny.save_model("sd", tmp_path / "own")
    repository = tmp_path / "hub" / "models--maker--model"
    shutil.copytree(folder, repository / "snapshots" / "1")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1")
    for base in ("maker/model", str(folder)):
        adapter = str(folder / "adapter.safetensors")
        fetch_models(_flags(base=base, adapter=adapter), {**SPACE, "MMDIFF_BASE": base, "MMDIFF_ADAPTER": adapter})
    assert fetched == []


def test_a_file_is_fetched_with_the_vocabulary(fetched: list[str]) -> None:
    file = "maker/model/dream.safetensors"
    fetch_models(_flags(base=file), {**SPACE, "MMDIFF_BASE": file})
    assert fetched == [file, "openai/clip-vit-large-patch14/tokenizer"]


def test_the_log_tells_how_much_has_arrived(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO), model_variables._told("maker/model", 0.01, lambda _: 2_300_000_000):
        time.sleep(0.1)
    assert "Fetching maker/model: 2.3 GB have arrived ..." in caplog.text


def test_a_space_whose_hub_fails_goes_on_with_the_built_in_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(flags: object) -> None:
        raise ModelError("The hub does not answer: try again later.")

    monkeypatch.setattr(launch, "fetch_models", fail)
    monkeypatch.setattr(launch, "load_from_flags", lambda flags: flags)
    flags = launch.load_model(launch.parse_flags(["--base", "maker/model"]))
    assert (flags.base, flags.model) == (None, "toybox")
    assert "does not answer: try again later. The built-in model is used instead." in caplog.text

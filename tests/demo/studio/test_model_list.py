"""What is said of the loaded model, and the menu: what is here, how to serve it, and how to get the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.studio.model_list import model_line, model_texts, sampler_help
from demo.studio.settings_panel import SAMPLER_TITLES
from demo.web.i18n import languages, texts_of
from mmdiff_core.backbones.registry import AvailableModel
from mmdiff_core.backbones.schedulers import FLOW_SCHEDULERS
from tests.helpers import single_files, tiny
from tests.helpers.stand_in import StandIn


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


def _menu(loaded: str, language: str = "en") -> str:
    model = StandIn()
    model.backbone = replace(model.backbone, name=loaded)
    return languages(more=model_texts(model)).translations[language]["model_menu"]  # type: ignore[arg-type]


def test_the_loaded_model_is_told_in_a_line() -> None:
    model = StandIn()
    line = model_line(model, texts_of("en"))  # type: ignore[arg-type]
    assert line == "toybox · made for 256 × 256 pixels · 6 steps by default"
    model.sizes = replace(model.sizes, trained=((256, 256), (320, 192)))
    assert "made for 256 × 256, 320 × 192 pixels" in model_line(model, texts_of("en"))  # type: ignore[arg-type]


@pytest.mark.usefixtures("empty_cache")
def test_what_is_missing_says_its_command_and_size() -> None:
    menu = _menu("toybox")
    assert '<li aria-current="true"><strong>toybox</strong> <span>Toybox, rendered toys, ' in menu
    assert menu.count("aria-current") == 1
    sdxl = menu.split("stabilityai/stable-diffusion-xl-base-1.0</strong>")[1].split("</li>")[0]
    assert "<span>Stable Diffusion XL, about 7 GB</span>" in sdxl
    assert "<code>python -m mmdiff_core models --download stabilityai/stable-diffusion-xl-base-1.0</code>" in sdxl
    faces = menu.split("insightface/buffalo_l</strong>")[1].split("</li>")[0]
    assert "about 290 MB" in faces
    assert "models --download insightface/buffalo_l" in faces


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("language", ["de", "es", "zh"])
def test_no_title_or_size_stays_english(language: str) -> None:
    menu = _menu("toybox", language)
    for words in ("Models", "rendered", "about", "encoder<", "Faces", "research"):
        assert words not in menu


def test_what_is_here_says_how_to_serve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    models = (
        AvailableModel("runs/mine", "Toybox, trained here", "folder", True, True, 90_000_000),
        AvailableModel("maker/<model>", "Stable Diffusion", "hub cache", True, False, 2_700_000_000),
        AvailableModel("broken", "unknown", "folder", False, False, 5, 'the file "x" was cut off', "copy again"),
    )
    monkeypatch.setattr("demo.studio.model_list.available_models", lambda folders: models)
    menu = _menu("maker/<model>")
    assert "<span>Toybox, trained here, 0.09 GB</span>" in menu
    assert "<code>python app.py --model mine</code>" in menu
    assert "maker/&lt;model&gt;</strong> <span>Stable Diffusion, 2.7 GB</span>" in menu
    assert "<code>python app.py --adapter adapter.safetensors --base maker/&lt;model&gt;</code>" in menu
    assert "<span>Of an unknown kind, " in menu
    assert "<span>the file &quot;x&quot; was cut off</span> <code>copy again</code>" in menu


@pytest.mark.usefixtures("empty_cache")
def test_the_folder_that_is_loaded_is_in_the_menu(tmp_path: Path) -> None:
    folder = tiny.save_model("sd", tmp_path / "models" / "mine")
    menu = _menu(f"{folder}/")
    assert '<li aria-current="true"><strong>mine</strong>' in menu
    assert str(tmp_path) not in menu


@pytest.mark.usefixtures("empty_cache")
def test_the_file_that_is_loaded_is_in_the_menu_and_its_neighbours_are_not(tmp_path: Path) -> None:
    file = single_files.write_file(single_files.sd1(), tmp_path / "models" / "dream.safetensors")
    (file.parent / "other.safetensors").write_bytes(file.read_bytes())
    menu = _menu(str(file))
    assert '<li aria-current="true"><strong>dream.safetensors</strong> <span>Stable Diffusion, one file' in menu
    assert str(tmp_path) not in menu
    assert "other.safetensors" not in menu


def test_the_samplers_help_names_what_is_offered_alone() -> None:
    offered = tuple(FLOW_SCHEDULERS)  # of the built-in model
    helps = sampler_help(offered, texts_of("en"))
    assert helps == "How the steps are taken. UniPC needs the fewest. DPM++ 2M SDE adds fresh noise at every step."
    assert sampler_help(("euler", "distilled"), texts_of("en")).startswith("How the steps are taken. Distilled is")
    assert sampler_help(("euler",), texts_of("en")) == "How the steps are taken."
    for language in ("en", "de", "es", "zh"):
        every = sampler_help(tuple(SAMPLER_TITLES), texts_of(language))
        assert all(title in every for title in ("UniPC", "SDE Karras", "Euler a", "LCM")), language
        assert "LCM" not in sampler_help(offered, texts_of(language))

"""The menu of models: what is here, with the command that serves it, and how to get the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.panels.models import model_menu
from mmdiff_core.backbones.registry import AvailableModel


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


@pytest.mark.usefixtures("empty_cache")
def test_what_is_missing_says_its_command_and_size() -> None:
    menu = model_menu("toybox")
    assert '<li aria-current="true"><strong>toybox</strong>' in menu
    assert menu.count("aria-current") == 1
    sdxl = menu.split("stabilityai/stable-diffusion-xl-base-1.0</strong>")[1].split("</li>")[0]
    assert "about 7 GB" in sdxl
    assert "<code>python -m mmdiff_core models --download stabilityai/stable-diffusion-xl-base-1.0</code>" in sdxl
    faces = menu.split("insightface/buffalo_l</strong>")[1].split("</li>")[0]
    assert "about 290 MB" in faces
    assert "models --download insightface/buffalo_l" in faces


def test_what_is_here_says_how_to_serve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    models = (
        AvailableModel("runs/mine", "Toybox, trained here", "folder", True, True, 90_000_000),
        AvailableModel("maker/<model>", "Stable Diffusion", "hub cache", True, False, 2_700_000_000),
        AvailableModel(
            "broken", "Stable Diffusion", "folder", False, False, 5, 'the file "x" was cut off', "copy again"
        ),
    )
    monkeypatch.setattr("demo.panels.models.available_models", lambda: models)
    menu = model_menu("maker/<model>")
    assert "<code>python app.py --model runs/mine</code>" in menu
    assert "maker/&lt;model&gt;</strong> <span>Stable Diffusion, 2.7 GB</span>" in menu
    assert "<code>python app.py --adapter adapter.safetensors --base maker/&lt;model&gt;</code>" in menu
    assert "<span>the file &quot;x&quot; was cut off</span> <code>copy again</code>" in menu

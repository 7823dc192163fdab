"""What surrounds a step, measured on a tiny model: no test fails on a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.benchmarks import end_to_end
from mmdiff_core.pipeline import Personalizer
from tests.helpers import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def personalizer(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    backbone, adapter = load_toybox(tiny.save_toybox(tmp_path_factory.mktemp("toybox")))
    return Personalizer(replace(backbone, defaults=replace(backbone.defaults, steps=2)), adapter)


def test_the_request_has_two_held_out_subjects() -> None:
    request = end_to_end.two_subjects()
    assert [subject.name for subject in request.subjects] == ["cat", "robot"]
    assert all(len(subject.photos) == 2 for subject in request.subjects)
    assert request.steps is None  # the defaults of the app


def test_a_preview_and_an_image_are_timed(personalizer: Personalizer) -> None:
    times = end_to_end.image_times(personalizer, 1, CPU, "wall")
    assert {name: len(seconds) for name, seconds in times.items()} == {"first_preview_s": 1, "picture_s": 1}
    assert min(times["first_preview_s"] + times["picture_s"]) > 0


def test_memory_is_at_least_that_of_the_weights(personalizer: Personalizer) -> None:
    weights = sum(x.numel() * x.element_size() for x in personalizer.backbone.unet.parameters())
    assert end_to_end.peak_memory_mb(personalizer, CPU) > weights / end_to_end.MEGABYTE


def test_rendering_and_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(end_to_end.rendered_per_s(2, 1, 16, CPU, "wall")) == 2  # the first round warms up
    monkeypatch.setattr(end_to_end, "FOLDER", tiny.save_toybox(tmp_path))
    assert min(end_to_end.adapter_load_s(1, CPU, "wall")) > 0


def test_a_start_without_an_app_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end, "APP", tmp_path / "app.py")
    assert end_to_end.startup_s(1) == []


def test_the_start_ends_with_the_first_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import http.server, sys\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[2])), http.server.SimpleHTTPRequestHandler)"
        ".serve_forever()\n"
    )
    monkeypatch.setattr(end_to_end, "APP", app)
    (seconds,) = end_to_end.startup_s(1)
    assert 0 < seconds < 60


def test_an_app_that_ends_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = tmp_path / "app.py"
    app.write_text("raise SystemExit(1)\n")
    monkeypatch.setattr(end_to_end, "APP", app)
    with pytest.raises(RuntimeError, match="did not serve"):
        end_to_end.startup_s(1)

"""The command end to end at its smallest: no test fails on a time."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.benchmarks import bench_models
from mmdiff_core.benchmarks.report import SHOWN
from mmdiff_core.cli.main import BAD_INPUT, main
from tests.helpers.markdown import cells


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["benchmark", "--quick", "--models", "tiny", "--rounds", "2", "--out", str(folder)]) == 0
    assert "IP-Adapter-Plus" in said.getvalue()
    return folder


@pytest.mark.slow
def test_speed_holds_ratios_and_samples(folder: Path) -> None:
    speed = json.loads((folder / "speed.json").read_text())
    assert list(speed) == ["tiny"]
    tiny = speed["tiny"]
    assert tiny["stock"] == 1.0
    for name in SHOWN:
        low, high = tiny["intervals"][name]
        assert 0 < low <= tiny[name] <= high
        assert len(tiny["samples"][name]) == 2


@pytest.mark.slow
def test_a_stopped_run_keeps_the_models_that_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> object:
        raise KeyboardInterrupt

    usual = bench_models.bench_model
    monkeypatch.setattr(
        bench_models, "bench_model", lambda name, *rest: stopped() if name == "sd15" else usual(name, *rest)
    )
    flags = ["--quick", "--only-steps", "--models", "tiny", "sd15", "--rounds", "1", "--out", str(tmp_path)]
    with contextlib.suppress(KeyboardInterrupt):
        main(["benchmark", *flags])
    assert list(json.loads((tmp_path / "speed.json").read_text())) == ["tiny"]
    assert "ours, recorded" in [row[0] for row in cells((tmp_path / "speed.md").read_text())]


@pytest.mark.slow
def test_everything_around_it(folder: Path) -> None:
    about = json.loads((folder / "about.json").read_text())
    assert about["machine"]["device"]
    figures = about["figures"]
    for name in ("first_preview_s", "picture_s", "adapter_load_s", "rendered_per_s"):
        assert len(figures[name]) == 2
        assert min(figures[name]) > 0
    assert figures["peak_memory_mb"][0] > 50
    assert figures["first_preview_s"][0] < figures["picture_s"][0]


@pytest.mark.slow
def test_a_table_and_a_chart(folder: Path) -> None:
    table = (folder / "speed.md").read_text()
    assert "ours, recorded" in [row[0] for row in cells(table)]
    assert "adapter load" in table
    with Image.open(folder / "speed.png") as chart:
        assert chart.width > 800


@pytest.mark.parametrize(("flags", "told"), [(["--models", "dit"], "choose among"), (["--rounds", "0"], "at least 1")])
def test_what_cannot_be_timed(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *flags]) == BAD_INPUT
    assert told in capsys.readouterr().err

"""From the flags of ``dryrun`` to what is tried."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmdiff_core.benchmarks.full_size_models import MODEL_SHAPES
from mmdiff_core.cli.dryrun import MODELS
from mmdiff_core.cli.main import BAD_INPUT, main

DRY_RUN = "mmdiff_core.benchmarks.full_size_dryrun.dry_run"


@pytest.fixture(autouse=True)
def _report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdiff_core.benchmarks.full_size_dryrun.describe_dry_run", lambda _: "it fits\n")


def test_the_help_names_every_shape() -> None:
    assert set(MODELS) == set(MODEL_SHAPES)


def test_flags(stand_in, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(DRY_RUN, SimpleNamespace(to_json=lambda: {"peak": 5}))
    flags = ["--steps", "3", "--subjects", "1", "--guidance", "1", "--width", "512", "--device", "cpu"]
    assert main(["dryrun", "--model", "sdxl", *flags, "--dtype", "bfloat16", "--out", str(tmp_path / "f.json")]) == 0
    ((shape, options),) = calls
    assert shape is MODEL_SHAPES["sdxl"]
    assert (options.steps, options.subjects, options.guidance) == (3, 1, 1.0)
    assert (options.width, options.height, options.dtype, options.device) == (512, None, torch.bfloat16, "cpu")
    assert json.loads((tmp_path / "f.json").read_text()) == {"model": "sdxl", "peak": 5}
    assert capsys.readouterr().out == "it fits\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["--subjects", "5"], "from 1 to 4, but is 5"), (["--steps", "0"], "--steps must be at least 1, but is 0")],
)
def test_numbers_out_of_range(flags: list[str], told: str, stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(DRY_RUN)
    assert main(["dryrun", "--model", "sd15", *flags]) == BAD_INPUT
    assert told in capsys.readouterr().err
    assert calls == []

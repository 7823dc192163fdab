"""Ways to sample: how they are written, and that each samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.toybox import FAST, Toybox, load_toybox
from mmdiff_core.benchmarks.presets import (
    CANDIDATES,
    MEASURES,
    SOLVERS,
    PresetScore,
    SamplingCandidate,
    compare_candidates,
    presets_json,
    presets_markdown,
    with_candidate,
)
from mmdiff_core.cli.main import main
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox import toybox_judge
from mmdiff_core.evaluation.toybox.toybox_cases import draw_toybox_cases
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.output.export import read_settings
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import Referee
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
from tests.helpers.markdown import cells
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture(scope="module")
def model(folder: Path) -> tuple[Toybox, MMDiffAdapter]:
    return load_toybox(folder)


def test_ways_are_read_and_named() -> None:
    way = SamplingCandidate.read("dpm2m shift 2:8:2.5")
    assert way == SamplingCandidate("dpm2m shift 2", 8, 2.5)
    assert way.name == "dpm2m shift 2, 8 steps, guidance 2.5"
    assert all(SamplingCandidate.read(text) for text in CANDIDATES)


@pytest.mark.parametrize("text", ["dpm2m", "dpm2m:8", "dpm2m:eight:2", "magic:8:2"])
def test_a_way_that_cannot_be_read(text: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read|no solver"):
        SamplingCandidate.read(text)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_samples_by_default(model: tuple[Toybox, MMDiffAdapter], solver: str) -> None:
    backbone, adapter = model
    changed = with_candidate(backbone, SamplingCandidate(solver, 3, 2.0))
    steps = list(Personalizer(changed, adapter).generate(GenerateRequest("a cat", recording=None)))
    assert len(steps) == 3
    assert steps[-1].finished.image.getextrema() != ((0, 0),) * 3
    assert steps[-1].finished.settings["guidance"] == 2.0
    assert backbone.defaults.steps == 20  # the model itself stays as it was


def test_the_preset_fills_what_is_left_open(folder: Path, tmp_path: Path) -> None:
    flags = ["generate", "--model", str(folder), "--device", "cpu", "--prompt", "a cat", "--fast"]
    assert main([*flags, "--guidance", "1.5", "--out", str(tmp_path)]) == 0
    settings = read_settings(tmp_path / "1_seed0.png")
    assert (settings["steps"], settings["guidance"]) == (FAST.steps, 1.5)


def test_a_row_a_way() -> None:
    measures = {"identity": 0.5, "present": 1.0, "place": 0.25, "swapped": float("nan")}
    table = presets_markdown([PresetScore(SamplingCandidate("dpm2m", 8, 3.0), 0.4, 3.2, measures)])
    assert ["dpm2m, 8 steps, guidance 3", "0.40", "3.2", "0.50", "1.00", "0.25", "nan"] in cells(table)


def test_candidates_are_compared_with_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toybox_judge, "CANDIDATES", 4)
    monkeypatch.setattr(toybox_judge, "DISTRACTORS", 3)
    backbone, adapter = load_toybox(folder)
    torch.manual_seed(0)
    cases = draw_toybox_cases(VOCABULARY, {2: 1})
    candidates = [SamplingCandidate(*ways) for ways in (("stored", 3, 3.0), ("stored", 3, 3.0), ("euler", 1, 2.0))]
    first, same, other = compare_candidates(backbone, adapter, Referee(CONFIG).eval(), cases, candidates)
    assert first.distance == same.distance == 0
    assert other.distance > 0
    assert [score.candidate for score in (first, same, other)] == candidates
    for score in (first, same, other):
        assert score.measures.keys() == set(MEASURES)
        assert score.seconds > 0
    assert [score["candidate"]["solver"] for score in json.loads(presets_json([first, other]))] == ["stored", "euler"]

"""Training runs of the referee at toy size, and the commands."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.referee import cached_renders, train
from mmdiff_core.referee.network import FILE, Referee, RefereeConfig, load_referee, save_referee
from mmdiff_core.referee.referee_loss import RefereeLossWeights
from mmdiff_core.referee.train import Phase, RefereeTrainingOptions, train_referee
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from tests.helpers.markdown import cells
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_renders, "SHARD", 12)
    monkeypatch.setattr(train, "SHARD", 12)
    monkeypatch.setattr(train, "HELD_OUT_SCENES", 6)
    monkeypatch.setattr(RefereeConfig, "of", classmethod(_small))


def _small(_: type, vocabulary: Vocabulary) -> RefereeConfig:
    return replace(CONFIG, classes=vocabulary.classes, backgrounds=vocabulary.backgrounds, styles=vocabulary.styles)


@pytest.mark.slow
def test_training_learns_stops_and_goes_on(tmp_path: Path) -> None:
    phases = (Phase("coarse", 1.0, 30, 16, 2e-3, (3,)), Phase("fine", 1.0, 2, 8, 1e-3, (1, 2)))
    options = RefereeTrainingOptions(tmp_path, VOCABULARY, phases=phases, scenes=20)
    train_referee(replace(options, minutes=0.0))
    assert torch.load(tmp_path / "coarse" / "state.pt", weights_only=True)["step"] == 0
    assert not (tmp_path / "fine").exists()
    measured = train_referee(options)
    lines = [json.loads(line) for line in (tmp_path / "coarse" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 30
    guessing = RefereeLossWeights().backgrounds * math.log(2)  # of two backgrounds
    assert lines[-1]["backgrounds"] < 0.8 * guessing
    assert {"noun", "place", "style", "iou", "mush"} <= measured.keys()
    assert len(list((tmp_path / "pool").iterdir())) <= 2
    assert (tmp_path / "referee.safetensors").read_bytes() == (tmp_path / "fine" / "referee.safetensors").read_bytes()
    assert load_referee(tmp_path / "referee.safetensors").config == CONFIG
    states = [(tmp_path / phase.name / "state.pt").stat().st_mtime_ns for phase in phases]
    assert train_referee(options) == measured  # finished phases are not run again
    assert [(tmp_path / phase.name / "state.pt").stat().st_mtime_ns for phase in phases] == states


def test_a_phase_trains_only_what_it_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_referee(Referee(CONFIG), tmp_path / "first.safetensors")
    phase = Phase("presence", 1.0, 2, 8, 1e-2, (3,), only=("nouns", "presence"))
    train_referee(
        RefereeTrainingOptions(tmp_path, VOCABULARY, start=tmp_path / "first.safetensors", phases=(phase,), scenes=4)
    )
    before, after = (load_referee(tmp_path / name).state_dict() for name in ("first.safetensors", FILE.name))
    changed = {name.split(".")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"nouns", "presence"}


@pytest.mark.slow
def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["train-referee", "--out", str(tmp_path), "--steps", "1", "--batch", "8", "--scenes", "4"]
    assert main(start) == 0
    assert main(["train-referee", "--out", str(tmp_path), "--check", "--scenes", "6"]) == 0
    assert ["iou", "≥ 0.85"] in [row[:2] for row in cells(capsys.readouterr().out)]
    assert json.loads((tmp_path / "accuracy.json").read_text()).keys() == {"asked", "192 px", "96 px"}
    first = tmp_path / "first"
    assert main([*start[:2], str(first), *start[3:], "--world", "first"]) == 0
    assert main(["train-referee", "--out", str(first), "--check", "--scenes", "6"]) == BAD_INPUT
    assert "owl" in capsys.readouterr().err
    assert main([*start, "--world", "flat"]) == BAD_INPUT
    assert "whole, first" in capsys.readouterr().err
    assert main(["train-referee", "--out", str(tmp_path / "new"), "--steps", "0"]) == BAD_INPUT
    assert main([*start, "--phases", "medium"]) == BAD_INPUT
    assert "coarse, fine, presence" in capsys.readouterr().err

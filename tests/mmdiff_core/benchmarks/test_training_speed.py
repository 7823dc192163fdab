"""The speed of training: both loops of every stage at their smallest. No test fails on a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmdiff_core.benchmarks import training_speed as measured
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.training.precision import attention_kernels
from tests.helpers import tiny
from tests.helpers.markdown import cells

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.mark.slow
def test_every_stage_is_measured_in_both_ways(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = measured.training_speed
    monkeypatch.setattr(measured, "training_speed", lambda *options: usual(*options, model))
    monkeypatch.setattr(measured, "MATRIX_SIDE", 64)
    flags = ["--only-training", "--quick", "--rounds", "2", "--device", "cpu", "--out", str(tmp_path)]
    assert main(["benchmark", *flags]) == 0
    training = json.loads((tmp_path / "about.json").read_text())["figures"]["training"]
    assert tuple(training) == measured.STAGES
    for speed in training.values():
        assert len(speed["samples_per_s"]) == len(speed["plain_samples_per_s"]) == 2
        assert min(speed["samples_per_s"]) > 0
        assert speed["ratio"]["low"] <= speed["ratio"]["median"] <= speed["ratio"]["high"]
        assert speed["matrix_share"] > 0
    assert {row[0] for row in cells(capsys.readouterr().out)} >= set(measured.STAGES)


def test_steps_and_training_exclude_each_other() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", "--only-steps", "--only-training"])
    assert stopped.value.code == BAD_INPUT


def test_both_loops_train_the_same_maths(model: Path) -> None:
    """On the same batch and noise; the plain one encodes the photos itself."""
    losses = []
    for plain in (False, True):
        torch.manual_seed(0)
        stage = measured.make_stage("joint", model, CPU, quick=True, plain=plain)
        torch.manual_seed(1)
        with attention_kernels(CPU):
            losses.append({name: value.item() for name, value in stage.network(stage.made).items()})
        assert bool(stage.hidden_weights()) != plain
    assert losses[0] == pytest.approx(losses[1], rel=1e-5, abs=1e-8)


def test_operations_are_counted_with_the_backward_pass() -> None:
    weight = torch.ones(8, 4, requires_grad=True)
    x = torch.ones(2, 4)
    assert measured.count_operations(lambda: (x @ weight.T).sum().backward()) == 2 * (2 * 2 * 8 * 4)

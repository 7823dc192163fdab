"""From the flags of ``train-referee`` to the training and the check of the referee."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.referee.train import PHASES
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

TRAIN = "mmdiff_core.referee.train.train_referee"
CHECK = "mmdiff_core.referee.train.check_referee"


def test_everything_by_default(stand_in) -> None:
    calls = stand_in(TRAIN)
    assert main(["train-referee", "--out", "run"]) == 0
    ((options,),) = calls
    assert (options.folder, options.vocabulary, options.phases) == (Path("run"), WHOLE_WORLD, PHASES)
    assert (options.scenes, options.device, options.minutes) == (30_000, "cpu", None)


def test_chosen_phases_with_other_steps(stand_in) -> None:
    calls = stand_in(TRAIN)
    flags = ["--phases", "presence", "coarse", "--steps", "3", "--batch", "2", "--scenes", "8", "--world", "first"]
    assert main(["train-referee", "--out", "run", *flags]) == 0
    ((options,),) = calls
    assert [(phase.name, phase.steps, phase.batch) for phase in options.phases] == [
        ("coarse", 3, 2),
        ("presence", 3, 2),
    ]
    assert (options.scenes, options.vocabulary) == (8, FIRST_WORLD)


def test_a_check_measures_the_run_s_referee_or_another(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(CHECK, "a table\n")
    assert main(["train-referee", "--check", "--out", "run"]) == 0
    assert main(["train-referee", "--check", "--out", "run", "--init-from", "other", "--scenes", "6"]) == 0
    assert [(options.file, options.scenes) for (options,) in calls] == [
        (Path("run/referee.safetensors"), 600), (Path("other"), 6),
    ]  # fmt: skip
    assert capsys.readouterr().out == "a table\n" * 2


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["--world", "flat"], "whole, first"), (["--phases", "medium"], 'phase "medium". Choose among coarse, fine')],
)
def test_what_there_is_not(flags: list[str], told: str, stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(TRAIN)
    assert main(["train-referee", "--out", "run", *flags]) == BAD_INPUT
    assert told in capsys.readouterr().err
    assert calls == []
